use super::*;
use ProducerAccessMode::{Exclusive, ExclusiveWithFencing, Shared, WaitForExclusive};

const TOPIC: &str = "persistent://public/default/t";

struct World {
    producers: Producers,
    settings: Settings,
    fenced: bool,
    terminated: bool,
    out: Outbox,
}

/// What a client saw, in short.
#[derive(Debug, PartialEq)]
enum Seen {
    Success { to: u64, request: u64, name: String, epoch: Option<u64>, ready: bool },
    Refused { to: u64, request: u64, code: ServerError },
    Closed { to: u64, producer: u64 },
    Probed(u64),
    Ok(u64),
    SavedEpoch(u64),
}

impl World {
    fn new() -> World {
        let settings = Settings::default();
        World {
            producers: Producers::default(),
            settings,
            fenced: false,
            terminated: false,
            out: Outbox::default(),
        }
    }

    /// Connection `on` asks; its producer and request id are its own number.
    fn ask(&mut self, on: u64, name: &str, mode: ProducerAccessMode, epoch: Option<u64>) -> Vec<Seen> {
        self.ask_as(ClientKey { connection: ConnectionId(on), id: on }, name, mode, epoch, 0)
    }

    fn ask_as(
        &mut self,
        key: ClientKey,
        name: &str,
        mode: ProducerAccessMode,
        topic_epoch: Option<u64>,
        attempt: u64,
    ) -> Vec<Seen> {
        let command = CommandProducer {
            producer_id: key.id,
            request_id: key.id,
            producer_name: Some(name.to_owned()),
            producer_access_mode: Some(mode as i32),
            topic_epoch,
            epoch: Some(attempt),
            ..CommandProducer::default()
        };
        let gate = Gate {
            topic: TOPIC,
            settings: &self.settings,
            fenced: self.fenced,
            terminated: self.terminated,
            blocked: None,
            now_ms: 0,
        };
        let generated = || "generated".to_owned();
        self.producers.create(key.connection, command, generated, |_| -1, gate, &mut self.out);
        self.seen()
    }

    fn close(&mut self, on: u64) -> Vec<Seen> {
        self.producers.close(ClientKey { connection: ConnectionId(on), id: on }, 9, &mut self.out);
        self.seen()
    }

    fn probe(&mut self, connection: u64, alive: bool) -> Vec<Seen> {
        let gate = Gate {
            topic: TOPIC,
            settings: &self.settings,
            fenced: self.fenced,
            terminated: self.terminated,
            blocked: None,
            now_ms: 0,
        };
        self.producers.on_probe(ConnectionId(connection), alive, gate, &mut self.out);
        self.seen()
    }

    /// All outputs; saves succeed at once.
    fn seen(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(output) = self.out.pop() {
            seen.push(match output {
                Output::Send { to, command: Command::ProducerSuccess(success) } => Seen::Success {
                    to: to.0,
                    request: success.request_id,
                    name: success.producer_name,
                    epoch: success.topic_epoch,
                    ready: success.producer_ready.expect("always said"),
                },
                Output::Send { to, command: Command::Error(error) } => {
                    if let Some(named) = error.message.split_once(" is already connected to topic ") {
                        assert_eq!(named.1, format!("'{TOPIC}'"), "clients are told where");
                    }
                    let code = ServerError::from_wire(error.error).expect("one of ours");
                    Seen::Refused { to: to.0, request: error.request_id, code }
                }
                Output::Send { to, command: Command::CloseProducer(close) } => {
                    assert_eq!(close.request_id, u64::MAX);
                    Seen::Closed { to: to.0, producer: close.producer_id }
                }
                Output::Send { command: Command::Success(success), .. } => Seen::Ok(success.request_id),
                Output::Probe { connection } => Seen::Probed(connection.0),
                Output::Save { id, save: Save::Epoch(epoch) } => {
                    self.producers.on_saved(id);
                    self.out.release(id);
                    Seen::SavedEpoch(epoch)
                }
                other => panic!("{other:?}"),
            });
        }
        seen
    }
}

fn success(on: u64, name: &str, epoch: Option<u64>) -> Seen {
    Seen::Success { to: on, request: on, name: name.to_owned(), epoch, ready: true }
}

fn refused(on: u64, code: ServerError) -> Seen {
    Seen::Refused { to: on, request: on, code }
}

#[test]
fn names_are_generated_and_repeated() {
    let mut world = World::new();
    assert_eq!(world.ask(1, "", Shared, None), [success(1, "generated", None)]);
    assert_eq!(world.ask(1, "", Shared, None), [success(1, "generated", None)], "the same again");
    let twin = ClientKey { connection: ConnectionId(1), id: 7 };
    let busy = Seen::Refused { to: 1, request: 7, code: ServerError::ProducerBusy };
    assert_eq!(world.ask_as(twin, "generated", Shared, None, 0), [busy], "same connection: no question");
}

#[test]
fn a_name_is_free_once_its_connection_is_dead() {
    let mut world = World::new();
    world.ask(1, "a", Shared, None);
    assert_eq!(world.ask(2, "a", Shared, None), [Seen::Probed(1)]);
    assert_eq!(world.ask(2, "a", Shared, None), [refused(2, ServerError::ServiceNotReady)]);
    assert_eq!(world.ask(3, "a", Shared, None), [], "asked already");
    let busy = ServerError::ProducerBusy;
    assert_eq!(world.probe(1, true), [refused(2, busy), refused(3, busy)]);
    assert_eq!(world.ask(2, "a", Shared, None), [Seen::Probed(1)]);
    assert_eq!(world.probe(1, false), [success(2, "a", None)]);
    assert!(matches!(
        world.producers.sender(ClientKey { connection: ConnectionId(1), id: 1 }),
        Sender::Unknown
    ));
}

