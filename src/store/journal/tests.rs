use super::*;
use crate::store::TopicId;

const SIZE: u64 = 64 * 1024;

fn journal(out: &mut Outbox) -> Journal {
    let slots = Slots { bytes: SIZE, max: 3, live: BTreeMap::new(), free: vec![0, 1] };
    Journal::new(Stamp { store: 1, epoch: 1 }, slots, Cursor::default(), out)
}

fn delete(topic: u64) -> Record<'static> {
    Record::TopicDelete(TopicId(topic))
}

#[track_caller]
fn wrote(journal: &mut Journal, out: &mut Outbox, wrote: usize) {
    let (id, op) = out.take().expect("a write");
    assert!(matches!(op, DiskOp::Write { .. }), "{op:?}");
    assert_eq!(journal.on_done(id, Ok(Completion::Wrote(wrote)), out), Progress::Nothing);
}

#[test]
fn what_comes_during_a_flush_shares_the_next() {
    let (mut out, mut waiting) = (Outbox::default(), 0);
    let mut journal = journal(&mut out);
    assert_eq!(journal.append(0, &delete(0)), 1);
    journal.drive(&mut out);
    for topic in 1..=50 {
        waiting = journal.append(0, &delete(topic));
        journal.drive(&mut out);
    }
    wrote(&mut journal, &mut out, BLOCK);
    let make = DiskOp::Create { file: FileName::Journal(2), zeroes: SIZE };
    assert_eq!(out.take().map(|(_, op)| op), Some(make), "slot 0 is in use: one more is made");
    let (id, op) = out.take().unwrap();
    assert_eq!(op, DiskOp::Sync(FileName::Journal(0)));
    assert_eq!(journal.on_done(id, Ok(Completion::Done), &mut out), Progress::Durable(1));
    journal.drive(&mut out);
    wrote(&mut journal, &mut out, BLOCK);
    let (id, _) = out.take().unwrap();
    assert_eq!(journal.on_done(id, Ok(Completion::Done), &mut out), Progress::Durable(waiting));
    assert!(out.take().is_none() && journal.is_quiet());
}

#[test]
fn a_short_write_is_gone_on_with_from_a_whole_block() {
    let mut out = Outbox::default();
    let mut journal = journal(&mut out);
    let bytes = vec![1; 3 * BLOCK];
    let position = crate::base::id::Position {
        ledger: crate::base::id::LedgerId(1),
        entry: crate::base::id::EntryId(0),
    };
    journal.append(0, &Record::Entry { position, messages: 1, bytes: &bytes });
    journal.drive(&mut out);
    wrote(&mut journal, &mut out, BLOCK + 17);
    let (id, op) = out.take().unwrap();
    let DiskOp::Write { at, bytes, .. } = op else { panic!("the rest: {op:?}") };
    assert_eq!((at, bytes.len()), (BLOCK as u64, 3 * BLOCK));
    assert_eq!(journal.on_done(id, Ok(Completion::Wrote(3 * BLOCK)), &mut out), Progress::Nothing);
    assert!(matches!(out.take(), Some((_, DiskOp::Sync(_)))));
}

#[test]
fn a_failed_write_or_flush_ends_it() {
    for fail_sync in [false, true] {
        let mut out = Outbox::default();
        let mut journal = journal(&mut out);
        journal.append(0, &delete(1));
        journal.drive(&mut out);
        if fail_sync {
            wrote(&mut journal, &mut out, BLOCK);
        }
        let (id, _) = out.take().unwrap();
        assert_eq!(journal.on_done(id, Err(DiskError::Io), &mut out), Progress::Dead);
        journal.append(0, &delete(2));
        journal.drive(&mut out);
        assert!(out.take().is_none() && journal.is_dead() && !journal.has_room(Need::Release, 0));
    }
}

#[test]
fn the_last_slot_is_kept_for_what_makes_room() {
    let mut out = Outbox::default();
    let slots = Slots { bytes: SIZE, max: 1, live: [(0, 0)].into(), free: vec![] };
    let stamp = Stamp { store: 1, epoch: 1 };
    let at = |eighths: u64| Cursor { position: SIZE / 8 * eighths, previous: 0 };
    let mut room =
        |eighths, need| Journal::new(stamp, slots.clone(), at(eighths), &mut out).has_room(need, 100);
    assert!(!room(0, Need::Entry));
    assert!(room(4, Need::State) && !room(6, Need::State));
    assert!(room(5, Need::Release) && !room(7, Need::Release));
}
