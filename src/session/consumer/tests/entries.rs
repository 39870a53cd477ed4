//! Compressed, batched, chunked, encrypted and broken entries (protocol 2).

use super::*;
use crate::wire::pulsar::proto::{CompressionType, EncryptionKeys, ValidationError};

const CODECS: [CompressionType; 4] =
    [CompressionType::Lz4, CompressionType::Zlib, CompressionType::Zstd, CompressionType::Snappy];

fn refused(entry_id: u64, error: ValidationError) -> Vec<Sent> {
    vec![Sent::Refused(entry_id, error as i32)]
}

#[test]
fn compressed_entries_at_once_and_after_waiting() {
    for codec in CODECS {
        let mut bench = Bench::new(window(2));
        let text = "y".repeat(3000);
        let batch = MessageMetadata { num_messages_in_batch: Some(3), ..metadata() };
        bench.arrive(0, 0, &compressed(codec, metadata(), text.as_bytes()));
        bench.arrive(0, 1, &compressed(codec, batch, &batch_body(&["a", "b", "c"])));
        bench.arrive(0, 2, &compressed(codec, metadata(), b"last"));
        assert_eq!(bench.bodies(), [text, "a".into()]);
        bench.ack(&id(0));
        bench.ack(&batched(1, 0, 3));
        assert_eq!(bench.bodies(), ["b", "c"]);
        bench.ack(&batched(1, 1, 3));
        assert_eq!(bench.bodies(), ["last"]);
        assert_eq!(bench.consumer.buffered_bytes(), 0);
        bench.ack(&batched(1, 2, 3));
        assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0, 1])]);
    }
}

#[test]
fn a_large_batch_is_numbered_right_across_waits() {
    let bodies: Vec<String> = (0..150).map(|index| index.to_string()).collect();
    let mut bench = Bench::new(window(7));
    bench.arrive(0, 0, &batch(&bodies.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut seen = Vec::new();
    while seen.len() < 150 {
        let messages = bench.messages();
        assert!(!messages.is_empty() && messages.len() <= 7);
        for message in messages {
            let index = seen.len() as i32;
            assert_eq!(message["messageId"], id_text(&batched(0, index, 150)));
            seen.push(body(&message));
            bench.ack(&batched(0, index, 150));
        }
    }
    assert_eq!(seen, bodies);
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0])]);
}

#[test]
fn broken_entries_are_refused_and_give_their_permits_back() {
    let mut bench = Bench::new(window(2));
    bench.sent();
    let mut flipped = single("hello");
    *flipped.last_mut().unwrap() ^= 1;
    bench.arrive(0, 0, &flipped);
    let mut sent = refused(0, ValidationError::ChecksumMismatch);
    sent.push(Sent::Flow(1));
    assert_eq!(bench.sent(), sent);

    let mut broken = metadata();
    (broken.compression, broken.uncompressed_size) = (Some(CompressionType::Zstd as i32), Some(100));
    bench.arrive(0, 1, &entry(&broken, b"nonsense"));
    assert_eq!(bench.sent_but_flow(), refused(1, ValidationError::DecompressionError));
    broken.uncompressed_size = Some((1 << 20) + 1);
    bench.arrive(0, 2, &entry(&broken, b"nonsense"));
    assert_eq!(bench.sent_but_flow(), refused(2, ValidationError::UncompressedSizeCorruption));

    for count in [-1, 0, 1000, i32::MAX] {
        let batch = MessageMetadata { num_messages_in_batch: Some(count), ..metadata() };
        bench.arrive(0, 3, &entry(&batch, b"too short for that"));
        assert_eq!(bench.sent_but_flow(), refused(3, ValidationError::BatchDeSerializeError), "{count}");
    }
    assert_eq!(bench.texts(), [""; 0]);
    bench.arrive(0, 4, &single("fine"));
    assert_eq!(bench.bodies(), ["fine"]);
}

#[test]
fn broken_entries_that_waited_are_refused_then() {
    let mut bench = Bench::new(window(1));
    bench.arrive(0, 0, &single("0"));
    let mut broken = metadata();
    (broken.compression, broken.uncompressed_size) = (Some(CompressionType::Lz4 as i32), Some(100));
    bench.arrive(0, 1, &entry(&broken, b"nonsense"));
    let cut = batch_body(&["a", "b"]);
    let torn = MessageMetadata { num_messages_in_batch: Some(2), ..metadata() };
    bench.arrive(0, 2, &entry(&torn, &cut[..cut.len() - 1]));
    bench.arrive(0, 3, &single("3"));
    bench.ack(&id(0));
    bench.ack(&batched(2, 0, 2));
    assert_eq!(bench.bodies(), ["0", "a", "3"]);
    let sent = bench.sent_but_flow();
    assert!(sent.contains(&refused(1, ValidationError::DecompressionError)[0]), "{sent:?}");
    assert!(sent.contains(&refused(2, ValidationError::BatchDeSerializeError)[0]), "{sent:?}");
}

