//! Parameters of the three kinds of sessions (API 3.1, 3.5, 4.1, 5).

use super::*;
use crate::wire::text::base64;

#[test]
fn defaults() {
    let topic = TopicName::parse("t").expect("valid");
    let expected = ProducerSpec {
        topic: topic.clone(),
        name: None,
        initial_sequence_id: -1,
        hashing: HashingScheme::JavaString,
        routing: RoutingMode::Single,
        send_timeout: Some(Duration::from_secs(30)),
        pending_messages_max: None,
        compression: CompressionType::None,
        batching: None,
        encryption_keys: vec![],
    };
    assert_eq!(producer("token=abc&unknown=1&accessMode=Exclusive&SendTimeoutMillis=abc"), expected);
    let expected = ConsumerSpec {
        topics: Topics::One(topic.clone()),
        subscription: "s".to_owned(),
        kind: SubscriptionType::Exclusive,
        durable: true,
        initial_position: InitialPosition::Latest,
        receiver_queue: 1000,
        ack_timeout: None,
        name: None,
        priority: 0,
        nack_delay: Duration::from_secs(60),
        dead_letter: None,
        pull: false,
        crypto_failure: CryptoFailureAction::Fail,
    };
    assert_eq!(consumer("t/s?pullMode=x&cryptoFailureAction=bogus"), expected);
    let expected = ReaderSpec {
        topic,
        name: None,
        receiver_queue: 1000,
        start: StartPosition::Latest,
        crypto_failure: CryptoFailureAction::Fail,
    };
    assert_eq!(reader("readerName=&messageId=%20&cryptoFailureAction=bogus"), expected);
}

#[test]
fn producer_parameters() {
    let spec = producer(concat!(
        "producerName=a+b&initialSequenceId=-9223372036854775808&hashingScheme=Murmur3_32Hash",
        "&sendTimeoutMillis=%2B5&sendTimeoutMillis=abc&batchingEnabled=TRUE&batchingMaxMessages=-3",
        "&batchingMaxPublishDelay=7&maxPendingMessages=12&messageRoutingMode=RoundRobinPartition",
        "&compressionType=ZSTD"
    ));
    assert_eq!((spec.name.as_deref(), spec.initial_sequence_id), (Some("a b"), i64::MIN));
    assert_eq!((spec.hashing, spec.routing), (HashingScheme::Murmur3, RoutingMode::RoundRobin));
    assert_eq!(
        (spec.send_timeout, spec.compression),
        (Some(Duration::from_millis(5)), CompressionType::Zstd)
    );
    assert_eq!(spec.batching, Some(Batching { messages_max: -3, delay: Duration::from_millis(7) }));
    assert_eq!(spec.pending_messages_max, Some(12));

    let default = Batching { messages_max: 1000, delay: Duration::from_millis(1) };
    assert_eq!(producer("batchingEnabled=true&maxPendingMessages=0").batching, Some(default));
    assert_eq!(producer("batchingEnabled=true&maxPendingMessages=0").pending_messages_max, None);
    assert_eq!(
        producer("batchingEnabled=yes&batchingMaxMessages=abc&batchingMaxPublishDelay=0").batching,
        None
    );
    for (query, pending) in [("-1", None), ("abc", None), ("0", None), ("5", Some(5))] {
        assert_eq!(producer(&format!("maxPendingMessages={query}")).pending_messages_max, pending, "{query}");
    }
    assert_eq!(producer("sendTimeoutMillis=0").send_timeout, None);
    assert_eq!(producer("messageRoutingMode=CustomPartition").routing, RoutingMode::Single);
    assert_eq!(producer("producerName=p").name.as_deref(), Some("p"));
}

