//! Producers and consumers by their numbers.

use super::Members;
use crate::base::limit;
use crate::base::time::Instant;
use crate::session::inbound::tests::{bytes, producer_success, settings};
use crate::session::inbound::{NO_REQUEST, Step};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use std::time::Duration;

const NOW: Instant = Instant(0);

fn members() -> Members {
    Members::new(settings().places)
}

fn producer(id: u64, request: u64, topic: &str, attempt: u64) -> Command {
    Command::Producer(p::CommandProducer {
        topic: topic.to_owned(),
        producer_id: id,
        request_id: request,
        epoch: Some(attempt),
        ..Default::default()
    })
}

fn subscribe(id: u64, request: u64, topic: &str) -> Command {
    Command::Subscribe(p::CommandSubscribe {
        topic: topic.to_owned(),
        subscription: "s".to_owned(),
        consumer_id: id,
        request_id: request,
        ..Default::default()
    })
}

fn send(id: u64, sequence: u64) -> Command {
    Command::Send(p::CommandSend { producer_id: id, sequence_id: sequence, ..Default::default() })
}

fn success(request_id: u64) -> Command {
    Command::Success(p::CommandSuccess { request_id, schema: None })
}

fn failure(request_id: u64) -> Command {
    Command::Error(p::CommandError { request_id, error: 6, message: "not now".to_owned() })
}

fn broker_closes(producer_id: u64) -> Command {
    Command::CloseProducer(p::CommandCloseProducer {
        producer_id,
        request_id: NO_REQUEST,
        ..Default::default()
    })
}

/// Asserts that a step goes to a host, and to which store.
#[track_caller]
fn forwarded(step: &Step) -> (u16, bool) {
    let Step::Forward { store, first, .. } = step else { panic!("{step:?}") };
    (*store, *first)
}

/// The code of a refusal.
#[track_caller]
fn refused(step: &Step) -> i32 {
    let Step::Answer(Command::Error(error)) = step else { panic!("{step:?}") };
    error.error
}

#[test]
fn a_topic_decides_the_store_and_is_named_in_full() {
    let mut members = members();
    let step = members.on_command(NOW, producer(0, 1, "t", 0), 0);
    let Step::Forward { store, first: true, command: Command::Producer(ask) } = step else {
        panic!("{step:?}")
    };
    let full = "persistent://public/default/t";
    assert_eq!((ask.topic.as_str(), usize::from(store)), (full, full.len() % 4));
    let step = members.on_command(NOW, subscribe(0, 2, full), 0);
    assert_eq!(forwarded(&step), (store, false), "the store knows the connection by now");
    assert_eq!(members.stores().collect::<Vec<_>>(), [store]);
}

#[test]
fn a_producer_may_send_once_it_is_ready_and_not_before() {
    let mut members = members();
    let unknown = Step::Close("SEND of an unknown producer");
    assert_eq!(members.on_command(NOW, send(0, 0), 10), unknown);
    forwarded(&members.on_command(NOW, producer(0, 1, "t", 0), 0));
    let early = Step::Close("SEND of a producer that is not ready");
    assert_eq!(members.on_command(NOW, send(0, 0), 10), early);
    let Command::ProducerSuccess(mut queued) = producer_success(1) else { unreachable!() };
    queued.producer_ready = Some(false);
    members.on_told(NOW, &mut Command::ProducerSuccess(queued));
    assert_eq!(members.on_command(NOW, send(0, 0), 10), early, "it waits for the topic");
    members.on_told(NOW, &mut producer_success(1));
    forwarded(&members.on_command(NOW, send(0, 0), 10));
    assert_eq!((members.pending(), members.pending_bytes()), (1, 10));
}