#[test]
fn markers_and_unreadable_metadata_are_passed_over() {
    let mut bench = Bench::new(window(1));
    bench.sent();
    bench.arrive(0, 0, &entry(&MessageMetadata { marker_type: Some(10), ..metadata() }, b""));
    assert_eq!(bench.sent(), [Sent::Flow(1)]);
    let covered = [&3u32.to_be_bytes()[..], &[0xff; 3], b"body"].concat();
    let checksum = crc32c::crc32c(&covered).to_be_bytes();
    bench.arrive(0, 1, &[&[0x0e, 0x01], &checksum[..], &covered].concat());
    assert_eq!((bench.sent(), bench.texts()), (vec![Sent::Flow(1)], vec![]));
}

fn chunk(uuid: &str, number: i32, total: i32, size: i32, body: &[u8]) -> Vec<u8> {
    let metadata = MessageMetadata {
        uuid: Some(uuid.into()),
        num_chunks_from_msg: Some(total),
        total_chunk_msg_size: Some(size),
        chunk_id: Some(number),
        ..metadata()
    };
    entry(&metadata, body)
}

#[test]
fn chunks_arrive_as_one_message() {
    let mut bench = Bench::new(window(2));
    bench.sent();
    bench.arrive(0, 0, &chunk("a", 0, 3, 6, b"aa"));
    bench.arrive(0, 1, &chunk("b", 0, 2, 4, b"bb"));
    bench.arrive(0, 2, &chunk("a", 1, 3, 6, b"AA"));
    assert_eq!(bench.sent(), [Sent::Flow(3)], "chunks give their permits back");
    bench.arrive(0, 3, &chunk("a", 1, 3, 6, b"AA"));
    bench.arrive(0, 2, &chunk("a", 1, 3, 6, b"AA"));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![3])], "a copy with another place");
    bench.arrive(0, 4, &chunk("a", 2, 3, 6, b"!!"));
    let message = bench.messages().remove(0);
    let whole = MessageId { first_chunk: Some((LEDGER, 0)), ..id(4) };
    assert_eq!((body(&message).as_str(), &message["messageId"]), ("aaAA!!", &id_text(&whole).into()));
    bench.ack(&whole);
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0, 2, 4])]);
    bench.arrive(0, 5, &chunk("b", 1, 2, 4, b"BB"));
    assert_eq!(bench.bodies(), ["bbBB"]);
    assert_eq!(bench.consumer.buffered_bytes(), 0);
}

#[test]
fn a_nacked_chunked_message_comes_back_whole() {
    let mut bench = Bench::new(shared());
    bench.arrive(0, 0, &chunk("a", 0, 2, 4, b"aa"));
    bench.arrive(0, 1, &chunk("a", 1, 2, 4, b"AA"));
    bench.sent();
    bench.nack(&id(1));
    bench.pass(SECOND);
    assert_eq!(bench.sent(), [Sent::Redeliver(vec![0, 1])]);
}

#[test]
fn a_late_ack_of_a_chunked_message_finds_all_its_chunks() {
    let mut bench = Bench::new(spec());
    (0..3).for_each(|number| bench.arrive(0, number, &chunk("a", number as i32, 3, 6, b"aa")));
    bench.consumer.on_detached(0);
    bench.attach(0);
    let whole = MessageId { first_chunk: Some((LEDGER, 0)), ..id(2) };
    bench.ack(&whole);
    bench.ack(&MessageId { first_chunk: Some((LEDGER, 10)), ..id(12) });
    assert_eq!(
        bench.sent_but_flow(),
        [Sent::Ack(vec![0, 1, 2, 10, 12])],
        "another session's: those it names"
    );
}

#[test]
fn chunks_left_over_are_acknowledged_when_they_are_old() {
    let mut bench = Bench::new(spec());
    bench.sent();
    let orphan = |published: u64| {
        let metadata = MessageMetadata {
            uuid: Some("gone".into()),
            num_chunks_from_msg: Some(3),
            total_chunk_msg_size: Some(6),
            chunk_id: Some(1),
            publish_time: published,
            ..metadata()
        };
        entry(&metadata, b"aa")
    };
    bench.arrive(0, 0, &orphan(1_700_000_000_000 - 60_000));
    assert_eq!(bench.sent_but_flow(), []);
    bench.arrive(0, 1, &orphan(1_700_000_000_000 - 60_001));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![1])]);
}

