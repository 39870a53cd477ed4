//! A broker that says anything: waiters are answered at most once, nobody before the handshake, everybody in time.

use super::*;
use crate::base::prng::Prng;
use crate::wire::pulsar::proto::ServerError;
use std::collections::BTreeSet;

const NOW: Instant = Instant(1_000_000_000);

fn link() -> Link<u64> {
    let mut link = Link::new("b:6650".to_owned(), None, None);
    link.on_connected(NOW, "test", &mut Vec::new());
    link
}

fn connected(max_message_size: Option<i32>) -> Command {
    Command::Connected(p::CommandConnected {
        server_version: "model".into(),
        protocol_version: Some(19),
        max_message_size,
        ..Default::default()
    })
}

fn ready() -> Link<u64> {
    let mut link = link();
    let event = link.on_command(NOW, connected(None), &mut Vec::new());
    assert!(matches!(event, LinkEvent::Ready { .. }), "{event:?}");
    link
}

/// One command of each kind that a broker may send, and some that it may not.
fn commands(request_id: u64) -> Vec<Command> {
    let error = ServerError::ServiceNotReady as i32;
    vec![
        connected(Some(1 << 20)),
        Command::Ping(p::CommandPing {}),
        Command::Pong(p::CommandPong {}),
        Command::Success(p::CommandSuccess { request_id, schema: None }),
        Command::Error(p::CommandError { request_id, error, message: "no".into() }),
        Command::ProducerSuccess(p::CommandProducerSuccess { request_id, ..Default::default() }),
        Command::ProducerSuccess(p::CommandProducerSuccess {
            request_id,
            producer_ready: Some(false),
            ..Default::default()
        }),
        Command::LookupResponse(p::CommandLookupTopicResponse {
            request_id,
            response: Some(1),
            broker_service_url: Some("pulsar://b:6650".into()),
            ..Default::default()
        }),
        Command::PartitionedMetadataResponse(p::CommandPartitionedTopicMetadataResponse {
            request_id,
            partitions: Some(3),
            ..Default::default()
        }),
        Command::CloseProducer(p::CommandCloseProducer { request_id, ..Default::default() }),
        Command::CloseConsumer(p::CommandCloseConsumer { request_id, ..Default::default() }),
        Command::SendReceipt(p::CommandSendReceipt::default()),
        Command::AuthChallenge(p::CommandAuthChallenge::default()),
        Command::Connect(p::CommandConnect::default()),
        Command::Unknown(63),
    ]
}

#[test]
fn waiters_are_answered_once_whatever_arrives() {
    for seed in 0..2000 {
        let mut prng = Prng::new(seed);
        let mut link = link();
        let (mut now, mut waiting, mut next) = (NOW, BTreeSet::new(), 0);
        for _ in 0..40 {
            if link.is_ready() && prng.below(2) == 0 {
                waiting.insert(next);
                assert_eq!(link.request(now, next), next, "ids count up");
                next += 1;
            }
            let all = commands(prng.below(next + 2));
            let mut bytes = Vec::new();
            frame::put(&mut bytes, &all[prng.below(all.len() as u64) as usize]);
            if prng.below(3) == 0 {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] = prng.next() as u8;
            }
            let Ok(frame) = frame::read(&bytes) else { continue };
            let was_ready = link.is_ready();
            let mut out = Vec::new();
            match link.on_command(now, frame.command, &mut out) {
                LinkEvent::Answered(waiter, _) => {
                    assert!(was_ready && waiting.remove(&waiter), "seed {seed}: {waiter} did not wait");
                }
                LinkEvent::Ready { frame_max } => {
                    assert!(!was_ready && frame_max <= limit::MESSAGE_SIZE_MAX + limit::FRAME_PADDING);
                }
                LinkEvent::Forward(_) => assert!(was_ready, "seed {seed}: forwarded before CONNECTED"),
                LinkEvent::Nothing | LinkEvent::Refused(_) | LinkEvent::Violation(_) => {}
            }
            now = now + std::time::Duration::from_millis(prng.below(200));
        }
        assert_eq!(link.take_waiters(), waiting.into_iter().collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn nothing_but_the_handshake_is_taken_before_connected() {
    for command in commands(0) {
        let shown = format!("{command:?}");
        match link().on_command(NOW, command.clone(), &mut Vec::new()) {
            LinkEvent::Ready { .. } => assert!(matches!(command, Command::Connected(_)), "{shown}"),
            LinkEvent::Refused(_) => assert!(matches!(command, Command::Error(_)), "{shown}"),
            LinkEvent::Violation(_) => {}
            LinkEvent::Nothing => {
                let harmless = ["Ping", "Pong", "AuthChallenge", "Unknown"];
                assert!(harmless.iter().any(|name| shown.starts_with(name)), "{shown}");
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
}

#[test]
fn announced_sizes_are_checked() {
    let event = |size| link().on_command(NOW, connected(size), &mut Vec::new());
    let default = limit::MESSAGE_SIZE_DEFAULT + limit::FRAME_PADDING;
    for size in [None, Some(0), Some(-1)] {
        assert!(matches!(event(size), LinkEvent::Ready { frame_max } if frame_max == default), "{size:?}");
    }
    assert!(matches!(event(Some(i32::MAX)), LinkEvent::Violation(_)));
    let mut twice = ready();
    assert!(matches!(twice.on_command(NOW, connected(None), &mut Vec::new()), LinkEvent::Violation(_)));
}

#[test]
fn a_silent_broker_is_given_up_and_its_waiters_are_told() {
    let mut link = ready();
    link.request(NOW, 5);
    let late = NOW + limit::KEEP_ALIVE_INTERVAL;
    assert_eq!(link.next_timer(), late);
    let mut out = Vec::new();
    let told = link.on_timer(late, &mut out).expect("one ping is open");
    assert!(matches!(told, Some((5, Answer::Failed(_)))), "{told:?}");
    assert!(!out.is_empty(), "a ping");
    assert_eq!(link.on_timer(late, &mut out), Ok(None), "told once");
    let later = late + limit::KEEP_ALIVE_INTERVAL;
    let reason = link.on_timer(later, &mut out).expect_err("the ping was not answered");
    assert!(reason.ends_with("silent for 60.0 s"), "{reason}");
    let mut heard = ready();
    assert_eq!(heard.on_timer(late, &mut out), Ok(None));
    heard.on_heard(late);
    assert!(matches!(heard.on_command(late, Command::Pong(p::CommandPong {}), &mut out), LinkEvent::Nothing));
    assert_eq!(heard.on_timer(later, &mut out), Ok(None));
}

#[test]
fn a_late_answer_finds_nobody() {
    let mut link = ready();
    link.request(NOW, 5);
    let late = NOW + limit::OPERATION_TIME_MAX;
    assert!(matches!(link.on_timer(late, &mut Vec::new()), Ok(Some((5, _)))));
    let answer = Command::Success(p::CommandSuccess { request_id: 0, schema: None });
    assert!(matches!(link.on_command(late, answer, &mut Vec::new()), LinkEvent::Nothing));
}
