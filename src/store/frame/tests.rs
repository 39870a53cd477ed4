use super::*;
use crate::base::id::{EntryId, LedgerId, Position};
use crate::base::prng::Prng;
use crate::store::checkpoint::{self, Snapshot};
use crate::store::index::Index;
use crate::store::memory::Memory;
use crate::store::record::{Acks, CursorSet, Dedup, Head, Piece, Settled, TopicPut};
use crate::store::recover::{Contents, RecoverError, recover};
use crate::store::{CursorId, State, TopicId};

/// Written by `tests/golden/log/make.py` from the format document.
const JOURNAL: &[u8] = include_bytes!("../../../tests/golden/log/journal.bin");
const CHECKPOINT: &[u8] = include_bytes!("../../../tests/golden/log/checkpoint.bin");
const SEGMENT: &[u8] = include_bytes!("../../../tests/golden/log/segment.bin");

const STAMP: Stamp = Stamp { store: 0x0123_4567_89ab_cdef, epoch: 2 };
const TOPIC: TopicId = TopicId(3);
const LEDGER: LedgerId = LedgerId(7);
const CURSOR: CursorId = CursorId(9);

fn at(entry: u64) -> Position {
    Position { ledger: LEDGER, entry: EntryId(entry) }
}

fn put() -> TopicPut<'static> {
    TopicPut { name: b"persistent://public/default/t", properties: b"properties" }
}

fn cursor() -> CursorSet<'static> {
    let (ranges, partial) = (vec![(at(2), EntryId(5))], vec![(at(5), vec![0xf0, 1])]);
    CursorSet { name: b"s", acks: Acks { below: at(0), ranges, partial }, properties: b"p" }
}

fn long() -> Vec<u8> {
    (0..=255).cycle().take(256 * 20).collect()
}

