use super::*;
use crate::wire::pulsar::broken;

fn append(out: &mut Vec<u8>, single: &Single<'_>, body: &[u8]) {
    let done: Result<(), ()> = put(out, single, |out| {
        out.extend_from_slice(body);
        Ok(())
    });
    assert_eq!(done, Ok(()));
}

/// Three messages with all that a message in a batch can have.
fn some_batch() -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, &Single { sequence_id: 1, ..Single::default() }, b"");
    let full = Single {
        properties: &[("a", "1"), ("b", "")],
        partition_key: Some("key"),
        event_time: Some(u64::MAX),
        sequence_id: u64::MAX,
    };
    append(&mut out, &full, b"second");
    append(&mut out, &Single { sequence_id: 300, ..Single::default() }, &[3; 200]);
    out
}

#[test]
fn payload_sizes_around_every_varint_length() {
    for length in [0, 1, 2, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
        let body: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let mut out = b"before".to_vec();
        let single = Single {
            properties: &[("a", "b")],
            partition_key: Some("k"),
            event_time: Some(7),
            sequence_id: 8,
        };
        append(&mut out, &single, &body);
        append(&mut out, &Single::default(), b"next");
        assert_eq!(out[..6], *b"before");
        let read = Messages::new(&out[6..], 2).collect::<Result<Vec<_>, _>>().unwrap();
        let [(first, first_body), (_, next)] = read[..] else { panic!("{} messages", read.len()) };
        assert_eq!(first_body, body, "{length}");
        assert_eq!((first.partition_key, first.event_time, first.sequence_id), (Some("k"), 7, Some(8)));
        assert_eq!(first.properties().collect::<Vec<_>>(), [("a", "b")]);
        assert_eq!(next, b"next");
    }
}

#[test]
fn a_failing_payload_leaves_nothing() {
    let mut out = some_batch();
    let before = out.clone();
    let failed: Result<(), u8> = put(&mut out, &Single::default(), |out| {
        out.extend_from_slice(&[1; 1000]);
        Err(7)
    });
    assert_eq!(failed, Err(7));
    assert_eq!(out, before);
}

#[test]
fn the_count_bounds_the_walk() {
    let batch = some_batch();
    for count in 0..=3 {
        assert!(Messages::new(&batch, count).all(|message| message.is_ok()));
        assert_eq!(Messages::new(&batch, count).count(), count as usize);
    }
    // More announced than there: one error, at the end, and nothing behind it.
    let verdicts: Vec<_> = Messages::new(&batch, u32::MAX).map(|message| message.map(|_| ())).collect();
    assert_eq!(verdicts, [Ok(()), Ok(()), Ok(()), Err(MetadataError { at: batch.len() })]);
}

#[test]
fn malformed_messages_end_the_walk() {
    for (bytes, at) in [
        (&[][..], 0),
        (&[0, 0, 0], 0),
        (&[0, 0, 0, 3, 0x18, 0], 0),
        (&[0xff, 0xff, 0xff, 0xff, 0x18, 0], 0),
        // No payload size; more payload than is there; a negative one; a group.
        (&[0, 0, 0, 0], 4),
        (&[0, 0, 0, 2, 0x18, 1], 0),
        (&[0, 0, 0, 11, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 0),
        (&[0, 0, 0, 3, 0x18, 0, 0x0b], 6),
    ] {
        let mut messages = Messages::new(bytes, 5);
        assert_eq!(messages.next(), Some(Err(MetadataError { at })), "{bytes:02x?}");
        assert_eq!(messages.next(), None, "{bytes:02x?}");
    }
}

#[test]
fn broken_batches() {
    let batch = some_batch();
    broken::inputs(0x5eed_0006, &[&batch], |bytes| {
        for count in [3, u32::MAX] {
            let mut payload = 0;
            for (index, message) in Messages::new(bytes, count).enumerate() {
                assert!(index <= bytes.len() / 6, "a message takes six bytes at least");
                match message {
                    Ok((_, body)) => payload += body.len(),
                    Err(error) => assert!(error.at <= bytes.len()),
                }
            }
            assert!(payload <= bytes.len());
        }
    });
}