#[test]
fn a_number_in_use_is_answered_as_observed() {
    let mut members = members();
    forwarded(&members.on_command(NOW, producer(0, 1, "t", 0), 0));
    assert_eq!(refused(&members.on_command(NOW, producer(0, 2, "t", 0), 0)), 6);
    members.on_told(NOW, &mut producer_success(1));
    for topic in ["t", "other"] {
        let step = members.on_command(NOW, producer(0, 3, topic, 0), 0);
        assert_eq!(step, Step::Answer(producer_success(3)), "the success again");
    }
    forwarded(&members.on_command(NOW, producer(0, 4, "t", 1), 0)); // its successor
    forwarded(&members.on_command(NOW, subscribe(0, 5, "t"), 0));
    assert_eq!(refused(&members.on_command(NOW, subscribe(0, 6, "t"), 0)), 6);
    members.on_told(NOW, &mut success(5));
    assert_eq!(members.on_command(NOW, subscribe(0, 7, "other"), 0), Step::Answer(success(7)));
    forwarded(&members.on_command(NOW, subscribe(0, 8, "t"), 0));
}

#[test]
fn a_number_is_free_again_after_a_refusal_or_a_close() {
    let mut members = members();
    forwarded(&members.on_command(NOW, producer(0, 1, "t", 0), 0));
    members.on_told(NOW, &mut failure(1));
    forwarded(&members.on_command(NOW, producer(0, 2, "other", 0), 0));
    let close = Command::CloseProducer(p::CommandCloseProducer {
        producer_id: 0,
        request_id: 3,
        ..Default::default()
    });
    forwarded(&members.on_command(NOW, close.clone(), 0));
    assert_eq!(members.on_command(NOW, close, 0), Step::Answer(success(3)), "there is none");
    members.on_told(NOW, &mut producer_success(2)); // too late
    assert!(members.is_empty());
    forwarded(&members.on_command(NOW, subscribe(0, 4, "t"), 0));
    members.on_told(NOW, &mut success(4));
    let unsubscribe =
        Command::Unsubscribe(p::CommandUnsubscribe { consumer_id: 0, request_id: 5, ..Default::default() });
    forwarded(&members.on_command(NOW, unsubscribe.clone(), 0));
    members.on_told(NOW, &mut failure(5));
    assert_eq!(members.len(), 1, "the subscription stayed");
    forwarded(&members.on_command(NOW, unsubscribe, 0));
    members.on_told(NOW, &mut success(5));
    assert!(members.is_empty());
}

#[test]
fn what_was_under_way_when_the_broker_closed_a_producer_is_ignored_for_a_while() {
    let mut members = members();
    forwarded(&members.on_command(NOW, producer(0, 1, "t", 0), 0));
    members.on_told(NOW, &mut producer_success(1));
    forwarded(&members.on_command(NOW, send(0, 0), 10));
    members.on_told(NOW, &mut broker_closes(0));
    assert_eq!((members.pending(), members.pending_bytes()), (0, 0), "nobody answers what was open");
    assert_eq!(members.on_command(NOW, send(0, 1), 10), Step::Nothing);
    let later = NOW + limit::CLOSED_PRODUCER_MEMORY;
    assert_eq!(members.on_command(later, send(0, 1), 10), Step::Close("SEND of an unknown producer"));
    forwarded(&members.on_command(later, producer(0, 2, "t", 1), 0));
    assert_eq!(
        members.on_command(later, send(0, 1), 10),
        Step::Close("SEND of a producer that is not ready")
    );
}

#[test]
fn the_memory_of_closed_producers_is_bounded() {
    let mut members = members();
    for id in 0..limit::CONNECTION_MEMBERS_MAX as u64 + 100 {
        forwarded(&members.on_command(NOW, producer(id, id, "t", 0), 0));
        members.on_told(NOW, &mut broker_closes(id));
    }
    assert!(members.closed.len() <= limit::CONNECTION_MEMBERS_MAX && members.waiting.is_empty());
    let later = NOW + Duration::from_secs(60);
    forwarded(&members.on_command(later, producer(0, 1, "t", 0), 0));
    members.on_told(later, &mut broker_closes(0));
    assert_eq!((members.closed.len(), members.closed_order.len()), (1, 1));
}