fn frame(position: u64, previous: u32, records: &[(u64, Record<'_>)]) -> (Bytes, u32) {
    let mut builder = Builder::default();
    for (wall_ms, record) in records {
        builder.push(*wall_ms, record);
    }
    builder.finish(Home::Journal, STAMP, position, previous)
}

fn first(long: &[u8]) -> [(u64, Record<'_>); 5] {
    [
        (1000, Record::TopicPut(TOPIC, put())),
        (1001, Record::LedgerOpen(LEDGER, TOPIC)),
        (1002, Record::Entry { position: at(0), messages: 1, bytes: b"hello" }),
        (1003, Record::Entry { position: at(1), messages: 12, bytes: long }),
        (1004, Record::CursorSet(TOPIC, CURSOR, cursor())),
    ]
}

fn dedup(whole: bool) -> Dedup<'static> {
    Dedup { whole, below: at(2), names: vec![(b"producer", 41), (b"", 7)] }
}

fn settled() -> Settled {
    let piece = |first, at, length, wall_ms| Piece { first, at, length, wall_ms, messages: first };
    let pieces = vec![piece(0, 0, 4096, 1002), piece(1, 4096, 8192, 1003)];
    Settled { entries: 2, messages: 13, bytes: 5125, first_message: 100, pieces }
}

fn second() -> [(u64, Record<'static>); 10] {
    let update = Acks { below: at(1), ranges: vec![(at(6), EntryId(7))], partial: vec![(at(5), vec![])] };
    [
        (1005, Record::CursorUpdate(TOPIC, CURSOR, update)),
        (1006, Record::TopicEpoch(TOPIC, 6)),
        (1006, Record::TopicTerminate(TOPIC)),
        (1006, Record::Dedup(TOPIC, dedup(true))),
        (1006, Record::Dedup(TOPIC, dedup(false))),
        (1006, Record::DedupDelete(TOPIC)),
        (1006, Record::LedgerClose(LEDGER, 2)),
        (1007, Record::LedgerDelete(LEDGER)),
        (1008, Record::CursorDelete(TOPIC, CURSOR)),
        (1009, Record::TopicDelete(TOPIC)),
    ]
}

#[test]
fn the_journal_is_written_and_read_as_the_document_says() {
    let long = long();
    let (one, previous) = frame(0, 0, &first(&long));
    let (two, previous) = frame(one.len() as u64, previous, &second());
    let (three, _) = frame((one.len() + two.len()) as u64, previous, &[]);
    assert!([&one[..], &two[..], &three[..]].concat() == JOURNAL);
    let head = header(JOURNAL, Home::Journal, STAMP.store).unwrap();
    assert_eq!(records(JOURNAL, &head).unwrap(), first(&long));
    let rest = &JOURNAL[head.length()..];
    let head = header(rest, Home::Journal, STAMP.store).unwrap();
    assert_eq!((head.position, head.stamp), (one.len() as u64, STAMP));
    assert_eq!(records(rest, &head).unwrap(), second());
}

#[test]
fn the_checkpoint_is_written_and_read_as_the_document_says() {
    let found = checkpoint::read(CHECKPOINT, 5, STAMP.store).unwrap();
    let (topic_high, ledger_high) = (TopicId(30), LedgerId(70));
    let (replay, previous) = (0x20000, 0xcafe_f00d);
    let head = Head { generation: 5, epoch: 2, replay, previous, topic_high, ledger_high };
    assert_eq!(found.head, head);
    let topic = found.state.topic(TOPIC).unwrap();
    assert_eq!((&topic.name[..], topic.epoch, topic.terminated), (put().name, Some(6), true));
    assert_eq!((topic.messages, topic.dedup.as_ref().unwrap().names[&b"producer"[..]]), (114, 41));
    let ledger = found.state.ledger(LEDGER).unwrap();
    assert_eq!((ledger.entries, ledger.messages, ledger.bytes), (3, 14, 5130), "one of them is here");
    assert_eq!((ledger.first_message, ledger.closed), (100, true));
    assert_eq!(*ledger.index, Index::new(&settled()).unwrap());
    assert_eq!(found.state.cursor(TOPIC, CURSOR).unwrap().consumed.acks(), cursor().acks);
    let mut memory = Memory::new(found.tails);
    let mut snapshot = Snapshot::new(&found.state, 5, STAMP);
    snapshot.set_replay(replay, previous);
    let mut builder = Builder::default();
    assert!(snapshot.fill(&mut memory, &mut builder));
    assert!(builder.finish(Home::Checkpoint(5), STAMP, 0, 0).0 == CHECKPOINT);
}

/// A state too large for one frame is written in several, and no part of the file can be missing.
#[test]
fn a_checkpoint_of_many_frames_is_whole_or_bad() {
    let mut state = State::default();
    for topic in 1..6000 {
        state.apply(0, &Record::TopicPut(TopicId(topic), put())).unwrap();
        state.apply(0, &Record::CursorSet(TopicId(topic), CURSOR, cursor())).unwrap();
    }
    let mut snapshot = Snapshot::new(&state, 5, STAMP);
    let (mut file, mut frames, mut previous, mut last) = (Vec::new(), Vec::new(), 0, false);
    while !last {
        let mut builder = Builder::default();
        last = snapshot.fill(&mut Memory::default(), &mut builder);
        frames.push(file.len());
        let (bytes, sum) = builder.finish(Home::Checkpoint(5), STAMP, file.len() as u64, previous);
        file.extend_from_slice(&bytes);
        previous = sum;
    }
    assert!(frames.len() > 3, "{} frames", frames.len());
    assert_eq!(checkpoint::read(&file, 5, STAMP.store).unwrap().state, state);
    for cut in &frames[1..] {
        assert!(checkpoint::read(&file[..*cut], 5, STAMP.store).is_none(), "ends at {cut}");
        let without = [&file[..frames[0]], &file[*cut..]].concat();
        assert!(checkpoint::read(&without, 5, STAMP.store).is_none(), "begins at {cut}");
    }
    let gap = [&file[..frames[1]], &file[frames[2]..]].concat();
    assert!(checkpoint::read(&gap, 5, STAMP.store).is_none(), "a frame is missing");
}

#[test]
fn the_segment_is_read_as_the_document_says() {
    use super::super::segment::{Stored, entries};
    let bytes = Bytes::from_static(SEGMENT);
    let long = Stored { wall_ms: 1003, messages: 12, bytes: long().into() };
    let short = Stored { wall_ms: 1002, messages: 1, bytes: Bytes::from_static(b"hello") };
    let pieces = settled().pieces;
    let found = entries(&bytes.slice(..4096), LEDGER, STAMP.store, &pieces[0], EntryId(1));
    assert_eq!(found.unwrap(), [short]);
    let found = entries(&bytes.slice(4096..), LEDGER, STAMP.store, &pieces[1], EntryId(2));
    assert_eq!(found.unwrap(), [long]);
}

#[test]
fn encoded_len_is_what_encoding_takes() {
    let long = long();
    let (topic_high, ledger_high) = (TopicId(1), LedgerId(2));
    let head = Head { generation: 1, epoch: 1, replay: 0, previous: 0, topic_high, ledger_high };
    let checkpoint = [
        Record::Checkpoint(head),
        Record::Settled(LEDGER, settled()),
        Record::TopicMessages(TOPIC, 4),
        Record::End(3),
    ];
    let all = first(&long).into_iter().chain(second()).chain(checkpoint.map(|record| (0, record)));
    for (wall_ms, record) in all {
        let mut out = BytesMut::new();
        let checksum = record::encode(&record, wall_ms, &mut out);
        assert_eq!(out.len(), record::encoded_len(&record), "{record:?}");
        assert_eq!(record::decode(&out), Some(((wall_ms, record), checksum, out.len())));
    }
}

/// Reads a frame of each home, whatever `bytes` are.
fn read(bytes: &[u8]) -> bool {
    [Home::Journal, Home::Segment(7), Home::Checkpoint(5)]
        .into_iter()
        .any(|home| header(bytes, home, STAMP.store).is_some_and(|header| records(bytes, &header).is_some()))
}

#[test]
fn no_prefix_and_no_flipped_bit_passes() {
    for golden in [&JOURNAL[..8192], CHECKPOINT, &SEGMENT[4096..]] {
        assert!(read(golden));
        for length in 0..golden.len() {
            assert!(!read(&golden[..length]), "{length} bytes");
        }
        for bit in 0..golden.len() * 8 {
            // Every bit of the headers, and a sample of the bodies.
            if bit < 200 * 8 || bit % 61 == 0 {
                let mut flipped = golden.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!read(&flipped), "bit {bit}");
            }
        }
    }
}

#[test]
fn bytes_at_random_never_panic() {
    let mut prng = Prng::new(11);
    for round in 0..2000 {
        let mut bytes: Vec<u8> = (0..prng.below(300)).map(|_| prng.next() as u8).collect();
        assert!(!read(&bytes) && record::decode(&bytes).is_none(), "round {round}");
        // With checksums made right, so that what lies behind them is reached.
        if bytes.len() >= record::HEADER {
            let body = bytes.len() - record::HEADER;
            bytes[..4].copy_from_slice(&(body as u32).to_le_bytes());
            bytes[4] = 1 + prng.below(18) as u8;
            bytes[5..8].fill(0);
            let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..36]), &bytes[record::HEADER..]);
            bytes[36..40].copy_from_slice(&sum.to_le_bytes());
            bytes.resize(record::padded(body), 0);
            if let Some(((wall_ms, decoded), ..)) = record::decode(&bytes) {
                let mut again = BytesMut::new();
                record::encode(&decoded, wall_ms, &mut again);
                assert_eq!(again[40..], bytes[40..], "round {round}");
            }
        }
    }
}