#[test]
fn bad_producer_parameters() {
    for (query, text) in [
        ("sendTimeoutMillis=abc", "For input string: \"abc\""),
        ("sendTimeoutMillis=-1", "sendTimeout needs to be >= 0"),
        ("sendTimeoutMillis=", "For input string: \"\""),
        ("sendTimeoutMillis=2147483648", "For input string: \"2147483648\""),
        ("sendTimeoutMillis=abc&sendTimeoutMillis=5", "For input string: \"abc\""),
        ("messageRoutingMode=roundRobinPartition", "Invalid messageRoutingMode roundRobinPartition"),
        ("compressionType=lz4", "Invalid compressionType lz4"),
        ("hashingScheme=CRC", "No enum constant org.apache.pulsar.client.api.HashingScheme.CRC"),
        (
            "batchingEnabled=true&batchingMaxPublishDelay=0",
            "configured value for batch delay must be at least 1ms",
        ),
        ("batchingEnabled=true&batchingMaxMessages=x", "For input string: \"x\""),
        ("producerName=%20", "producerName cannot be blank"),
        ("initialSequenceId=abc", "For input string: \"abc\""),
        ("batchingEnabled=true&maxPendingMessages=-1", "maxPendingMessages needs to be >= 0"),
        ("a=%zz", "malformed % sequence in the query"),
    ] {
        assert_eq!(refused(&format!("/ws/v2/producer/persistent/public/default/t?{query}")), text);
    }
    let long = format!("/ws/v2/producer/persistent/public/default/t?compressionType={}", "x".repeat(8000));
    assert!(refused(&long).len() < 200);
}

fn keys(json: &str) -> String {
    let mut text = Vec::new();
    base64::encode(json.as_bytes(), &mut text);
    String::from_utf8(text).expect("ASCII").replace('+', "%2B")
}

