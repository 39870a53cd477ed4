//! What a person must know before deciding about damage: where it is, and what is given up if the journal is cut there.

use super::{Contents, Journal, Options, RecoverError, recover_with};
use crate::base::id::LedgerId;
use crate::store::TopicId;
use crate::store::disk::{BLOCK, FileName};
use crate::store::frame::{self, Home};
use crate::store::record::Record;
use std::collections::BTreeMap;
use std::fmt;

/// Topics that are named one by one; of the others only their number is told.
const TOPICS_NAMED: usize = 8;

/// Where a journal is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Journal position.
    pub at: u64,
    /// The slot, and the offset in it; `None`: the file is not there at all.
    pub place: Option<(FileName, u64)>,
    /// What is given up if the journal is cut there.
    pub loss: Loss,
}

/// What stands behind a position of the journal, as far as it can still be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Bytes from there to the end of the last frame.
    pub bytes: u64,
    /// Frames whose records cannot be read, of those whose header can.
    pub unreadable: u64,
    /// Entries by their topic's name; one that is not known is empty.
    pub entries: BTreeMap<String, u64>,
    /// Other records that do not come back: acknowledgements, topics, subscriptions.
    pub others: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { bytes, unreadable, entries, others } = self;
        let count: u64 = entries.values().sum();
        write!(out, "{bytes} bytes of journal with {count} entries")?;
        for (number, (topic, count)) in entries.iter().take(TOPICS_NAMED).enumerate() {
            let topic = if topic.is_empty() { "unknown topics" } else { topic };
            write!(out, "{}{topic}: {count}", if number == 0 { " (" } else { ", " })?;
        }
        match entries.len() {
            0 => {}
            len if len > TOPICS_NAMED => write!(out, ", {} more topics)", len - TOPICS_NAMED)?,
            _ => write!(out, ")")?,
        }
        write!(out, " and {others} other records; {unreadable} more frames cannot be read")
    }
}

/// Looks closer at what recovery stopped at. `None`: not at a position of the journal, so that nothing can be cut there.
pub fn examine(contents: &Contents, store: u64, error: &RecoverError) -> Option<Damage> {
    let (RecoverError::Rotten { at } | RecoverError::Misfit { at, .. }) = *error else { return None };
    let journal = Journal::read(contents, store).ok()?;
    let kept = recover_with(contents, store, Options { accept_loss_at: Some(at) }).ok()?;
    let file = journal.files.get(&at.checked_div(journal.slot_bytes).unwrap_or(0));
    let place = file.map(|(slot, _)| (FileName::Journal(*slot), at % journal.slot_bytes));
    let mut owners: BTreeMap<LedgerId, TopicId> =
        kept.state.ledgers_from(Default::default()).map(|(topic, ledger)| (ledger.id, topic)).collect();
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let mut names: BTreeMap<TopicId, String> =
        kept.state.topics.iter().map(|(id, topic)| (*id, text(&topic.name))).collect();
    let mut loss = Loss { bytes: journal.end().saturating_sub(at), ..Loss::default() };
    for (bytes, header) in journal.frames_from(at, kept.stamp.epoch.saturating_sub(1)) {
        let Some(records) = frame::records(bytes, &header) else {
            loss.unreadable += 1;
            continue;
        };
        for (_, record) in records {
            match record {
                Record::Entry { position, .. } => {
                    let topic = owners.get(&position.ledger).and_then(|topic| names.get(topic));
                    *loss.entries.entry(topic.cloned().unwrap_or_default()).or_insert(0) += 1;
                    continue;
                }
                Record::LedgerOpen(ledger, topic) => drop(owners.insert(ledger, topic)),
                Record::TopicPut(topic, put) => drop(names.insert(topic, text(put.name))),
                _ => {}
            }
            loss.others += 1;
        }
    }
    Some(Damage { at, place, loss })
}

impl<'a> Journal<'a> {
    /// Frames at or behind a position, of an epoch not below `epoch`, in order: those with a valid header.
    pub(super) fn frames_from(
        &self,
        at: u64,
        epoch: u64,
    ) -> impl Iterator<Item = (&'a [u8], frame::Header)> + use<'_, 'a> {
        let first = at.checked_div(self.slot_bytes).unwrap_or(0);
        let slots = self.files.range(first..);
        let blocks = slots.flat_map(move |(file, (_, bytes))| {
            (0..bytes.len() / BLOCK)
                .map(move |block| (file * self.slot_bytes, &bytes[block * BLOCK..], block))
        });
        blocks.filter_map(move |(begin, bytes, block)| {
            let header = frame::header(bytes, Home::Journal, self.store)?;
            let position = begin + (block * BLOCK) as u64;
            let ours = header.position == position && position >= at && header.stamp.epoch >= epoch;
            ours.then_some((bytes, header))
        })
    }
}