#[test]
fn incomplete_messages_are_given_up() {
    let mut bench = Bench::new(shared());
    bench.arrive(0, 0, &chunk("gap", 0, 3, 6, b"aa"));
    bench.arrive(0, 1, &chunk("gap", 2, 3, 6, b"!!"));
    assert_eq!(bench.consumer.buffered_bytes(), 0);
    bench.arrive(0, 2, &chunk("late", 1, 3, 6, b"!!"));
    bench.arrive(0, 3, &chunk("long", 0, 2, 3, b"aa"));
    bench.arrive(0, 4, &chunk("long", 1, 2, 3, b"aa"));
    bench.arrive(0, 5, &chunk("huge", 0, 2, i32::MAX, b"aa"));
    bench.arrive(0, 6, &chunk("old", 0, 2, 3, b"aa"));
    bench.sent();
    bench.pass(SECOND);
    assert_eq!(bench.sent(), [Sent::Redeliver(vec![0, 3])]);
    assert!(bench.consumer.buffered_bytes() > 0);
    bench.pass(61 * SECOND);
    assert_eq!(bench.sent(), [Sent::Redeliver(vec![6])]);
    assert_eq!((bench.consumer.buffered_bytes(), bench.texts()), (0, vec![]));
    for number in 0..20 {
        bench.arrive(0, 10 + number, &chunk(&number.to_string(), 0, 2, 4, b"aa"));
    }
    assert!(bench.consumer.buffered_bytes() <= 10 * (2 + 16));
}

fn encrypted() -> MessageMetadata {
    MessageMetadata {
        encryption_keys: vec![EncryptionKeys { key: "one".into(), value: b"1".to_vec(), metadata: vec![] }],
        encryption_param: Some(b"iv".to_vec()),
        uncompressed_size: Some(6),
        ..metadata()
    }
}

#[test]
fn what_cannot_be_decrypted_stays_is_dropped_or_is_shown() {
    let with = |crypto_failure| Bench::new(ConsumerSpec { crypto_failure, ..window(1) });
    let mut fail = with(CryptoFailureAction::Fail);
    fail.sent();
    fail.arrive(0, 0, &entry(&encrypted(), b"secret"));
    assert_eq!((fail.texts(), fail.sent()), (vec![], vec![Sent::Flow(1)]), "others still flow");

    let mut discard = with(CryptoFailureAction::Discard);
    discard.arrive(0, 0, &entry(&encrypted(), b"secret"));
    assert_eq!(discard.sent_but_flow(), refused(0, ValidationError::DecryptionError));
    assert_eq!(discard.texts(), [""; 0]);

    let mut consume = with(CryptoFailureAction::Consume);
    let batch = MessageMetadata {
        num_messages_in_batch: Some(4),
        compression: Some(CompressionType::Zlib as i32),
        ..encrypted()
    };
    consume.arrive(0, 0, &entry(&batch, b"secret"));
    let message = consume.messages().remove(0);
    assert_eq!((body(&message).as_str(), &message["messageId"]), ("secret", &id_text(&id(0)).into()));
    let context = &message["encryptionContext"];
    assert_eq!((&context["batchSize"], &context["compressionType"]), (&4.into(), &"ZLIB".into()));
    assert_eq!((&context["keys"]["one"]["keyValue"], &context["param"]), (&"MQ==".into(), &"aXY=".into()));
    consume.ack(&id(0));
    assert_eq!(consume.sent_but_flow(), [Sent::Ack(vec![0])]);
}

/// Whatever a broker sends, the session neither panics nor loses count.
#[test]
fn random_entries_do_no_harm() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let mut bench = Bench::new(ConsumerSpec { crypto_failure: CryptoFailureAction::Consume, ..shared() });
        for entry_id in 0..30 {
            let chunk = chunk("u", prng.below(4) as i32 - 1, prng.below(4) as i32, 9, b"abc");
            let mut bytes = [chunk, batch(&["a", "b", "c"]), single("x")][prng.below(3) as usize].clone();
            for _ in 0..prng.below(3) {
                let at = 10 + prng.below(bytes.len() as u64 - 10) as usize;
                bytes[at] = prng.next() as u8;
            }
            let checksum = crc32c::crc32c(&bytes[6..]).to_be_bytes();
            bytes[2..6].copy_from_slice(&checksum);
            if let Ok(payload) = frame::payload(&bytes) {
                let command = CommandMessage { ack_set: vec![prng.next() as i64], ..at(entry_id) };
                bench.call(|consumer, cx| consumer.on_message(cx, 0, &command, &payload));
            }
            bench.sent();
        }
        bench.pass(100 * SECOND);
        assert_eq!(bench.consumer.next_timer(), None, "seed {seed}");
    }
}
