//! The small formats: protocol 18.5 message ids (and API 6), 18.6 CRC32C, 18.7 hashes, 18.9 ack sets, 18.11
//! compression.

use prost::Message;
use pulsegate::wire::pulsar::proto::{CompressionType, MessageIdData};
use pulsegate::wire::pulsar::{MessageId, compression, hash};

use crate::hex;

fn id(ledger: u64, entry: u64, partition: i32, batch_index: i32, batch_size: i32) -> MessageId {
    MessageId { ledger, entry, partition, batch_index, batch_size, first_chunk: None }
}

fn text_of(id: &MessageId) -> String {
    let mut text = Vec::new();
    id.put_text(&mut text);
    String::from_utf8(text).expect("base64 is ASCII")
}

#[test]
fn message_ids_are_written_in_the_newest_form() {
    let (earliest, latest) = (MessageId::EARLIEST, MessageId::LATEST);
    for (text, id) in [
        // Protocol 18.5.
        ("CAcQADAA", MessageId::plain(7, 0)),
        ("CAcQABgCMAA=", id(7, 0, 2, -1, 0)),
        ("CAcQAiABMAI=", id(7, 2, -1, 1, 2)),
        ("CLlgEKYFGAMgBDAK", id(12345, 678, 3, 4, 10)),
        ("CP///////////wEQ////////////ATAA", MessageId::plain(earliest.0, earliest.1)),
        ("CP//////////fxD//////////38wAA==", MessageId::plain(latest.0, latest.1)),
        // API 6.
        ("CAMQADAA", MessageId::plain(3, 0)),
        ("CPEKEINFMAA=", MessageId::plain(1393, 8835)),
        ("CAoQBRgCMAA=", id(10, 5, 2, -1, 0)),
        ("CAoQBSADMAo=", id(10, 5, -1, 3, 10)),
        ("CAoQBRgCIAMwCg==", id(10, 5, 2, 3, 10)),
        ("CAoQBSAAMAE=", id(10, 5, -1, 0, 1)),
        ("CAEQAhgDMAA=", id(1, 2, 3, -1, 0)),
        ("CL0EEAAgATAA", id(573, 0, -1, 1, 0)),
        ("CAoQCDAAOgYIChAFMAA=", MessageId { first_chunk: Some((10, 5)), ..MessageId::plain(10, 8) }),
    ] {
        assert_eq!(text_of(&id), text, "{id:?}");
        assert_eq!(MessageId::from_text(text), Ok(id.clone()), "{text}");
        assert_eq!(MessageId::from_text(text.trim_end_matches('=')), Ok(id), "{text} without padding");
    }
}

#[test]
fn message_ids_are_read_in_every_form() {
    for (bytes, text, id) in [
        ("08071000", "CAcQAA==", MessageId::plain(7, 0)),
        ("080710003000", "CAcQADAA", MessageId::plain(7, 0)),
        ("080710001802", "CAcQABgC", id(7, 0, 2, -1, 0)),
        ("0807100218ffffffffffffffffff01", "CAcQAhj///////////8B", MessageId::plain(7, 2)),
        (
            "080710023a0408071000",
            "CAcQAjoECAcQAA==",
            MessageId { first_chunk: Some((7, 0)), ..MessageId::plain(7, 2) },
        ),
        (
            "08ffffffffffffffffff0110ffffffffffffffffff01",
            "CP///////////wEQ////////////AQ==",
            MessageId::plain(u64::MAX, u64::MAX),
        ),
        (
            "08ffffffffffffffff7f10ffffffffffffffff7f",
            "CP//////////fxD//////////38=",
            MessageId::plain(i64::MAX as u64, i64::MAX as u64),
        ),
        ("08001003", "CAAQAw==", MessageId::plain(0, 3)),
        ("080a1028", "CAoQKA==", MessageId::plain(10, 40)),
        ("080110022003", "CAEQAiAD", id(1, 2, -1, 3, 0)),
    ] {
        assert_eq!(MessageId::from_bytes(&hex(bytes)), Ok(id.clone()), "{bytes}");
        assert_eq!(MessageId::from_text(text), Ok(id), "{text}");
    }
}

