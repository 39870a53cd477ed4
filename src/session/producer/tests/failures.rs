//! What goes wrong: bad texts, full queues, time, refusals, lost links.

use super::*;

#[test]
fn bad_texts_are_told_and_the_session_goes_on() {
    let mut bench = Bench::new(spec(), 0);
    let payload = r#""payload":"SGVsbG8=","context":"7""#;
    for (text, result, error, context) in [
        ("null".to_owned(), "send-error:7", "The request is null", "-"),
        (r#"{"context":"7"}"#.to_owned(), "send-error:7", "The request has no payload", "7"),
        (
            r#"{"payload":"-_-_","context":"7","eventTime":"x","properties":{"n":null}}"#.to_owned(),
            "send-error:7",
            "Invalid Base64 message-payload error=Illegal base64 character 2d",
            "7",
        ),
        (
            format!(r#"{{{payload},"properties":{{"n":null}}}}"#),
            "send-error:7",
            "Need Non-Null value for key: n",
            "7",
        ),
        (
            format!(r#"{{{payload},"replicationClusters":[null]}}"#),
            "send-error:7",
            "The list replicationClusters contains null",
            "7",
        ),
        (
            format!(r#"{{{payload},"eventTime":"2016-08-30 16:45:57"}}"#),
            "send-error:7",
            "Text '2016-08-30 16:45:57' could not be parsed at index 10",
            "7",
        ),
    ] {
        bench.text(&text);
        let answer = bench.answers().remove(0);
        let member = |name: &str| answer[name].as_str().unwrap_or("-").to_owned();
        assert_eq!((member("result"), member("errorMsg")), (result.to_owned(), error.to_owned()), "{text}");
        assert_eq!(member("context"), context, "{text}");
    }
    bench.text("not json");
    assert_eq!(bench.results(), [("send-error:3".to_owned(), "-".to_owned())]);
    bench.send("good");
    assert_eq!((bench.written(0)[0].sequence_id, bench.producer.refused_texts()), (0, 7));
    assert_eq!(bench.producer.counters().failures, 0, "nothing failed on its way");
}

#[test]
fn over_max_pending_messages_is_queue_full() {
    for spec in [spec(), batching(0)] {
        let mut bench = Bench::new(ProducerSpec { pending_messages_max: Some(1), ..spec }, 0);
        ["0", "1", "2"].iter().for_each(|body| bench.send(body));
        let text = format!("{EXCEPTION}ProducerQueueIsFullError: Producer send queue is full");
        for (answer, context) in bench.answers().iter().zip(["1", "2"]) {
            assert_eq!(
                (answer["errorMsg"].as_str(), answer["context"].as_str()),
                (Some(text.as_str()), Some(context))
            );
        }
        bench.text(r#"{"payload":"!!"}"#);
        assert_eq!(bench.error().0, "send-error:7", "the payload is looked at first");
        bench.call(|producer, cx| producer.flush(cx));
        bench.written(0);
        bench.receipt(0, 0, None, 0);
        bench.send("3");
        assert_eq!(bench.results(), [("ok".to_owned(), "0".to_owned())]);
    }
}

#[test]
fn a_message_over_the_brokers_limit_fails_and_takes_no_sequence_id() {
    for spec in [spec(), batching(0)] {
        let mut bench = Bench::new(spec, 0);
        bench.producer.on_detached(0);
        attach(&mut bench.producer, 0, 1000);
        bench.send(&"x".repeat(1000));
        let (result, text) = bench.error();
        assert_eq!(result, "send-error:8");
        let beginning = format!(
            "{EXCEPTION}InvalidMessageException: The producer p of the topic {TOPIC} sends a message with "
        );
        assert!(text.starts_with(&beginning) && text.ends_with(" bytes that exceeds 1000 bytes"), "{text}");
        bench.assert_idle();
        bench.send("x");
        bench.call(|producer, cx| producer.flush(cx));
        assert_eq!(bench.written(0)[0].sequence_id, 0);
        assert_eq!(bench.producer.counters().failures, 1);
    }
}

#[test]
fn the_limit_counts_metadata_and_payload() {
    let mut bench = Bench::new(spec(), 0);
    bench.send("x");
    let size = bench.written(0)[0].entry.len() - 10;
    for (max, answers) in [(size, 0), (size - 1, 1)] {
        let mut bench = Bench::new(spec(), 0);
        bench.producer.on_detached(0);
        attach(&mut bench.producer, 0, max);
        bench.send("x");
        assert_eq!(bench.answers().len(), answers);
    }
}

#[test]
fn a_send_timeout_fails_everything_oldest_first() {
    let mut bench = Bench::new(ProducerSpec { send_timeout: Some(Duration::from_secs(1)), ..batching(2) }, 0);
    ["a", "b"].iter().for_each(|body| bench.send(body));
    assert_eq!(bench.written(0).len(), 1);
    bench.pass(Duration::from_millis(995));
    bench.send("c");
    assert_eq!(bench.answers().len(), 0);
    bench.pass(Duration::from_millis(5));
    let answers = bench.answers();
    let contexts: Vec<_> = answers.iter().map(|answer| answer["context"].as_str().unwrap()).collect();
    assert_eq!(contexts, ["a", "b", "c"]);
    let beginning = format!(
        "{EXCEPTION}TimeoutException: The producer p can not send message to the topic {TOPIC} \
         within given timeout"
    );
    assert!(answers.iter().all(|answer| answer["errorMsg"].as_str().unwrap().starts_with(&beginning)));
    bench.assert_idle();
    assert_eq!(bench.receipt(0, 0, Some(1), 0), Verdict::Fine, "it comes late");
    bench.send("d");
    bench.pass(Duration::from_millis(10));
    assert_eq!(bench.written(0)[0].sequence_id, 2, "the open batch had taken none");
    bench.receipt(0, 2, None, 1);
    assert_eq!(bench.results(), [("ok".to_owned(), "d".to_owned())]);
}

#[test]
fn a_send_timeout_reaches_a_batch_that_is_still_open() {
    let batching = Some(Batching { messages_max: 0, delay: Duration::from_secs(60) });
    let mut bench = Bench::new(ProducerSpec { batching, ..spec() }, 0);
    bench.send("a");
    assert_eq!(bench.producer.next_timer(), Some(Instant(1) + Duration::from_secs(30)));
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.results(), [("send-error:8".to_owned(), "a".to_owned())]);
    bench.assert_idle();
}

#[test]
fn timers_are_due_once() {
    let mut bench = Bench::new(spec(), 2);
    bench.request("x", json!({"key": "a"}));
    bench.pass(Duration::from_secs(20));
    bench.request("y", json!({"key": "b"}));
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.results(), [("send-error:8".to_owned(), "x".to_owned())], "legs are on their own");
    assert_eq!(bench.producer.next_timer(), Some(bench.now + Duration::from_secs(20)));
}

#[test]
fn a_terminated_topic_fails_what_waits_and_what_comes() {
    let mut bench = Bench::new(batching(2), 0);
    ["a", "b", "c"].iter().for_each(|body| bench.send(body));
    bench.written(0);
    assert_eq!(bench.send_error(ServerError::TopicTerminatedError, 1), Verdict::Fine);
    let answers = bench.answers();
    assert_eq!(answers.len(), 3);
    bench.send("d");
    let (result, text) = bench.error();
    assert!(
        result == "send-error:8" && text.starts_with(&format!("{EXCEPTION}TopicTerminatedException: ")),
        "{text}"
    );
    bench.assert_idle();
    attach(&mut bench.producer, 0, 1000);
    bench.send("e");
    assert_eq!(bench.answers().len(), 0, "attached again, it takes messages");
}

#[test]
fn a_refused_leg_fails_with_the_given_text() {
    let mut bench = Bench::new(spec(), 0);
    bench.send("a");
    let text = format!("{EXCEPTION}ProducerFencedException: fenced");
    bench.call(|producer, cx| producer.on_refused(cx, 0, text.clone()));
    assert_eq!(bench.error(), ("send-error:8".to_owned(), text.clone()));
    bench.send("b");
    assert_eq!(bench.error(), ("send-error:8".to_owned(), text));
    assert!(!bench.producer.has_unsent(0));
}

#[test]
fn an_entry_that_is_not_allowed_fails_alone() {
    let mut bench = Bench::new(batching(2), 0);
    ["a", "b", "c", "d"].iter().for_each(|body| bench.send(body));
    bench.written(0);
    assert_eq!(bench.send_error(ServerError::NotAllowedError, 1), Verdict::Fine, "named by its highest id");
    let answers = bench.answers();
    let text = format!("{EXCEPTION}NotAllowedException: the broker says no");
    assert!(answers.len() == 2 && answers.iter().all(|answer| answer["errorMsg"] == text), "{answers:?}");
    bench.receipt(0, 2, Some(3), 0);
    assert_eq!(bench.results(), [("ok".to_owned(), "c".to_owned()), ("ok".to_owned(), "d".to_owned())]);
}

#[test]
fn errors_that_pass_ask_for_a_new_producer_and_resend() {
    let errors = [ServerError::PersistenceError, ServerError::UnknownError, ServerError::ChecksumError];
    for error in errors.into_iter().chain([ServerError::ProducerFenced, ServerError::ServiceNotReady]) {
        let mut bench = Bench::new(spec(), 0);
        ["a", "b"].iter().for_each(|body| bench.send(body));
        let before = bench.written(0);
        assert_eq!(bench.send_error(error, 0), Verdict::Reattach, "{error:?}");
        assert!(!bench.producer.has_unsent(0), "the old producer gets nothing more");
        attach(&mut bench.producer, 0, 1000);
        let after = bench.written(0);
        assert_eq!(before.len(), 2);
        assert!(before.iter().zip(&after).all(|(a, b)| a.entry == b.entry && a.sequence_id == b.sequence_id));
        assert_eq!(bench.answers().len(), 0);
    }
}

#[test]
fn a_number_no_version_knows_passes_too() {
    let mut bench = Bench::new(spec(), 0);
    bench.send("a");
    bench.written(0);
    let error = CommandSendError { producer_id: 0, sequence_id: 0, error: 99, message: String::new() };
    assert_eq!(bench.call(|producer, cx| producer.on_send_error(cx, 0, &error)), Verdict::Reattach);
}

#[test]
fn a_checksum_error_for_what_is_gone_changes_nothing() {
    let mut bench = Bench::new(spec(), 0);
    assert_eq!(bench.send_error(ServerError::ChecksumError, 0), Verdict::Fine);
    assert_eq!(bench.send_error(ServerError::NotAllowedError, 0), Verdict::Fine);
    assert_eq!(bench.answers().len(), 0);
}

#[test]
fn a_receipt_for_what_was_never_sent_closes_the_link() {
    let mut bench = Bench::new(spec(), 0);
    bench.send("a");
    assert_eq!(bench.receipt(0, 0, None, 0), Verdict::CloseLink, "not written yet");
    bench.written(0);
    assert_eq!(bench.receipt(0, 1, None, 0), Verdict::CloseLink);
    assert_eq!(bench.receipt(0, 0, None, 0), Verdict::Fine);
    assert_eq!(bench.results(), [("ok".to_owned(), "a".to_owned())]);
}

#[test]
fn a_duplicate_is_acked_with_the_brokers_answer() {
    let mut bench = Bench::new(spec(), 0);
    bench.send("a");
    bench.written(0);
    let message_id =
        Some(MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, ..MessageIdData::default() });
    let receipt =
        CommandSendReceipt { producer_id: 0, sequence_id: 0, message_id, highest_sequence_id: None };
    assert_eq!(bench.call(|producer, cx| producer.on_receipt(cx, 0, &receipt)), Verdict::Fine);
    let id = MessageId::from_text(bench.answers()[0]["messageId"].as_str().unwrap()).unwrap();
    assert_eq!(id, MessageId::plain(u64::MAX, u64::MAX));
}

#[test]
fn a_lost_link_is_invisible() {
    let mut bench = Bench::new(spec(), 0);
    ["a", "b"].iter().for_each(|body| bench.send(body));
    let before = bench.written(0);
    bench.producer.on_detached(0);
    bench.send("c");
    assert!(!bench.producer.has_unsent(0));
    attach(&mut bench.producer, 0, 1 << 20);
    let after = bench.written(0);
    assert_eq!(after.iter().map(|entry| entry.sequence_id).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(before.iter().zip(&after).all(|(a, b)| a.entry == b.entry), "byte for byte");
    (0..3).for_each(|id| assert_eq!(bench.receipt(0, id, None, id), Verdict::Fine));
    assert_eq!(
        bench.results().iter().map(|(_, context)| context.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    bench.assert_idle();
}

#[test]
fn buffers_go_back_to_the_pool() {
    for spec in [spec(), batching(4), ProducerSpec { compression: CompressionType::Lz4, ..batching(4) }] {
        let mut bench = Bench::new(spec, 0);
        for round in 0..4 {
            (0..8).for_each(|_| bench.send("some payload"));
            for entry in bench.written(0) {
                bench.receipt(0, entry.sequence_id, entry.highest, round);
            }
            bench.assert_idle();
        }
        assert!((1..=18).contains(&bench.pool.len()), "{} buffers", bench.pool.len());
    }
}
