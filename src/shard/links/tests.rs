//! The table without a driver: what it wishes, and what it tells its handler.

use super::*;
use crate::base::prng::Prng;
use std::collections::BTreeMap;

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711);
const LINGER: Duration = Duration::from_secs(2);

/// Writes down what it is told, and checks the order of calls for each key.
#[derive(Default)]
struct Diary {
    open: BTreeMap<ConnKey, bool>,
    lines: Vec<String>,
    bytes: usize,
}

impl Diary {
    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    fn alive(&self, key: ConnKey) {
        assert!(self.open.contains_key(&key), "told of {key:?}, which is not open");
    }
}

impl Handler for Diary {
    fn on_accept(&mut self, _: &mut Links, key: ConnKey, _: SocketAddr, _: Door) {
        assert!(self.open.insert(key, true).is_none(), "{key:?} is open already");
    }
    fn on_connected(&mut self, _: &mut Links, key: ConnKey, result: Result<(), i32>) {
        self.lines.push(format!("connected {result:?}"));
        if result.is_ok() {
            self.open.insert(key, true);
        }
    }
    fn on_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]) {
        self.alive(key);
        assert!(io.is_open(key), "bytes after a close");
        self.bytes += bytes.len();
    }
    fn on_eof(&mut self, _: &mut Links, key: ConnKey) {
        self.alive(key);
        assert_eq!(self.open.insert(key, false), Some(true), "one EOF");
    }
    fn on_drained(&mut self, _: &mut Links, key: ConnKey) {
        self.alive(key);
        self.lines.push("drained".into());
    }
    fn on_closed(&mut self, io: &mut Links, key: ConnKey, why: Closed) {
        self.open.remove(&key);
        assert!(io.peer(key).is_none() && io.outbox(key).is_none(), "the key is dead");
        self.lines.push(format!("closed {why:?}"));
    }
    fn on_timer(&mut self, _: &mut Links, token: u64) {
        self.lines.push(format!("timer {token}"));
    }
    fn on_resolved(&mut self, _: &mut Links, token: u64, result: Result<Vec<SocketAddr>, String>) {
        self.lines.push(format!("resolved {token} {result:?}"));
    }
    fn on_mail(&mut self, _: &mut Links, from: ShardId, _: Mail) {
        self.lines.push(format!("mail from {}", from.0));
    }
    fn on_turn_end(&mut self, _: &mut Links) {}
    fn on_stop(&mut self, _: &mut Links, _: Duration) {}
    fn is_quiet(&self) -> bool {
        true
    }
}

fn world() -> (Links, Diary) {
    (Links::simulated(ShardId(0), 2), Diary::default())
}

fn accepted(io: &mut Links, diary: &mut Diary) -> ConnKey {
    let key = io.simulate_accept(diary, PEER);
    io.simulate_turn(diary);
    key
}

#[test]
fn a_close_sends_the_outbox_first_and_ends_once() {
    let (mut io, mut diary) = world();
    let key = accepted(&mut io, &mut diary);
    io.outbox(key).unwrap().extend_from_slice(b"last words");
    io.close(key, LINGER);
    assert!(io.outbox(key).is_none(), "closing");
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), Vec::<String>::new(), "unsent bytes keep it");
    io.simulate_bytes(&mut diary, key, b"dropped");
    assert_eq!(io.take_outbox(&mut diary, key), b"last words");
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), ["closed Local"]);
    assert_eq!((diary.bytes, io.stats().open), (0, 0));
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_after_the_linger() {
    let (mut io, mut diary) = world();
    let key = accepted(&mut io, &mut diary);
    io.outbox(key).unwrap().extend_from_slice(b"unread");
    io.close(key, LINGER);
    io.simulate_turn(&mut diary);
    io.simulate_time(LINGER - Duration::from_millis(2));
    io.simulate_turn(&mut diary);
    assert!(diary.take().is_empty());
    io.simulate_time(Duration::from_millis(4));
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), ["closed Peer"]);
}

