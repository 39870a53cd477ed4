use super::*;
use crate::base::id::EntryId;
use crate::store::record::{Acks, Dedup};

const TOPIC: TopicId = TopicId(1);
const LEDGER: LedgerId = LedgerId(3);

fn at(entry: u64) -> Position {
    Position { ledger: LEDGER, entry: EntryId(entry) }
}

fn with_topic() -> State {
    let mut state = State::default();
    state.apply(0, &Record::TopicPut(TOPIC, TopicPut { name: b"t", properties: b"" })).unwrap();
    state
}

#[test]
fn what_does_not_fit_is_refused() {
    let entry = |entry| Record::Entry { position: at(entry), messages: 1, bytes: b"x" };
    let refused = State::default().apply(0, &Record::LedgerOpen(LEDGER, TOPIC));
    assert_eq!(refused, Err(Misfit::Topic));
    let mut state = with_topic();
    assert_eq!(state.apply(0, &entry(0)), Err(Misfit::Ledger));
    state.apply(0, &Record::LedgerOpen(LEDGER, TOPIC)).unwrap();
    assert_eq!(state.apply(0, &Record::LedgerOpen(LEDGER, TOPIC)), Err(Misfit::Ledger));
    assert_eq!(state.apply(0, &Record::LedgerOpen(LedgerId(4), TOPIC)), Err(Misfit::Ledger), "one is open");
    assert_eq!(state.apply(0, &entry(1)), Err(Misfit::Entry), "a gap");
    state.apply(0, &entry(0)).unwrap();
    assert_eq!(state.apply(0, &entry(0)), Err(Misfit::Entry), "twice");
    assert_eq!(state.apply(0, &Record::LedgerClose(LEDGER, 2)), Err(Misfit::Entry));
    state.apply(0, &Record::LedgerClose(LEDGER, 1)).unwrap();
    assert_eq!(state.apply(0, &entry(1)), Err(Misfit::Entry), "closed");
    let below = Record::LedgerOpen(LedgerId(2), TOPIC);
    assert_eq!(state.apply(0, &below), Err(Misfit::Ledger), "ids grow along a topic");
    assert_eq!(state.apply(0, &Record::CursorDelete(TOPIC, CursorId(1))), Err(Misfit::Cursor));
    assert_eq!(state.apply(0, &Record::End(0)), Err(Misfit::Kind));
    state.apply(0, &Record::TopicDelete(TOPIC)).unwrap();
    assert_eq!((state.topics.len(), state.owner(LEDGER)), (0, None));
    assert_eq!((state.topic_high, state.ledger_high), (TOPIC, LEDGER), "never used again");
}

#[test]
fn messages_and_bytes_are_counted() {
    let mut state = with_topic();
    for (ledger, entries) in [(LedgerId(3), 2), (LedgerId(8), 1)] {
        state.apply(10, &Record::LedgerOpen(ledger, TOPIC)).unwrap();
        for entry in 0..entries {
            let position = Position { ledger, entry: EntryId(entry) };
            let record = Record::Entry { position, messages: 5, bytes: &[0; 100] };
            state.apply(20 + entry, &record).unwrap();
        }
        state.apply(30, &Record::LedgerClose(ledger, entries)).unwrap();
    }
    let found = state.ledger(LedgerId(3)).unwrap();
    assert_eq!((found.messages, found.bytes, found.first_message), (10, 200, 0));
    assert_eq!((found.opened_ms, found.last_ms), (10, 30));
    let found = state.ledger(LedgerId(8)).unwrap();
    assert_eq!((found.messages, found.bytes, found.first_message), (5, 100, 10));
    state.apply(40, &Record::LedgerDelete(LedgerId(3))).unwrap();
    let topic = state.topic(TOPIC).unwrap();
    assert_eq!((topic.messages, topic.ledgers.len()), (15, 1), "the index does not fall");
}

#[test]
fn what_the_broker_saves_of_a_topic_is_kept() {
    let mut state = with_topic();
    state.apply(0, &Record::TopicEpoch(TOPIC, 7)).unwrap();
    state.apply(0, &Record::TopicTerminate(TOPIC)).unwrap();
    let dedup = |whole, names: &[(&'static [u8], u64)]| {
        Record::Dedup(TOPIC, Dedup { whole, below: at(9), names: names.to_vec() })
    };
    state.apply(0, &dedup(true, &[(b"a", 4), (b"b", 5)])).unwrap();
    state.apply(0, &dedup(false, &[(b"b", 2), (b"c", 6)])).unwrap();
    state.apply(0, &Record::TopicPut(TOPIC, TopicPut { name: b"t", properties: b"new" })).unwrap();
    let topic = state.topic(TOPIC).unwrap();
    assert_eq!((topic.epoch, topic.terminated, &topic.properties[..]), (Some(7), true, &b"new"[..]));
    let names = |state: &State| {
        let known = state.topic(TOPIC).unwrap().dedup.clone().map(|known| known.names);
        known.map(|names| names.into_values().collect::<Vec<_>>())
    };
    assert_eq!(names(&state), Some(vec![4, 5, 6]), "a sequence never falls");
    state.apply(0, &dedup(true, &[(b"b", 1)])).unwrap();
    assert_eq!(names(&state), Some(vec![1]));
    state.apply(0, &Record::DedupDelete(TOPIC)).unwrap();
    assert_eq!(names(&state), None);
}

#[test]
fn a_copy_is_not_changed_by_what_follows() {
    let mut state = with_topic();
    let set = CursorSet {
        name: b"s",
        acks: Acks { below: at(0), ranges: vec![], partial: vec![] },
        properties: b"p",
    };
    state.apply(0, &Record::CursorSet(TOPIC, CursorId(1), set)).unwrap();
    let before = state.clone();
    let update = Acks { below: at(5), ranges: vec![], partial: vec![] };
    state.apply(0, &Record::CursorUpdate(TOPIC, CursorId(1), update)).unwrap();
    let below = |state: &State| state.cursor(TOPIC, CursorId(1)).unwrap().consumed.below;
    assert_eq!((below(&before), below(&state)), (at(0), at(5)));
}
