//! When acks reach a broker that is there by its address, and what goes before what on its link.

use crate::cases::{Core, upgrade};
use crate::gateway_common::{agree, each_command};
use pulsegate::base::limit::ACK_GROUP_TIME;
use pulsegate::config::gateway::ServiceUrl;
use pulsegate::shard::{ConnKey, Handler};
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::{Command, MessageId, frame, proto as p};
use std::convert::Infallible;
use std::time::Duration;

/// A consumer session whose broker is the test.
struct Bench {
    core: Core,
    client: ConnKey,
    link: ConnKey,
    /// Once it is subscribed.
    consumer_id: Option<u64>,
}

impl Bench {
    /// A session that has entries 0 to 9 with its client.
    fn open() -> Bench {
        let mut core = Core::start(ServiceUrl::Binary(vec![("10.0.0.1".to_owned(), 6650)]));
        let path = "/ws/v2/consumer/persistent/public/default/t/s?subscriptionType=Shared&negativeAckRedeliveryDelay=20";
        let client = core.client(&upgrade(path, ""));
        let (link, _) = core.io.pending_connects()[0];
        core.io.simulate_connected(&mut core.gateway, link, Ok(()));
        core.turn();
        let mut bench = Bench { core, client, link, consumer_id: None };
        while bench.consumer_id.is_none() {
            let heard = bench.hear();
            assert!(!heard.is_empty(), "the consumer is made step by step");
            heard.iter().for_each(|command| bench.answer(command));
        }
        assert!(bench.core.said(client).starts_with("HTTP/1.1 101"));
        assert!(matches!(bench.hear()[..], [Command::Flow(_)]));
        (0..10).for_each(|entry_id| bench.deliver(entry_id));
        bench
    }

    fn answer(&mut self, command: &Command) {
        if let Command::Subscribe(ask) = command {
            self.consumer_id = Some(ask.consumer_id);
        }
        let mut out = Vec::new();
        agree(command, &mut out);
        let producer = matches!(command, Command::Producer(_));
        assert!(!producer && !out.is_empty(), "{command:?} was not expected");
        self.say(&out);
    }

    fn say(&mut self, bytes: &[u8]) {
        self.core.io.simulate_bytes(&mut self.core.gateway, self.link, bytes);
        self.core.turn();
    }

    /// What the broker was sent since the last look.
    fn hear(&mut self) -> Vec<Command> {
        let heard = self.core.io.take_outbox(&mut self.core.gateway, self.link);
        let mut commands = Vec::new();
        each_command(&heard, |command| commands.push(command));
        commands
    }

    fn deliver(&mut self, entry_id: u64) {
        let metadata = EntryMetadata { producer_name: "p", ..EntryMetadata::default() };
        let mut entry = Vec::new();
        let Ok(()) = entry::put(&mut entry, &metadata, |out| {
            out.push(b'x');
            Ok::<(), Infallible>(())
        });
        let message_id = p::MessageIdData { ledger_id: 7, entry_id, ..Default::default() };
        let consumer_id = self.consumer_id.expect("is subscribed");
        let message = p::CommandMessage { consumer_id, message_id, ..Default::default() };
        let mut out = Vec::new();
        frame::put_with_entry(&mut out, &Command::Message(message), &entry);
        self.say(&out);
    }

    fn client_says(&mut self, kind: &str, entry_id: u64) {
        let mut id = Vec::new();
        MessageId::plain(7, entry_id).put_text(&mut id);
        let id = String::from_utf8(id).expect("base64");
        let text = format!(r#"{{"type":"{kind}","messageId":"{id}"}}"#);
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.core.io.simulate_bytes(&mut self.core.gateway, self.client, &frame);
        self.core.turn();
    }

    fn ack(&mut self, entry_id: u64) {
        self.client_says("ack", entry_id);
    }
}

/// The entries an ACK names; of anything else, nothing.
fn acked(command: &Command) -> Vec<u64> {
    match command {
        Command::Ack(ack) => ack.message_id.iter().map(|id| id.entry_id).collect(),
        _ => Vec::new(),
    }
}

const STEP: Duration = Duration::from_millis(5);

#[test]
fn the_first_ack_goes_at_once_and_the_next_ones_together() {
    let mut bench = Bench::open();
    bench.ack(0);
    assert_eq!(bench.hear().iter().flat_map(acked).collect::<Vec<_>>(), [0]);
    for entry_id in 1..6 {
        bench.core.later(STEP);
        bench.ack(entry_id);
    }
    assert_eq!(bench.hear(), [], "they wait");
    bench.core.later(ACK_GROUP_TIME);
    let heard = bench.hear();
    assert_eq!((heard.len(), heard.iter().flat_map(acked).collect()), (1, vec![1, 2, 3, 4, 5]));
    bench.core.later(ACK_GROUP_TIME);
    bench.core.later(ACK_GROUP_TIME);
    assert_eq!(bench.hear(), [], "nothing waits any more");
    bench.ack(6);
    assert_eq!(bench.hear().iter().flat_map(acked).collect::<Vec<_>>(), [6]);
}

#[test]
fn what_waits_goes_before_the_consumer_is_closed() {
    for ending in ["close", "disconnect", "stop"] {
        let mut bench = Bench::open();
        bench.ack(0);
        bench.hear();
        bench.core.later(STEP);
        bench.ack(1);
        bench.ack(2);
        assert_eq!(bench.hear(), []);
        let Bench { core, client, .. } = &mut bench;
        match ending {
            "close" => core.io.simulate_bytes(&mut core.gateway, *client, &[0x88, 0x80, 0, 0, 0, 0]),
            "disconnect" => core.io.simulate_eof(&mut core.gateway, *client),
            _ => core.gateway.on_stop(&mut core.io, Duration::ZERO),
        }
        core.turn();
        core.later(STEP);
        let heard = bench.hear();
        assert_eq!(heard.first().map(acked), Some(vec![1, 2]), "{ending}: {heard:?}");
        assert!(matches!(heard[1..], [Command::CloseConsumer(_)]), "{ending}: {heard:?}");
    }
}

#[test]
fn what_waits_goes_before_entries_are_asked_for_again_and_before_the_subscription_ends() {
    let mut bench = Bench::open();
    bench.ack(0);
    bench.hear();
    bench.core.later(STEP);
    bench.client_says("negativeAcknowledge", 1);
    bench.ack(2);
    assert_eq!(bench.hear(), []);
    bench.core.later(4 * STEP);
    let heard = bench.hear();
    assert!(matches!(&heard[..], [ack, Command::Redeliver(_)] if acked(ack) == [2]), "{heard:?}");
    bench.core.later(STEP);
    bench.ack(3);
    assert_eq!(bench.hear(), []);
    bench.client_says("unsubscribe", 0);
    let heard = bench.hear();
    assert!(matches!(&heard[..], [ack, Command::Unsubscribe(_)] if acked(ack) == [3]), "{heard:?}");
}