#[test]
fn the_deadline_of_a_connect_does_not_cut_a_later_linger() {
    let (mut io, mut diary) = world();
    let key = io.connect(PEER, LINGER).unwrap();
    io.simulate_turn(&mut diary);
    assert_eq!(io.pending_connects(), [(key, PEER)]);
    io.simulate_connected(&mut diary, key, Ok(()));
    io.simulate_turn(&mut diary);
    io.simulate_time(LINGER / 2);
    io.outbox(key).unwrap().push(0);
    io.close(key, LINGER * 2);
    io.simulate_turn(&mut diary);
    io.simulate_time(LINGER);
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), ["connected Ok(())"]);
}

#[test]
fn connects_end_by_success_refusal_time_or_abort() {
    let (mut io, mut diary) = world();
    let keys: Vec<_> = (0..3).map(|_| io.connect(PEER, LINGER).unwrap()).collect();
    // Never begun when aborted in the same turn.
    let never = io.connect(PEER, LINGER).unwrap();
    io.abort(never);
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), ["closed Local"]);
    assert_eq!(io.pending_connects().len(), 3);
    io.simulate_connected(&mut diary, keys[0], Err(libc::ECONNREFUSED));
    io.abort(keys[1]);
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), [format!("connected Err({})", libc::ECONNREFUSED), "closed Local".into()]);
    io.simulate_time(LINGER * 2);
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), [format!("connected Err({})", libc::ETIMEDOUT)]);
    assert_eq!(io.stats().open, 0);
}

#[test]
fn a_drained_notice_comes_once_and_not_in_the_call() {
    let (mut io, mut diary) = world();
    let key = accepted(&mut io, &mut diary);
    io.notify_below(key, 10);
    assert!(diary.take().is_empty() && io.is_busy());
    io.simulate_turn(&mut diary);
    assert_eq!(diary.take(), ["drained"], "it is below already");
    io.outbox(key).unwrap().extend_from_slice(&[0; 100]);
    io.notify_below(key, 10);
    io.simulate_turn(&mut diary);
    assert_eq!((diary.take().len(), io.queued(key)), (0, 100));
    io.take_outbox(&mut diary, key);
    io.simulate_turn(&mut diary);
    assert_eq!((diary.take(), io.queued(key)), (vec!["drained".to_owned()], 0));
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let (mut io, mut diary) = world();
    let key = accepted(&mut io, &mut diary);
    io.outbox(key).unwrap().extend_from_slice(&[1; 100]);
    io.simulate_turn(&mut diary);
    io.take_outbox(&mut diary, key);
    assert!(io.outbox(key).unwrap().is_empty(), "looked, wrote nothing");
    io.simulate_turn(&mut diary);
    let conn = io.conns.get(key).unwrap();
    assert_eq!((conn.out.capacity(), conn.wire.capacity()), (0, 0));
    assert!(!io.pool.is_empty());
}

#[test]
fn a_hand_over_sends_the_outbox_and_takes_late_bytes_along() {
    let (mut io, mut diary) = world();
    let key = accepted(&mut io, &mut diary);
    io.outbox(key).unwrap().push(1);
    io.migrate(key, ShardId(1), b"head".to_vec());
    io.simulate_bytes(&mut diary, key, b" and more");
    io.simulate_turn(&mut diary);
    assert!(io.take_mail().is_empty(), "the outbox goes first");
    io.take_outbox(&mut diary, key);
    io.simulate_turn(&mut diary);
    assert_eq!((diary.take(), diary.bytes), (vec!["closed Moved".to_owned()], 0));
    let mail = io.take_mail();
    let [(ShardId(1), Mail::Adopt { peer: PEER, head, .. })] = &mail[..] else { panic!("{mail:?}") };
    assert_eq!(head, b"head and more");
}

