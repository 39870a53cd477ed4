use std::convert::Infallible;

use super::*;
use crate::wire::pulsar::broken;
use crate::wire::pulsar::entry::{self, EntryMetadata};
use crate::wire::pulsar::proto::{CommandFlow, CommandMessage, CommandSend};

const FLOW: Command = Command::Flow(CommandFlow { consumer_id: 0, message_permits: 1000 });

fn flow() -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, &FLOW);
    out
}

fn some_entry() -> Vec<u8> {
    let mut out = Vec::new();
    let metadata = EntryMetadata { producer_name: "p", publish_time: 1, ..EntryMetadata::default() };
    let Ok(()) = entry::put(&mut out, &metadata, |out| {
        out.extend_from_slice(b"hello");
        Ok::<_, Infallible>(())
    });
    out
}

/// An entry behind broker entry metadata of two bytes.
fn with_broker_entry(entry: &[u8]) -> Vec<u8> {
    [&[0x0e, 0x02, 0, 0, 0, 2, 0x10, 5], entry].concat()
}

#[test]
fn sizes_are_known_from_four_bytes_on() {
    let frame = flow();
    for length in 0..4 {
        assert_eq!(size(&frame[..length], 100), Ok(None));
    }
    for length in 4..=frame.len() {
        assert_eq!(size(&frame[..length], 100), Ok(Some(17)));
    }
    assert_eq!(size(&[frame.clone(), frame].concat(), 100), Ok(Some(17)), "the first of two");
}

#[test]
fn sizes_are_checked_before_the_bytes_are_here() {
    let frame = flow();
    assert_eq!(size(&frame, 17), Ok(Some(17)));
    assert_eq!(size(&frame, 16), Err(FrameError::TooLarge { got: 17, max: 16 }));
    assert_eq!(size(&[0xff; 4], 1000), Err(FrameError::TooLarge { got: 0x1_0000_0003, max: 1000 }));
    for total in 0..4 {
        let what = "no room for the command size";
        assert_eq!(size(&[0, 0, 0, total], 100), Err(FrameError::Sizes { total: total as usize + 4, what }));
    }
    assert_eq!(size(&[0, 0, 0, 4], 100), Ok(Some(8)));
}

#[test]
fn contradicting_sizes_are_refused() {
    let frame = flow();
    for length in 0..frame.len() {
        assert!(matches!(read(&frame[..length]), Err(FrameError::Sizes { .. })), "{length}");
    }
    assert!(matches!(read(&[&frame[..], &[0]].concat()), Err(FrameError::Sizes { what: "total size", .. })));
    let mut command_too_long = frame.clone();
    command_too_long[7] += 1;
    assert_eq!(read(&command_too_long).unwrap_err(), FrameError::Sizes { total: 17, what: "command size" });
    let mut command_too_short = frame.clone();
    command_too_short[7] -= 1;
    assert!(matches!(read(&command_too_short), Err(FrameError::Command(_))));
    let empty = [0, 0, 0, 4, 0, 0, 0, 0];
    assert!(matches!(read(&empty), Err(FrameError::Command(_))));
    assert_eq!(read(&frame).unwrap().command, FLOW);
}

#[test]
fn send_by_hand_is_send_by_the_schema() {
    let numbers = [0, 1, 127, 128, 1 << 20, u64::MAX];
    let entry = some_entry();
    for producer_id in numbers {
        for sequence_id in numbers {
            for (highest_sequence_id, messages) in
                [(None, 1), (None, 0), (Some(0), 2), (Some(u64::MAX), u32::MAX)]
            {
                let mut by_hand = b"before".to_vec();
                put_send(&mut by_hand, producer_id, sequence_id, highest_sequence_id, messages, &entry);
                let command = Command::Send(CommandSend {
                    producer_id,
                    sequence_id,
                    num_messages: (messages > 1).then_some(messages as i32),
                    highest_sequence_id,
                    ..CommandSend::default()
                });
                let read = read(&by_hand[6..]).unwrap();
                assert_eq!(read.rest, entry);
                // The schema calls the count an int32; more than that many messages fit no frame.
                if messages <= i32::MAX as u32 {
                    assert_eq!(read.command, command);
                    let mut by_schema = b"before".to_vec();
                    put_with_entry(&mut by_schema, &command, &entry);
                    assert_eq!(by_hand, by_schema);
                }
            }
        }
    }
}

#[test]
fn payloads_with_and_without_extras() {
    let entry = some_entry();
    let good = payload(&entry).unwrap();
    assert_eq!((good.checksum, good.broker_entry, good.body), (Checksum::Good, None, &b"hello"[..]));
    let extra = with_broker_entry(&entry);
    assert_eq!(payload(&extra), Ok(Payload { broker_entry: Some(&[0x10, 5]), ..good }));
    // Old peers begin with the metadata size.
    let old = payload(&entry[6..]).unwrap();
    assert_eq!(old, Payload { checksum: Checksum::Absent, ..good });
    let old = with_broker_entry(&entry[6..]);
    assert_eq!(payload(&old).unwrap().checksum, Checksum::Absent);
    // Nothing in it.
    assert_eq!(payload(&[0; 4]).unwrap().body, b"");
}

#[test]
fn a_cut_payload_is_never_good() {
    let entry = some_entry();
    for length in 0..entry.len() {
        match payload(&entry[..length]) {
            Ok(Payload { checksum: Checksum::Bad, metadata: [], body: [], .. }) => assert!(length >= 6),
            Ok(other) => panic!("{length}: {other:?}"),
            Err(error) => assert!(length < 6, "{length}: {error}"),
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let entry = some_entry();
    for bit in 0..entry.len() * 8 {
        let mut flipped = entry.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let verdict = payload(&flipped).map(|payload| payload.checksum);
        if bit < 16 {
            assert!(verdict.is_err(), "bit {bit}: without its magic, the rest makes no sizes");
        } else {
            assert_eq!(verdict, Ok(Checksum::Bad), "bit {bit}");
        }
    }
}

#[test]
fn a_bad_checksum_keeps_the_broker_entry() {
    let mut rest = with_broker_entry(&some_entry());
    *rest.last_mut().unwrap() ^= 1;
    let read = payload(&rest).unwrap();
    assert_eq!((read.checksum, read.broker_entry), (Checksum::Bad, Some(&[0x10, 5][..])));
}

#[test]
fn broken_frames() {
    let mut message = Vec::new();
    let command = Command::Message(CommandMessage { consumer_id: 1, ..CommandMessage::default() });
    put_with_entry(&mut message, &command, &with_broker_entry(&some_entry()));
    broken::inputs(0x5eed_0002, &[&message, &flow()], |bytes| {
        if let Ok(Some(size)) = size(bytes, 1 << 20) {
            assert!((8..=1 << 20).contains(&size));
        }
        if let Ok(frame) = read(bytes) {
            assert!(frame.rest.len() + 8 <= bytes.len());
            if let Ok(payload) = payload(frame.rest) {
                assert!(payload.metadata.len() + payload.body.len() <= frame.rest.len());
            }
        }
    });
    broken::inputs(0x5eed_0003, &[&with_broker_entry(&some_entry()), &some_entry()], |bytes| {
        if let Ok(read) = payload(bytes) {
            let Payload { broker_entry, metadata, body, .. } = read;
            assert!(broker_entry.unwrap_or(&[]).len() + metadata.len() + body.len() <= bytes.len());
        }
    });
}
