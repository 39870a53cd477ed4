//! F16, case by case: what was stored and not confirmed is sent again over a crash, and is there once.

use pulsegate::broker::host::Asked;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::proto::{CommandProducer, CommandSend};

use crate::model::entry_of;
use crate::world::{SNAPSHOTS, World};

/// The topic of the world that deduplicates.
const DEDUPLICATED: usize = 1;

/// The producer sends, and its connection ends before it hears of it.
fn send_and_lose(world: &mut World, messages: usize) {
    world.produce(DEDUPLICATED);
    world.settle();
    (0..messages).for_each(|_| world.produce(DEDUPLICATED));
    let (key, _) = world.topics[DEDUPLICATED].producer.expect("connected");
    world.topics[DEDUPLICATED].lose_producer();
    world.ask(key.connection, Asked::Disconnected);
    world.settle();
}

/// Until what deduplication knows is saved.
fn save(world: &mut World) {
    for _ in 0..3 {
        world.pass(SNAPSHOTS);
        world.settle();
    }
}

/// Somebody else's message, behind all others: a start always reads the last one.
fn send_as_somebody_else(world: &mut World) {
    let connection = world.connection();
    let topic = world.topics[DEDUPLICATED].name.clone();
    let producer_name = Some("somebody else".to_owned());
    let producer =
        CommandProducer { topic, producer_id: 9, request_id: 9, producer_name, ..Default::default() };
    world.command(connection, Command::Producer(producer));
    world.settle();
    let sequence_id = 1000;
    let send = CommandSend { producer_id: 9, sequence_id, num_messages: Some(1), ..Default::default() };
    let entry = entry_of("somebody else", sequence_id, 10);
    world.ask(connection, Asked::Command { command: Command::Send(send), entry });
    world.settle();
}

/// Sends what is not confirmed, and all of it is a duplicate.
fn send_again(world: &mut World, messages: usize) {
    world.produce(DEDUPLICATED);
    world.settle();
    (0..messages).for_each(|_| world.produce(DEDUPLICATED));
    world.settle();
    let topic = &world.topics[DEDUPLICATED];
    assert_eq!((topic.unanswered.len(), topic.duplicates.len()), (0, messages), "all stored before");
}

/// What a snapshot covers is not read again at a start: the snapshot alone knows it.
#[test]
fn resent_messages_are_known_by_the_snapshot() {
    let mut world = World::new(1);
    send_and_lose(&mut world, 5);
    save(&mut world);
    send_as_somebody_else(&mut world);
    world.restart_after(true);
    send_again(&mut world, 5);
    world.check_all();
}

/// Before the first snapshot the entries themselves are what is known.
#[test]
fn resent_messages_are_known_without_a_snapshot() {
    let mut world = World::new(2);
    send_and_lose(&mut world, 5);
    send_as_somebody_else(&mut world);
    world.restart_after(true);
    send_again(&mut world, 5);
    world.check_all();
}

/// A snapshot and entries behind it, of the same producer: the later ones count.
#[test]
fn resent_messages_are_known_by_both() {
    let mut world = World::new(3);
    send_and_lose(&mut world, 4);
    save(&mut world);
    send_and_lose(&mut world, 7);
    send_as_somebody_else(&mut world);
    world.restart_after(true);
    send_again(&mut world, 7);
    world.check_all();
}