#[test]
fn some_slots_stay_for_our_own_connections() {
    let (mut io, mut diary) = world();
    io.connections_max = 16;
    while io.may_accept() {
        accepted(&mut io, &mut diary);
    }
    assert_eq!(io.stats().open, 14);
    assert!(io.connect(PEER, LINGER).is_ok() && io.connect(PEER, LINGER).is_ok());
    assert_eq!(io.connect(PEER, LINGER), Err(Full));
}

#[test]
fn literal_addresses_need_no_look_up() {
    let (mut io, mut diary) = world();
    io.resolve(1, "127.0.0.1", 6650);
    io.resolve(2, "[::1]", 6650);
    io.resolve(3, "broker", 6650);
    io.arm(io.clock().now + Duration::from_millis(5), 9);
    assert!(diary.take().is_empty(), "never within the call");
    io.simulate_time(Duration::from_millis(6));
    io.simulate_turn(&mut diary);
    let expected = ["timer 9", "resolved 1 Ok([127.0.0.1:6650])", "resolved 2 Ok([[::1]:6650])"];
    assert_eq!(diary.take(), expected);
    let question = Question { token: 3, host: "broker".into(), port: 6650 };
    assert_eq!(io.take_questions(), [question]);
}

#[test]
fn mail_for_nobody_comes_back() {
    let (mut io, mut diary) = world();
    let report = || Mail::Report { ticket: 1, sessions: false };
    assert!(io.mail(ShardId(2), report()).is_err());
    io.mail(ShardId(0), report()).unwrap();
    io.mail(ShardId(1), report()).unwrap();
    io.simulate_turn(&mut diary);
    assert_eq!((diary.take(), io.take_mail().len()), (vec!["mail from 0".to_owned()], 1));
}

#[test]
fn any_order_of_calls_and_events_ends_every_connection_once() {
    for seed in 0..200 {
        let (mut io, mut diary) = world();
        let mut prng = Prng::new(seed);
        let mut keys = Vec::new();
        for _ in 0..400 {
            if keys.is_empty() || prng.below(6) == 0 {
                keys.push(match prng.below(3) {
                    0 => io.connect(PEER, LINGER).unwrap(),
                    _ => io.simulate_accept(&mut diary, PEER),
                });
            }
            // Old keys too: a stale one must do nothing.
            let key = keys[prng.below(keys.len() as u64) as usize];
            let reads = io.conns.get(key).is_some_and(|c| c.reading != crate::shard::conn::Reading::Off);
            match prng.below(14) {
                0 => io.close(key, [LINGER, Duration::ZERO][prng.below(2) as usize]),
                1 => io.abort(key),
                2 => io.pause(key),
                3 => io.resume(key),
                4 => io.migrate(key, ShardId(prng.below(3) as u16), vec![0]),
                5 => io.notify_below(key, 50),
                6 | 7 => drop(io.outbox(key).map(|outbox| outbox.extend_from_slice(&[0; 100]))),
                8 if reads => io.simulate_bytes(&mut diary, key, b"bytes"),
                9 if reads => io.simulate_eof(&mut diary, key),
                10 => io.simulate_failure(key, libc::ECONNRESET),
                11 => drop(io.take_outbox(&mut diary, key)),
                12 => io.simulate_time(Duration::from_millis(prng.below(1000))),
                _ => {
                    for (key, _) in io.pending_connects() {
                        let result = if prng.below(2) == 0 { Ok(()) } else { Err(libc::ECONNREFUSED) };
                        io.simulate_connected(&mut diary, key, result);
                    }
                }
            }
            if prng.below(3) == 0 {
                io.simulate_turn(&mut diary);
            }
        }
        keys.iter().for_each(|key| io.abort(*key));
        io.simulate_turn(&mut diary);
        assert!(diary.open.is_empty(), "SEED={seed}: never told of the end of {:?}", diary.open);
        assert_eq!((io.stats().open, io.stats().stale), (0, 0), "SEED={seed}");
    }
}
