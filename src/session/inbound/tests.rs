//! Golden frames are those of the protocol's test vectors (V1 to V30) or were captured from an Apache Pulsar 4.0.7 standalone.

use super::*;
use crate::base::prng::Prng;

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex");
    digits.chunks(2).map(pair).collect()
}

/// CONNECT as the Python client 3.13.0 sends it (V3).
const CONNECT: &str =
    "0000002900000025080212210a1150756c7361722d4350502d76342e322e3020142a046e6f6e65520408011001";
const PING: &str = "00000009000000050812920100";
const PONG: &str = "0000000900000005 08139a0100";
/// PRODUCER with producer id 0 and request id 4 (V17).
const PRODUCER: &str = "000000330000002f08052a2b0a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f74100018042800400048005000";
/// SEND of `hello` by producer 0 (V19).
const SEND: &str = "000000280000000808063204080010000e0109290a040000000d0a02703110001880d095ffbc3168656c6c6f";
const LOOKUP: &str =
    "0000002c000000280817ba01230a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f7410021800";

pub(super) fn settings() -> Settings {
    let of = |topic: &str, stores: u16| (topic.len() % usize::from(stores)) as u16;
    let places = Places { stores: 4, of };
    Settings { places, keep_alive: Duration::from_secs(30), message_size_max: limit::MESSAGE_SIZE_DEFAULT }
}

/// A connection and what surrounds it.
struct World {
    inbound: Inbound,
    arena: Arena,
    out: Vec<u8>,
    effects: Vec<Effect>,
    now: Instant,
    sending: usize,
}

impl World {
    fn new() -> World {
        World {
            inbound: Inbound::new(Instant(0), settings()),
            arena: Arena::default(),
            out: Vec::new(),
            effects: Vec::new(),
            now: Instant(0),
            sending: 0,
        }
    }

    fn connected() -> World {
        let mut world = World::new();
        world.feed(&bytes(CONNECT)).expect("a good CONNECT");
        world.out.clear();
        world
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Inbound, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            now: self.now,
            out: &mut self.out,
            sending: self.sending,
            arena: &mut self.arena,
            effects: &mut self.effects,
        };
        work(&mut self.inbound, &mut cx)
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.with(|inbound, cx| inbound.on_bytes(cx, bytes))
    }

    /// As if a host had said it.
    fn tell(&mut self, mut command: Command) {
        self.inbound.on_told(self.now, &mut self.out, &mut command).expect("a client new enough");
    }

    /// Producer 0 is created.
    fn producing() -> World {
        let mut world = World::connected();
        world.feed(&bytes(PRODUCER)).expect("a good PRODUCER");
        world.tell(producer_success(4));
        world.out.clear();
        world.effects.clear();
        world
    }

    fn after(&mut self, seconds: u64) -> Result<(), Fault> {
        self.now = self.now + Duration::from_secs(seconds);
        self.with(|inbound, cx| inbound.on_timer(cx))
    }
}

pub(super) fn producer_success(request_id: u64) -> Command {
    Command::ProducerSuccess(p::CommandProducerSuccess {
        request_id,
        producer_name: "standalone-0-0".to_owned(),
        last_sequence_id: Some(-1),
        schema_version: Some(Vec::new()),
        topic_epoch: None,
        producer_ready: Some(true),
    })
}

fn receipt(sequence_id: u64) -> Command {
    Command::SendReceipt(p::CommandSendReceipt { producer_id: 0, sequence_id, ..Default::default() })
}

/// All commands in a piece of an outbox.
fn commands(mut out: &[u8]) -> Vec<Command> {
    let mut found = Vec::new();
    while let Some(total) = frame::size(out, usize::MAX).expect("well-formed") {
        found.push(frame::read(&out[..total]).expect("well-formed").command);
        out = &out[total..];
    }
    assert!(out.is_empty(), "whole frames");
    found
}

