//! One core's gateway in a world that does its worst: brokers refuse, move topics, hold answers back, fall silent and
//! break; clients come, go and say anything at any moment; bytes are cut anywhere; time jumps. One generator of numbers
//! draws every choice, so that a seed replays a run: `SIM_SEED=n` one seed, `SIM_SEEDS=n` that many from 0. `SIM_LOUD=1`
//! prints what brokers hear and say.

mod acks;
mod broker;
mod cases;
mod client;
mod embedded;
#[path = "../gateway_common/mod.rs"]
mod gateway_common;
mod store;
mod world;

use client::{Phase, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use world::{TOPICS, World, topic};

/// Things that happen in one run before all is well again.
const EVENTS: usize = 400;
const SEEDS: u64 = 150;

/// Runs one seed; the hash of all that was said.
fn run(seed: u64, local: bool) -> (u64, Seen) {
    let mut world = World::new(seed, local);
    for _ in 0..EVENTS {
        world.event();
    }
    world.heal();
    check_promises(&world);
    check_order(&world);
    world.close_all();
    check_nothing_left(&mut world);
    let seen = Seen::of(&mut world);
    (world.trace, seen)
}

/// What happened at all: a simulation in which nothing goes wrong proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    oks: usize,
    send_errors: usize,
    deliveries: usize,
    refused: u64,
    links_lost: u64,
    pauses: u64,
    violations: u64,
    idle: usize,
    stops: usize,
}

impl Seen {
    fn of(world: &mut World) -> Seen {
        let counters = world.report().gateway;
        let answers = || world.clients.iter().flat_map(|client| client.answers.values());
        let goodbyes = world.clients.iter().filter_map(|client| client.goodbye.as_ref());
        Seen {
            oks: answers().filter(|ok| **ok).count(),
            send_errors: answers().filter(|ok| !**ok).count(),
            deliveries: world.clients.iter().map(|client| client.got.len()).sum(),
            refused: counters.refused.iter().sum(),
            links_lost: counters.links_lost,
            pauses: counters.producer_pauses,
            violations: counters.violations,
            idle: goodbyes.filter(|(_, reason)| reason.starts_with("Idle")).count(),
            stops: usize::from(world.stopping),
        }
    }

    fn add(&mut self, more: Seen) {
        self.oks += more.oks;
        self.send_errors += more.send_errors;
        self.deliveries += more.deliveries;
        self.refused += more.refused;
        self.links_lost += more.links_lost;
        self.pauses += more.pauses;
        self.violations += more.violations;
        self.idle += more.idle;
        self.stops += more.stops;
    }
}

/// What is owed to clients that are still there.
fn check_promises(world: &World) {
    let store = &world.brokers.store;
    for client in &world.clients {
        let number = client.number;
        if client.role != Role::Junk && !client.left {
            assert_ne!(client.phase, Phase::Waiting, "client {number} waits for the answer to its upgrade");
        }
        if !client.is_open() {
            continue;
        }
        if client.role == Role::Producer {
            let answered: Vec<u64> = client.answers.keys().copied().collect();
            let all: Vec<u64> = (0..client.sent).collect();
            assert_eq!(answered, all, "client {number}: each text is answered");
        }
        let parts = store.parts(&client.topic);
        if client.role == Role::Reader {
            for part in &parts {
                let all: Vec<&str> = store.payloads(part).collect();
                let part: BTreeSet<&str> = all.iter().copied().collect();
                let got = client.got.iter().map(String::as_str).filter(|payload| part.contains(payload));
                assert_eq!(got.collect::<Vec<_>>(), all, "reader {number} gets all, once and in order");
            }
        }
        if client.role == Role::Consumer {
            let same = |c: &&client::Client| c.topic == client.topic && c.subscription == client.subscription;
            let got: BTreeSet<&String> = world.clients.iter().filter(same).flat_map(|c| &c.got).collect();
            for part in &parts {
                let open = store.open_entry(part, &client.subscription, |_| false);
                assert_eq!(open, None, "consumer {number} acknowledges all of {part}");
                let lost = store.payloads(part).find(|payload| !got.contains(&(*payload).to_owned()));
                assert_eq!(lost, None, "subscription of consumer {number} gets all of {part}");
            }
        }
    }
}

/// Messages of a producer are stored in the order in which it sent them, duplicates aside.
fn check_order(world: &World) {
    for number in 0..TOPICS {
        for part in world.brokers.store.parts(&topic(number)) {
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            for payload in world.brokers.store.payloads(&part).filter(|payload| seen.insert(payload)) {
                let mut parts = payload.split('-');
                let (client, message) = parts.next().zip(parts.next()).expect("a payload of the model");
                let message = message.parse().expect("a number");
                let before = last.insert(client, message);
                assert!(
                    before.is_none_or(|before| before < message),
                    "{part}: {client}-{message} after {before:?}"
                );
            }
        }
    }
}

/// All clients are gone: so is everything that was made for them.
fn check_nothing_left(world: &mut World) {
    let none: [String; 0] = [];
    assert_eq!(world.brokers.attached(), none, "producers and consumers are closed with their clients");
    let report = world.report();
    assert_eq!(report.gateway.sessions, [0; 3]);
    assert_eq!(report.gateway.pending_bytes, 0);
    assert_eq!((report.producers.len(), report.consumers.len()), (0, 0));
    for client in &world.clients {
        assert_eq!(client.phase, Phase::Ended, "client {}", client.number);
    }
    if world.stopping {
        use pulsegate::shard::Handler;
        assert!(world.gateway.is_quiet());
    }
    world.wait(Duration::from_secs(1));
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SIM_SEED={} replays this", self.0);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Print every command?
fn loud() -> bool {
    static LOUD: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *LOUD.get_or_init(|| variable("SIM_LOUD").is_some())
}

/// Runs many seeds, or the one that is asked for.
fn run_all(local: bool) {
    let one = variable("SIM_SEED").map(|seed| seed..seed + 1);
    let mut seen = Seen::default();
    for seed in one.clone().unwrap_or(0..variable("SIM_SEEDS").unwrap_or(SEEDS)) {
        let _seed = Seed(seed);
        seen.add(run(seed, local).1);
    }
    println!("{seen:?}");
    if one.is_some() {
        return;
    }
    assert!(seen.oks > 1000 && seen.deliveries > 1000, "{seen:?}");
    let rare = [seen.refused, seen.links_lost, seen.pauses, seen.violations];
    assert!(rare.iter().all(|count| *count > 0), "{seen:?}");
    assert!(seen.send_errors > 0 && seen.stops > 0, "{seen:?}");
}

#[test]
fn nothing_is_lost_whatever_happens() {
    run_all(false);
}

#[test]
fn nothing_is_lost_in_front_of_the_embedded_broker() {
    run_all(true);
}

#[test]
fn the_seed_decides_everything() {
    for local in [false, true] {
        assert_eq!(run(3, local), run(3, local));
        assert_ne!(run(3, local), run(4, local));
    }
}