/// API 3.5: keys of the client switch batching and compression off, and their parameters are not looked at.
#[test]
fn encryption_keys() {
    let json =
        r#"{"one":{"keyValue":"d3JhcHBlZA==","metadata":{"version":"1","n":2}},"two":{"keyValue":"Mg=="}}"#;
    let others = "&batchingEnabled=true&batchingMaxPublishDelay=0&compressionType=LZ4&maxPendingMessages=-1";
    let spec = producer(&format!("encryptionKeys={}{others}", keys(json)));
    assert_eq!((spec.batching, spec.compression), (None, CompressionType::None));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let metadata = vec![pair("version", "1"), pair("n", "2")];
    let one = EncryptionKey { name: "one".to_owned(), value: b"wrapped".to_vec(), metadata };
    let two = EncryptionKey { name: "two".to_owned(), value: b"2".to_vec(), metadata: vec![] };
    assert_eq!(spec.encryption_keys, [one, two]);

    let names = "Can't add encryption key without configuring cryptoKeyReaderFactoryClassName";
    let value = r#"{"keyValue":"QQ=="}"#;
    for (text, message) in [
        (format!("{{\" \":{value}}}"), "Empty param encryptionKeys.key"),
        (format!("{{\"one\":{value},\"two\":null}}"), "Empty param encryptionKeys.value"),
        (
            format!("{{\"one\":{value},\"two\":{{\"metadata\":{{}}}}}}"),
            "Empty param encryptionKeys.value.keyValue",
        ),
        (
            r#"{"one":{"keyValue":"***"}}"#.to_owned(),
            "Invalid encryptionKeys.value.keyValue: Illegal base64 character 2a",
        ),
        (
            r#"{"one":{"keyValue":"QQ==","metadata":{"a":null}}}"#.to_owned(),
            "Empty param encryptionKeys.value.metadata.value",
        ),
        ("{}".to_owned(), names),
        ("[1]".to_owned(), names),
        (r#"{"one":null}"#.to_owned(), names),
        ("x".to_owned(), names),
    ] {
        let target = format!("/ws/v2/producer/persistent/public/default/t?encryptionKeys={}", keys(&text));
        assert_eq!(refused(&target), message, "{text}");
    }
    for value in ["k1", "k1,k2", "", "%20"] {
        let target = format!("/ws/v2/producer/persistent/public/default/t?encryptionKeys={value}");
        assert_eq!(refused(&target), names, "{value}");
    }
}

#[test]
fn consumer_parameters() {
    let spec = consumer(concat!(
        "t/s?subscriptionType=Key_Shared&subscriptionMode=NonDurable&subscriptionInitialPosition=Earliest",
        "&receiverQueueSize=1001&ackTimeoutMillis=1000&consumerName=a%20b&priorityLevel=7",
        "&negativeAckRedeliveryDelay=0&maxRedeliverCount=2&deadLetterTopic=d&pullMode=TRUE",
        "&cryptoFailureAction=CONSUME"
    ));
    assert_eq!((spec.kind, spec.durable), (SubscriptionType::KeyShared, false));
    assert_eq!((spec.initial_position, spec.receiver_queue), (InitialPosition::Earliest, 1000));
    assert_eq!(spec.ack_timeout, Some(Duration::from_secs(1)));
    assert_eq!((spec.name.as_deref(), spec.priority, spec.nack_delay), (Some("a b"), 7, Duration::ZERO));
    let topic = Some(TopicName::parse("d").expect("valid"));
    assert_eq!(spec.dead_letter, Some(DeadLetterPolicy { redeliveries_max: 2, topic }));
    assert_eq!((spec.pull, spec.crypto_failure), (true, CryptoFailureAction::Consume));

    let spec = consumer("t/s?maxRedeliverCount=2147483647&ackTimeoutMillis=0&receiverQueueSize=0");
    assert_eq!((spec.ack_timeout, spec.receiver_queue), (Some(Duration::from_secs(30)), 0));
    assert_eq!(spec.dead_letter, Some(DeadLetterPolicy { redeliveries_max: i32::MAX as u32, topic: None }));
}

#[test]
fn bad_consumer_parameters() {
    for (query, text) in [
        ("subscriptionType=key_shared", "Invalid subscriptionType key_shared"),
        ("subscriptionMode=x", "Invalid subscriptionMode x"),
        ("subscriptionInitialPosition=earliest", "Invalid subscriptionInitialPosition earliest"),
        ("receiverQueueSize=-1", "receiverQueueSize needs to be >= 0"),
        ("receiverQueueSize=abc", "For input string: \"abc\""),
        ("ackTimeoutMillis=999", "Ack timeout should be greater than 1000 ms"),
        ("ackTimeoutMillis=-1", "Ack timeout should be greater than 1000 ms"),
        ("maxRedeliverCount=0", "MaxRedeliverCount must be > 0."),
        ("maxRedeliverCount=-2", "MaxRedeliverCount must be > 0."),
        ("deadLetterTopic=d", "MaxRedeliverCount must be > 0."),
        ("priorityLevel=-1", "priorityLevel needs to be >= 0"),
        ("negativeAckRedeliveryDelay=-1", "redeliveryDelay needs to be >= 0"),
        ("consumerName=", "consumerName cannot be blank"),
    ] {
        assert_eq!(refused(&format!("/ws/v2/consumer/persistent/public/default/t/s?{query}")), text);
    }
    for topic in ["", "%20", "bad%3A%2F%2Fx", "a/b"] {
        let query = format!("maxRedeliverCount=2&deadLetterTopic={topic}");
        let message = refused(&format!("/ws/v2/consumer/persistent/public/default/t/s?{query}"));
        assert!(message.starts_with("Invalid deadLetterTopic: "), "{message}");
    }
}

#[test]
fn reader_parameters() {
    let id = |batch_size| MessageId { batch_size, ..MessageId::plain(0, 3) };
    for (query, start) in [
        ("messageId=earliest", StartPosition::Earliest),
        ("messageId=latest", StartPosition::Latest),
        ("messageId=", StartPosition::Latest),
        ("messageId=CAMQADAA", StartPosition::After(MessageId::plain(3, 0))),
        ("messageId=CAAQAw%3D%3D", StartPosition::After(id(0))),
        ("messageId=CAAQAw", StartPosition::After(id(0))),
        (
            "messageId=CP%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2FwEQ%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2FAQ%3D%3D",
            StartPosition::Earliest,
        ),
    ] {
        assert_eq!(reader(query).start, start, "{query}");
    }
    let spec = reader("receiverQueueSize=5000&readerName=x");
    assert_eq!((spec.receiver_queue, spec.name.as_deref()), (1000, Some("x")));
    assert_eq!(reader("receiverQueueSize=0").receiver_queue, 0);
    for (query, text) in [
        ("messageId=%21%21", "Illegal base64 character 21"),
        ("messageId=%21", "Input byte[] should at least have 2 bytes for base64 bytes"),
        ("messageId=Latest", "not a message id"),
        ("messageId=AAAA", "not a message id"),
        ("receiverQueueSize=-1", "receiverQueueSize needs to be >= 0"),
        ("receiverQueueSize=x", "For input string: \"x\""),
    ] {
        assert_eq!(refused(&format!("/ws/v2/reader/persistent/public/default/t?{query}")), text);
    }
}