#[test]
fn consumers_that_are_not_there() {
    let mut members = members();
    let flow = Command::Flow(p::CommandFlow { consumer_id: 3, message_permits: 5 });
    let ack = Command::Ack(p::CommandAck { consumer_id: 3, request_id: Some(9), ..Default::default() });
    for silent in [flow, ack] {
        assert_eq!(members.on_command(NOW, silent, 0), Step::Nothing);
    }
    let seek = |time| p::CommandSeek {
        consumer_id: 3,
        request_id: 5,
        message_publish_time: time,
        ..Default::default()
    };
    // Captured: 080e7218080510011a12436f6e73756d6572206e6f7420666f756e64.
    let captured = Command::decode(&bytes("080e7218080510011a12436f6e73756d6572206e6f7420666f756e64"));
    let captured = Step::Answer(captured.expect("as captured"));
    assert_eq!(members.on_command(NOW, Command::Seek(seek(Some(1))), 0), captured);
    let last = p::CommandGetLastMessageId { consumer_id: 3, request_id: 5 };
    assert_eq!(members.on_command(NOW, Command::GetLastMessageId(last), 0), captured);
    let unsubscribe = p::CommandUnsubscribe { consumer_id: 3, request_id: 5, ..Default::default() };
    assert_eq!(members.on_command(NOW, Command::Unsubscribe(unsubscribe), 0), captured);
    let Step::Answer(Command::Error(error)) = members.on_command(NOW, Command::Seek(seek(None)), 0) else {
        panic!("refused")
    };
    assert_eq!(
        (error.error, &error.message[..]),
        (1, "Message id and message publish time were not present")
    );
    let stats = Command::ConsumerStats(p::CommandConsumerStats { request_id: 5, consumer_id: 3 });
    let Step::Answer(Command::ConsumerStatsResponse(response)) = members.on_command(NOW, stats, 0) else {
        panic!("refused")
    };
    assert_eq!(response.error_code, Some(13));
}

#[test]
fn transactions_are_refused_as_observed_and_the_connection_survives() {
    let mut members = members();
    let captured = "080e7223080510161a1d5472616e73616374696f6e7320617265206e6f7420656e61626c65642e";
    let captured = Step::Answer(Command::decode(&bytes(captured)).expect("as captured"));
    for ask in [
        Command::NewTransaction(p::CommandNewTxn { request_id: 5, ..Default::default() }),
        Command::AddPartitionToTransaction(p::CommandAddPartitionToTxn {
            request_id: 5,
            ..Default::default()
        }),
        Command::AddSubscriptionToTransaction(p::CommandAddSubscriptionToTxn {
            request_id: 5,
            ..Default::default()
        }),
        Command::EndTransaction(p::CommandEndTxn { request_id: 5, ..Default::default() }),
        Command::TransactionCoordinatorConnect(p::CommandTcClientConnectRequest {
            request_id: 5,
            ..Default::default()
        }),
    ] {
        assert_eq!(members.on_command(NOW, ask, 0), captured);
    }
    forwarded(&members.on_command(NOW, producer(0, 1, "t", 0), 0));
    members.on_told(NOW, &mut producer_success(1));
    let marked =
        p::CommandSend { producer_id: 0, sequence_id: 7, txnid_most_bits: Some(0), ..Default::default() };
    let step = members.on_command(NOW, Command::Send(marked), 10);
    let Step::Answer(Command::SendError(error)) = step else { panic!("{step:?}") };
    assert_eq!((error.error, error.sequence_id, members.pending()), (22, 7, 0));
}

#[test]
fn commands_of_brokers_end_the_connection() {
    for command in
        [success(1), failure(1), Command::Unknown(99), Command::Connected(p::CommandConnected::default())]
    {
        let step = members().on_command(NOW, command, 0);
        assert_eq!(step, Step::Close("a command that clients do not send"));
    }
}