#[test]
fn checksums() {
    let ascending: Vec<u8> = (0..32).collect();
    for (input, sum) in [
        (&b""[..], 0),
        (b"a", 0xc1d0_4330),
        (b"123456789", 0xe306_9283),
        (b"hello", 0x9a71_bb4c),
        (&[0; 32], 0x8a91_36aa),
        (&[0xff; 32], 0x62a8_ab43),
        (&ascending, 0x46dd_794e),
    ] {
        assert_eq!(crc32c::crc32c(input), sum, "{input:x?}");
    }
}

#[test]
fn key_hashes() {
    for (key, java, murmur) in [
        ("", 0, 0),
        ("a", 97, 1_009_084_850),
        ("hello", 99_162_322, 613_153_351),
        ("key1", 3_288_498, 462_881_061),
        ("key2", 3_288_499, 1_936_800_180),
        ("apple", 93_029_210, 1_880_549_520),
        ("user-42", 2_000_300_992, 963_828_432),
        ("order-1001", 708_180_863, 1_038_198_555),
        ("é", 233, 269_551_495),
        ("日本", 835_047, 1_155_135_810),
        ("😀", 1_772_899, 1_051_995_898),
        ("polygenelubricants", 0, 1_101_602_400),
    ] {
        assert_eq!(hash::java_string(key), java, "{key}");
        assert_eq!(hash::murmur3_32(key.as_bytes()), murmur, "{key}");
    }
    // Protocol 18.8.
    assert_eq!(hash::murmur3_32(b"NONE_KEY"), 504_741_539);
    assert_eq!(hash::murmur3_32(b"p1-0"), 1_197_701_768);
}

#[test]
fn ack_sets() {
    for (words, field) in [
        (&[15][..], "280f"),
        (&[13], "280d"),
        (&[], ""),
        (&[992], "28e007"),
        (&[-1], "28ffffffffffffffffff01"),
        (&[-2], "28feffffffffffffffff01"),
        (&[-1, 68_719_476_735], "28ffffffffffffffffff0128ffffffffff01"),
        (&[0, 68_719_476_735], "280028ffffffffff01"),
    ] {
        let id = MessageIdData { ledger_id: 7, ack_set: words.to_vec(), ..MessageIdData::default() };
        let bytes = hex(&format!("08071000{field}"));
        assert_eq!(id.encode_to_vec(), bytes, "{words:?}");
        assert_eq!(MessageIdData::decode(&bytes[..]), Ok(id), "{words:?}");
        // The id that clients see has no ack set.
        assert_eq!(MessageId::from_bytes(&bytes), Ok(MessageId::plain(7, 0)), "{words:?}");
    }
    // Newer encoders might pack the words into one field: both forms are to be read.
    let packed = MessageIdData::decode(&hex("080710002a03e00700")[..]).expect("readable");
    assert_eq!(packed.ack_set, [992, 0]);
}

#[test]
fn compressed_by_the_official_client() {
    const PLAIN: &[u8] = b"abcabcabcabcabcabcabc";
    for (codec, bytes) in [
        (CompressionType::None, "616263616263616263616263616263616263616263"),
        (CompressionType::Lz4, "396162630300506263616263"),
        (CompressionType::Zlib, "789c4b4c4a4ec440005875080b"),
        (CompressionType::Zstd, "28b52ffd20154d00001861626301007a6e08"),
        (CompressionType::Snappy, "1508616263460300"),
    ] {
        let mut out = b"before".to_vec();
        compression::decompress(codec as i32, &hex(bytes), PLAIN.len(), PLAIN.len(), &mut out)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(out, [b"before", PLAIN].concat(), "{codec:?}");
    }
}