#[test]
fn the_handshake_is_that_of_the_original() {
    let mut world = World::new();
    world.feed(&bytes(PING)).expect("before CONNECT a PING is answered");
    assert_eq!(world.out, bytes(PONG));
    world.out.clear();
    world.feed(&bytes(CONNECT)).expect("welcome");
    // Captured, but for the feature flags: of the original's three only number 5 is ours.
    let captured = "08031a1f0a1250756c73617220536572766572342e302e371014188080c002 22022801";
    assert_eq!(world.out[8..], bytes(captured));
    assert_eq!(world.inbound.client_version(), "Pulsar-CPP-v4.2.0");
    assert_eq!(world.feed(&bytes(CONNECT)), Err(Fault::Protocol("CONNECT twice")));
}

#[test]
fn the_version_is_the_lower_one_and_none_counts_as_zero() {
    for (theirs, agreed) in [(None, 0), (Some(-3), 0), (Some(6), 6), (Some(21), 21), (Some(30), 21)] {
        let mut world = World::new();
        let connect = p::CommandConnect { protocol_version: theirs, ..Default::default() };
        let mut frame = Vec::new();
        frame::put(&mut frame, &Command::Connect(connect));
        world.feed(&frame).expect("welcome");
        let answers = commands(&world.out);
        let [Command::Connected(connected)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(connected.protocol_version, Some(agreed), "theirs {theirs:?}");
    }
}

#[test]
fn anything_else_before_connect_ends_the_connection() {
    for frame in [LOOKUP, PRODUCER, SEND] {
        let mut world = World::new();
        let fault = world.feed(&bytes(frame)).expect_err("too early");
        assert_eq!(fault, Fault::Protocol("a command before CONNECT"));
        assert!(world.out.is_empty() && world.effects.is_empty());
    }
}

#[test]
fn frames_arrive_in_any_pieces() {
    let all = [bytes(CONNECT), bytes(PRODUCER), bytes(LOOKUP), bytes(PING)].concat();
    let mut whole = World::new();
    whole.feed(&all).expect("good frames");
    assert_eq!(whole.effects.len(), 2);
    for cut in 0..=all.len() {
        let mut world = World::new();
        world.feed(&all[..cut]).expect("good frames");
        world.feed(&all[cut..]).expect("good frames");
        assert_eq!((&world.out, &world.effects), (&whole.out, &whole.effects), "cut at {cut}");
    }
    let mut world = World::new();
    for byte in &all {
        world.feed(std::slice::from_ref(byte)).expect("good frames");
    }
    assert_eq!((&world.out, &world.effects), (&whole.out, &whole.effects));
}

#[test]
fn an_entry_is_handed_on_as_it_came() {
    let mut world = World::producing();
    let frame = bytes(SEND);
    world.feed(&frame[..20]).expect("half");
    world.feed(&frame[20..]).expect("the rest");
    world.feed(&frame).expect("whole");
    for effect in &world.effects {
        let Effect::Forward { command: Command::Send(send), entry, .. } = effect else {
            panic!("{effect:?}")
        };
        assert_eq!((send.producer_id, &entry[..]), (0, &frame[16..]));
    }
    assert_eq!(world.effects.len(), 2);
}

#[test]
fn a_large_entry_stays_in_the_buffer_it_was_gathered_in() {
    let mut world = World::producing();
    let mut frame = Vec::new();
    let entry = vec![7; 3 << 20];
    frame::put_send(&mut frame, 0, 0, None, 1, &entry);
    for piece in frame.chunks(16 * 1024) {
        world.feed(piece).expect("good bytes");
    }
    let [Effect::Forward { entry: got, .. }] = &world.effects[..] else { panic!("one SEND") };
    assert_eq!(got, &entry);
    assert_eq!(world.inbound.gathered(), 0);
    assert_eq!(world.inbound.members().pending_bytes(), entry.len());
}

#[test]
fn an_over_long_frame_ends_the_connection_on_its_size() {
    let largest = limit::MESSAGE_SIZE_DEFAULT + limit::FRAME_PADDING;
    let mut world = World::connected();
    world.feed(&(largest as u32 - 4).to_be_bytes()).expect("the largest frame is fine");
    let mut world = World::connected();
    let fault = world.feed(&(largest as u32 - 3).to_be_bytes()).expect_err("one byte more");
    assert!(matches!(fault, Fault::Frame(FrameError::TooLarge { .. })), "{fault}");
    assert_eq!(world.inbound.gathered.capacity(), world.inbound.gathered.capacity().min(64));
}

#[test]
fn hostile_bytes_end_the_connection_or_are_understood_and_never_grow_it() {
    let seed = 0x1b0_0d5;
    let mut random = Prng::new(seed);
    let good = [bytes(PRODUCER), bytes(SEND), bytes(LOOKUP), bytes(PING)];
    for round in 0..20_000 {
        let mut world = World::producing();
        let mut input = good[random.below(4) as usize].clone();
        match random.below(4) {
            0 => input = (0..random.below(60)).map(|_| random.next() as u8).collect(),
            1 => input.truncate(random.below(input.len() as u64) as usize),
            _ => {
                for _ in 0..=random.below(3) {
                    let at = random.below(input.len() as u64) as usize;
                    input[at] = random.next() as u8;
                }
            }
        }
        let result = world.feed(&input);
        let held = world.inbound.gathered();
        assert!(held <= input.len(), "seed {seed}, round {round}: {result:?}");
        assert!(world.out.len() <= 1024, "seed {seed}, round {round}: {:?}", commands(&world.out));
    }
}

#[test]
fn a_client_that_sends_too_much_is_held_until_half_is_answered() {
    let mut world = World::producing();
    let frames = bytes(SEND).repeat(limit::CONNECTION_PENDING_MAX + 20);
    world.feed(&frames).expect("good frames");
    assert_eq!(world.effects.len(), limit::CONNECTION_PENDING_MAX);
    assert!(world.inbound.is_held());
    assert_eq!(world.inbound.gathered(), 20 * bytes(SEND).len());
    world.feed(&bytes(PING)).expect("kept for later");
    for sequence in 0..limit::CONNECTION_PENDING_MAX as u64 / 2 {
        assert!(world.inbound.is_held());
        world.tell(receipt(sequence));
    }
    assert!(!world.inbound.is_held());
    world.out.clear();
    world.with(|inbound, cx| inbound.go_on(cx)).expect("the rest");
    assert_eq!(world.effects.len(), limit::CONNECTION_PENDING_MAX + 20);
    assert_eq!((commands(&world.out).len(), world.inbound.gathered()), (1, 0));
    assert_eq!(world.inbound.members().pending(), limit::CONNECTION_PENDING_MAX / 2 + 20);
}

#[test]
fn a_client_that_asks_and_does_not_read_stays_bounded() {
    let mut world = World::connected();
    world.feed(&bytes(LOOKUP).repeat(1000)).expect("good frames");
    assert_eq!(world.effects.len(), limit::CONNECTION_ASKS_MAX);
    assert!(world.inbound.is_held());
    let mut world = World::connected();
    world.sending = limit::CONNECTION_OUTBOX_MAX - 100;
    world.feed(&bytes(PING).repeat(1000)).expect("good frames");
    assert!(world.inbound.is_held() && world.out.len() < 200, "{}", world.out.len());
    world.inbound.on_outbox(limit::CONNECTION_OUTBOX_LOW + 1);
    assert!(world.inbound.is_held());
    world.inbound.on_outbox(limit::CONNECTION_OUTBOX_LOW);
    (world.sending, world.out) = (0, Vec::new());
    world.with(|inbound, cx| inbound.go_on(cx)).expect("the rest");
    assert!(!world.inbound.is_held() && world.inbound.gathered() == 0);
}

#[test]
fn an_idle_client_is_pinged_and_a_silent_one_closed() {
    let mut world = World::connected();
    for _ in 0..3 {
        world.out.clear();
        world.after(30).expect("it answered");
        assert_eq!(world.out, bytes(PING));
        world.feed(&bytes(PONG)).expect("PONG");
    }
    world.after(30).expect("one interval may pass");
    assert_eq!(world.after(30), Err(Fault::Silent("PING was not answered")));
    let mut silent = World::new();
    silent.after(29).expect("there is time");
    assert_eq!(silent.after(1), Err(Fault::Silent("no CONNECT")));
}

#[test]
fn a_client_that_is_not_read_from_is_not_taken_for_dead() {
    let mut world = World::connected();
    world.inbound.hold();
    for _ in 0..5 {
        world.after(30).expect("we do not listen");
    }
    world.effects.clear();
    world.with(|inbound, cx| inbound.probe(cx));
    assert_eq!(world.effects, [Effect::Probed { alive: true }]);
    world.inbound.release();
    assert_eq!(world.after(30), Err(Fault::Silent("PING was not answered")));
}

#[test]
fn a_probe_tells_who_lives() {
    let mut world = World::connected();
    world.with(|inbound, cx| inbound.probe(cx));
    world.with(|inbound, cx| inbound.probe(cx));
    assert_eq!(world.out, bytes(PING), "one question is enough");
    world.feed(&bytes(PONG)).expect("PONG");
    assert_eq!(world.effects, [Effect::Probed { alive: true }]);
    world.effects.clear();
    world.with(|inbound, cx| inbound.probe(cx));
    assert_eq!(world.inbound.next_timer(), Instant(5_000_000_000));
    assert!(world.after(5).is_err());
    assert_eq!(world.effects, [Effect::Probed { alive: false }]);
}

#[test]
fn what_a_client_does_not_know_is_not_sent_to_it() {
    let end = Command::ReachedEndOfTopic(p::CommandReachedEndOfTopic { consumer_id: 1 });
    let active = Command::ActiveConsumerChange(p::CommandActiveConsumerChange {
        consumer_id: 1,
        is_active: Some(true),
    });
    for (client, version, expected) in
        [("Pulsar-CPP-v4.2.0", 20, 1), ("Pulsar-Java-v4.0.7", 21, 2), ("pulsar-rs-v6", 11, 1)]
    {
        let mut world = World::new();
        let connect = p::CommandConnect {
            client_version: client.to_owned(),
            protocol_version: Some(version),
            ..Default::default()
        };
        let mut frame = Vec::new();
        frame::put(&mut frame, &Command::Connect(connect));
        world.feed(&frame).expect("welcome");
        world.out.clear();
        world.tell(end.clone());
        world.tell(active.clone());
        assert_eq!(commands(&world.out).len(), expected, "{client}");
    }
    let old = World::new();
    let (message, entry) = (p::CommandMessage::default(), bytes("0e0109290a04 0000000d"));
    let mut out = Vec::new();
    old.inbound.deliver(&mut out, message.clone(), &entry);
    assert!(out.ends_with(&bytes("0000000d")) && !out.windows(2).any(|pair| pair == [0x0e, 0x01]));
    let mut out = Vec::new();
    World::connected().inbound.deliver(&mut out, message, &entry);
    assert!(out.ends_with(&entry));
}

#[test]
fn credentials_out_of_turn_are_refused_as_observed() {
    let mut world = World::connected();
    let mut frame = Vec::new();
    frame::put(&mut frame, &Command::AuthResponse(p::CommandAuthResponse::default()));
    assert_eq!(world.feed(&frame), Err(Fault::Refused));
    let captured = "080e722508ffffffffffffffffff0110031a164661696c656420746f2061757468656e746963617465";
    assert_eq!(world.out[8..], bytes(captured));
}
