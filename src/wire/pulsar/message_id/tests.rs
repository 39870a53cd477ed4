use super::*;
use crate::wire::pulsar::broken;

fn text_of(id: &MessageId) -> String {
    let mut out = b"before".to_vec();
    id.put_text(&mut out);
    String::from_utf8(out.split_off(6)).unwrap()
}

fn not_an_id(bytes: &[u8]) -> bool {
    MessageId::from_bytes(bytes) == Err(MessageIdError::NotAnId)
}

/// The largest id there is.
fn largest() -> MessageId {
    MessageId {
        ledger: u64::MAX,
        entry: u64::MAX,
        partition: i32::MAX,
        batch_index: i32::MAX,
        batch_size: i32::MAX,
        first_chunk: Some((u64::MAX, u64::MAX)),
    }
}

#[test]
fn the_largest_id_fits_its_buffers() {
    let mut bytes = Vec::new();
    largest().put(&mut bytes);
    assert!(bytes.len() <= BYTES_MAX);
    assert_eq!(MessageId::from_text(&text_of(&largest())), Ok(largest()));
}

#[test]
fn ledger_and_entry_are_required() {
    assert!(not_an_id(b""));
    assert!(not_an_id(&[0x08, 1]));
    assert!(not_an_id(&[0x10, 1]));
    assert!(not_an_id(&[0x08, 1, 0x18, 1, 0x20, 1, 0x30, 1]));
    assert!(not_an_id(&[0x08, 1, 0x10, 2, 0x3a, 2, 0x08, 1]), "a first chunk without entry");
    assert!(not_an_id(&[0x0a, 1, 1, 0x10, 2]), "a ledger of the wrong type");
    assert!(not_an_id(&[0x08, 1, 0x10, 2, 0x0b]), "a group");
    assert!(not_an_id(&[0x08, 1, 0x10]), "cut");
    assert_eq!(MessageId::from_text(""), Err(MessageIdError::NotAnId));
}

#[test]
fn everything_else_is_optional_and_unknown_fields_are_passed() {
    assert_eq!(MessageId::from_bytes(&[0x10, 2, 0x08, 1]), Ok(MessageId::plain(1, 2)), "any order");
    // An ack set, both spread and packed, a topic name (field 8), fixed bits.
    let mut bytes = vec![0x08, 1, 0x10, 2, 0x28, 3, 0x2a, 2, 1, 2, 0x42, 1, b't', 0x4d, 1, 2, 3, 4];
    assert_eq!(MessageId::from_bytes(&bytes), Ok(MessageId::plain(1, 2)));
    // Numbers below their "none" are none.
    for field in [3, 4, 6] {
        bytes.put_varint(field, -7i64 as u64);
    }
    assert_eq!(MessageId::from_bytes(&bytes), Ok(MessageId::plain(1, 2)));
    let nested = [0x08, 1, 0x10, 2, 0x3a, 8, 0x08, 3, 0x10, 4, 0x3a, 2, 0xff, 0xff];
    let id = MessageId { first_chunk: Some((3, 4)), ..MessageId::plain(1, 2) };
    assert_eq!(MessageId::from_bytes(&nested), Ok(id), "the first chunk's own first chunk is not looked at");
}

#[test]
fn long_texts_are_read_too() {
    let mut bytes = vec![0x08, 1, 0x10, 2];
    bytes.put_bytes(100, &[7; 300]);
    let text = STANDARD.encode_to_string(&bytes);
    assert!(text.len() > TEXT_MAX);
    assert_eq!(MessageId::from_text(&text), Ok(MessageId::plain(1, 2)));
}

#[test]
fn base64_as_the_jdk_reads_it() {
    assert_eq!(MessageId::from_text("CAcQAA"), Ok(MessageId::plain(7, 0)), "no padding");
    assert_eq!(MessageId::from_text("CAcQAB"), Ok(MessageId::plain(7, 0)), "loose bits at the end");
    for (text, says) in [
        ("CAc*", "Illegal base64 character 2a"),
        ("CAcQ_A==", "Illegal base64 character 5f"),
        ("CAcQA", "Last unit does not have enough valid bits"),
        ("CAcQAA=", "Input byte array has wrong 4-byte ending unit"),
        ("CAcQAA==AA", "Input byte array has incorrect ending byte at 8"),
    ] {
        let Err(error) = MessageId::from_text(text) else { panic!("{text} was read") };
        assert_eq!(error, MessageIdError::Base64(says.to_owned()), "{text}");
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn broken_ids() {
    let mut bytes = Vec::new();
    largest().put(&mut bytes);
    broken::inputs(0x5eed_0009, &[&bytes, &[0x08, 7, 0x10, 0, 0x30, 0]], |bytes| {
        // What is read is written in the one form we write, and that is read alike.
        if let Ok(id) = MessageId::from_bytes(bytes) {
            assert_eq!(MessageId::from_text(&text_of(&id)), Ok(id));
        }
    });
    let text = text_of(&largest());
    broken::inputs(0x5eed_000a, &[text.as_bytes(), b"CAcQADAA"], |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes)
            && let Ok(id) = MessageId::from_text(text)
        {
            assert_eq!(MessageId::from_text(&text_of(&id)), Ok(id));
        }
    });
}