fn recovered(journal: &[u8], checkpoint: Option<&[u8]>) -> Result<u64, RecoverError> {
    let mut contents = Contents::default();
    contents.journal.insert(0, Bytes::copy_from_slice(journal));
    contents.checkpoints.extend(checkpoint.map(|bytes| (5, Bytes::copy_from_slice(bytes))));
    recover(&contents, STAMP.store).map(|recovered| recovered.cursor.position)
}

/// F04: whatever is missing of the last frame, it was never confirmed: it is cut and nothing before it.
#[test]
fn a_torn_tail_is_cut_and_rot_is_not() {
    let whole = &JOURNAL[..JOURNAL.len() - BLOCK];
    let second = whole.len() - BLOCK;
    let slot = |bytes: &[u8]| [bytes, &vec![0; 65536 - bytes.len()]].concat();
    assert_eq!(recovered(&slot(whole), None), Ok(whole.len() as u64));
    for sector in (second..whole.len()).step_by(512) {
        let mut torn = slot(whole);
        if torn[sector..sector + 512].iter().all(|byte| *byte == 0) {
            continue;
        }
        torn[sector..sector + 512].fill(0);
        assert_eq!(recovered(&torn, None), Ok(second as u64), "sector at {sector}");
        torn[second + BLOCK..second + 2 * BLOCK].copy_from_slice(&JOURNAL[whole.len()..]);
        let rotten = Err(RecoverError::Rotten { at: second as u64 });
        assert_eq!(recovered(&torn, None), rotten, "a later frame proves that it was flushed");
    }
    let mut lost = slot(JOURNAL);
    lost[..BLOCK].fill(0);
    assert_eq!(recovered(&lost, None), Err(RecoverError::Rotten { at: 0 }));
}

/// F18: a folder of another store, or of a newer format, is refused by name and not taken for an empty one.
#[test]
fn what_is_not_ours_is_refused() {
    let contents = || {
        let mut contents = Contents::default();
        contents.journal.insert(0, Bytes::from_static(JOURNAL));
        contents
    };
    assert_eq!(recover(&contents(), 1).map(|_| ()), Err(RecoverError::Foreign(STAMP.store)));
    let mut newer = JOURNAL.to_vec();
    newer[4] = 2;
    let sum = crc32c::crc32c(&newer[..60]);
    newer[60..64].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(recovered(&newer, None), Err(RecoverError::Version(UnknownVersion(2))));
    let lost = recovered(&vec![0; 65536], Some(CHECKPOINT));
    assert_eq!(lost, Err(RecoverError::Rotten { at: 0x20000 }), "a checkpoint and no journal");
}