#[test]
fn a_successor_replaces_quietly() {
    let mut world = World::new();
    let key = ClientKey { connection: ConnectionId(1), id: 1 };
    world.ask(1, "a", Shared, None);
    assert_eq!(world.ask_as(key, "a", Shared, None, 1), [success(1, "a", None)]);
    assert!(!world.producers.is_connected(key, 1) && world.producers.is_connected(key, 2));
}

#[test]
fn exclusive_modes_follow_the_table() {
    let mut world = World::new();
    let fenced = ServerError::ProducerFenced;
    assert_eq!(world.ask(1, "a", Exclusive, None), [Seen::SavedEpoch(0), success(1, "a", Some(0))]);
    assert_eq!(world.ask(2, "b", Shared, None), [refused(2, ServerError::ProducerBusy)]);
    assert_eq!(world.ask(3, "c", Exclusive, None), [refused(3, fenced)]);
    let queued = |on: u64, name: &str| Seen::Success {
        to: on,
        request: on,
        name: name.into(),
        epoch: Some(0),
        ready: false,
    };
    assert_eq!(world.ask(4, "d", WaitForExclusive, None), [queued(4, "d")]);
    assert_eq!(world.ask(5, "e", WaitForExclusive, None), [queued(5, "e")]);
    assert_eq!(world.close(1), [Seen::Ok(9), Seen::SavedEpoch(1), success(4, "d", Some(1))]);
    assert_eq!(
        world.ask(6, "f", ExclusiveWithFencing, None),
        [
            refused(5, fenced),
            Seen::Closed { to: 4, producer: 4 },
            Seen::SavedEpoch(2),
            success(6, "f", Some(2))
        ]
    );
    assert!(matches!(
        world.producers.sender(ClientKey { connection: ConnectionId(4), id: 4 }),
        Sender::ClosedByUs
    ));
    world.close(6);
    assert_eq!(world.ask(4, "d", Exclusive, Some(1)), [refused(4, fenced)], "its epoch is over");
    assert_eq!(world.ask(6, "f", Exclusive, Some(2)), [success(6, "f", Some(2))], "resumes");
    world.close(6);
    assert_eq!(world.ask(7, "g", Exclusive, Some(9)), [Seen::SavedEpoch(9), success(7, "g", Some(9))]);
    world.close(7);
    assert_eq!(world.ask(8, "h", Shared, None), [success(8, "h", Some(9))], "told to plain ones too");
}

#[test]
fn fencing_takes_a_name_without_asking() {
    let mut world = World::new();
    world.ask(1, "a", Shared, None);
    let closed = Seen::Closed { to: 1, producer: 1 };
    let seen = world.ask(2, "a", ExclusiveWithFencing, None);
    assert_eq!(seen, [closed, Seen::SavedEpoch(0), success(2, "a", Some(0))]);
}

#[test]
fn a_holder_is_told_once_its_epoch_is_durable() {
    let mut world = World::new();
    let key = ClientKey { connection: ConnectionId(1), id: 1 };
    let command = CommandProducer {
        producer_id: 1,
        producer_access_mode: Some(Exclusive as i32),
        ..CommandProducer::default()
    };
    let (settings, fenced, terminated) = (&world.settings, false, false);
    let gate = Gate { topic: TOPIC, settings, fenced, terminated, blocked: None, now_ms: 0 };
    world.producers.create(key.connection, command, || "a".into(), |_| -1, gate, &mut world.out);
    assert!(matches!(world.out.pop(), Some(Output::Save { .. })));
    assert!(world.out.pop().is_none());
    assert!(matches!(world.producers.sender(key), Sender::Unknown), "it may not send yet");
}

#[test]
fn states_and_limits_refuse() {
    let mut world = World::new();
    world.fenced = true;
    assert_eq!(world.ask(1, "a", Shared, None), [refused(1, ServerError::ServiceNotReady)]);
    (world.fenced, world.terminated) = (false, true);
    assert_eq!(world.ask(1, "a", Shared, None), [refused(1, ServerError::TopicTerminatedError)]);
    (world.terminated, world.settings.producers_max) = (false, 1);
    assert_eq!(world.ask(1, "a", Shared, None), [success(1, "a", None)]);
    assert_eq!(world.ask(2, "b", Shared, None), [refused(2, ServerError::ProducerBusy)]);
    world.settings.encryption_required = true;
    assert_eq!(world.ask(3, "c", Shared, None), [refused(3, ServerError::MetadataError)]);
}

#[test]
fn closed_by_us_is_remembered_for_a_while() {
    let mut world = World::new();
    let key = ClientKey { connection: ConnectionId(1), id: 1 };
    world.ask(1, "a", Shared, None);
    world.producers.close_all(Instant(1), &mut world.out);
    world.producers.on_tick(Instant(1) + CLOSED_PRODUCER_MEMORY / 2);
    assert!(matches!(world.producers.sender(key), Sender::ClosedByUs));
    world.producers.on_tick(Instant(1) + CLOSED_PRODUCER_MEMORY);
    assert!(matches!(world.producers.sender(key), Sender::Unknown));
}
