//! From SEND to receipt: checks, storage in order, and receipts in the order of the SENDs, given only for what is durable
//! (protocol 7.3, 7.4, 7.6).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::id::Position;
use crate::broker::dedup::{Dedup, Mark, Verdict};
use crate::broker::event::{ClientKey, Outbox, Output, Refusal};
use crate::broker::ledgers::position;
use crate::broker::producers::{Producer, Producers};
use crate::broker::settings::Settings;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame::{self, Checksum};
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{
    CommandSend, CommandSendError, CommandSendReceipt, MessageIdData, ServerError,
};

/// A SEND that is not answered yet.
#[derive(Debug)]
struct Pending {
    from: ClientKey,
    incarnation: u64,
    sequence: u64,
    highest: Option<u64>,
    messages: u32,
    what: What,
}

/// An entry that became durable.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) entry: Bytes,
    /// Messages in it, if it is a batch.
    pub(super) batch: Option<i32>,
    /// Messages in it, as its producer says.
    pub(super) messages: u32,
    pub(super) from: ClientKey,
    /// It is a part of a message.
    pub(super) chunk: bool,
}

/// What its answer waits for.
#[derive(Debug)]
enum What {
    /// Its own entry.
    Entry {
        entry: Bytes,
        batch: Option<i32>,
        chunk: bool,
        /// Name and mark, if deduplication wants to know when it is durable.
        dedup: Option<(String, Mark)>,
    },
    /// Only those before it: it is a duplicate.
    Duplicate,
    /// Only those before it: it is refused.
    Refused(Refusal),
}

/// SENDs on their way through storage, of all producers of a topic, in order.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    pending: VecDeque<Pending>,
    dedup: Option<Dedup>,
    /// Entries were refused by the store: nothing is stored until all before them is answered.
    refusing: bool,
}

/// What was judged of an entry.
#[derive(Debug)]
struct Judged {
    verdict: Verdict,
    batch: Option<i32>,
    chunk: bool,
    dedup: Option<(String, Mark)>,
    /// As its producer says, milliseconds since the epoch.
    published_ms: u64,
}

impl Publisher {
    pub(super) fn new(deduplication: bool) -> Publisher {
        let dedup = deduplication.then(Dedup::default);
        Publisher { pending: VecDeque::new(), dedup, refusing: false }
    }

    /// Deduplication is turned on or off; on, it begins with what comes.
    pub(super) fn deduplicate(&mut self, on: bool) {
        if on != self.dedup.is_some() {
            self.dedup = on.then(Dedup::default);
        }
    }

    /// Entries on their way.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What deduplication knows.
    pub(super) fn dedup(&mut self) -> Option<&mut Dedup> {
        self.dedup.as_mut()
    }

    /// Highest sequence id accepted of a name; -1: none, or deduplication is off.
    pub(super) fn last_sequence(&self, name: &str) -> i64 {
        self.dedup.as_ref().map_or(-1, |dedup| dedup.last_sequence(name))
    }

    /// Nothing waits for storage.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// A SEND of a producer that may. `fenced`: storage failed a moment ago.
    pub(super) fn send(
        &mut self,
        from: ClientKey,
        producer: &Producer,
        command: &CommandSend,
        entry: Bytes,
        (settings, fenced): (&Settings, bool),
        out: &mut Outbox,
    ) {
        let messages = command.num_messages.unwrap_or(1).max(1) as u32;
        let what = match self.judge(producer, command, &entry, settings, fenced) {
            Ok(Judged { verdict: Verdict::New, batch, chunk, dedup, published_ms }) => {
                out.push(Output::Append { entry: entry.clone(), messages, published_ms });
                What::Entry { entry, batch, chunk, dedup }
            }
            Ok(Judged { verdict: Verdict::Duplicate, .. }) => What::Duplicate,
            Ok(Judged { verdict: Verdict::Unknown, .. }) => {
                let text = "Cannot determine whether the message is a duplicate at this time";
                What::Refused(Refusal::new(ServerError::PersistenceError, text))
            }
            Err(refusal) => What::Refused(refusal),
        };
        let waits = !self.pending.is_empty() || matches!(what, What::Entry { .. });
        let sequence = command.sequence_id;
        let highest = command.highest_sequence_id;
        let pending = Pending { from, incarnation: producer.incarnation, sequence, highest, messages, what };
        if waits {
            self.pending.push_back(pending);
        } else {
            pending.answer_without_storage(out);
        }
    }

    /// Whether an entry is stored, in the order of the checks; with its name and mark if deduplication is on.
    fn judge(
        &mut self,
        producer: &Producer,
        command: &CommandSend,
        entry: &[u8],
        settings: &Settings,
        fenced: bool,
    ) -> Result<Judged, Refusal> {
        let metadata_error = |text: &str| Refusal::new(ServerError::MetadataError, text);
        let payload = frame::payload(entry).map_err(|_| metadata_error("Payload is not readable"))?;
        if payload.checksum == Checksum::Bad {
            return Err(Refusal::new(ServerError::ChecksumError, "Checksum failed on the broker"));
        }
        let metadata =
            MetadataView::read(payload.metadata).map_err(|_| metadata_error("Metadata is not readable"))?;
        if settings.encryption_required && !metadata.encrypted {
            return Err(metadata_error("Messages must be encrypted"));
        }
        if fenced || self.refusing {
            return Err(Refusal::new(ServerError::PersistenceError, "Topic is temporarily unavailable"));
        }
        let chunk = command.is_chunk.unwrap_or(false) && metadata.chunks > 1;
        // Clients cut chunks to the largest size before they number them, so these are a little larger; the frame bounds them.
        if !chunk && payload.metadata.len() + payload.body.len() > settings.message_size_max {
            return Err(Refusal::new(ServerError::NotAllowedError, "Exceed maximum message size"));
        }
        if let Some(time) = metadata.deliver_at_time.filter(|_| !settings.delay_max.is_zero()) {
            let published = metadata.publish_time.cast_signed();
            if time.saturating_sub(published) > settings.delay_max.as_millis() as i64 {
                let text = "Exceeds the longest delay that is allowed for delivery";
                return Err(Refusal::new(ServerError::NotAllowedError, text));
            }
        }
        let (batch, published_ms) = (metadata.batch_size, metadata.publish_time);
        let Some(dedup) = &mut self.dedup else {
            return Ok(Judged { verdict: Verdict::New, batch, chunk, dedup: None, published_ms });
        };
        let sequence = command.sequence_id;
        let (first, last) = match (u32::try_from(metadata.chunks), u32::try_from(metadata.chunk_id)) {
            (Ok(chunks), Ok(index)) if chunk => {
                let mark = Mark::chunk(sequence, index, chunks);
                (mark, mark)
            }
            _ => {
                let last = last_sequence(sequence, command.highest_sequence_id);
                (Mark::whole(sequence), Mark::whole(last))
            }
        };
        let verdict = dedup.publish(&producer.name, first, last);
        Ok(Judged { verdict, batch, chunk, dedup: Some((producer.name.clone(), last)), published_ms })
    }

    /// The oldest entry on its way is durable at `at`: its receipt, and the answers that waited behind it. Gives the entry back,
    /// which consumers may see from now on. `None`: storage answered what was not asked.
    pub(super) fn appended(
        &mut self,
        at: Position,
        producers: &Producers,
        out: &mut Outbox,
    ) -> Option<Appended> {
        let pending = self.pending.pop_front()?;
        let What::Entry { entry, batch, chunk, dedup } = pending.what else {
            unreachable!(
                "the head of the queue waits for storage: what does not is answered with its predecessor"
            )
        };
        if let (Some((name, mark)), Some(state)) = (dedup, &mut self.dedup) {
            state.durable(&name, mark);
        }
        if producers.is_connected(pending.from, pending.incarnation) {
            receipt(pending.from, pending.sequence, pending.highest, at, out);
        }
        self.answer_head(producers, out);
        Some(Appended { entry, batch, messages: pending.messages, from: pending.from, chunk })
    }

    /// The store takes `taken` of the entries on their way and none behind them: those are refused, in order, and so is what
    /// comes before they are answered.
    pub(super) fn refused(&mut self, taken: usize, producers: &Producers, out: &mut Outbox) {
        out.drop_appends();
        let refusal = Refusal::new(ServerError::PersistenceError, "There is no room for the entry");
        let entries = self.pending.iter_mut().filter(|pending| matches!(pending.what, What::Entry { .. }));
        for pending in entries.skip(taken) {
            pending.what = What::Refused(refusal.clone());
        }
        self.refusing = true;
        self.answer_head(producers, out);
    }

    /// Everything on its way failed.
    pub(super) fn failed(&mut self, producers: &Producers, out: &mut Outbox) {
        let refusal = Refusal::new(ServerError::PersistenceError, "The entry could not be stored");
        for mut pending in std::mem::take(&mut self.pending) {
            if let What::Entry { .. } = pending.what {
                pending.what = What::Refused(refusal.clone());
            }
            if producers.is_connected(pending.from, pending.incarnation) {
                pending.answer_without_storage(out);
            }
        }
        self.refusing = false;
        self.dedup.iter_mut().for_each(Dedup::failed);
    }

    /// A SEND to a topic that stores nothing: answered at once with 0:0. The entry, if it is to be passed on.
    pub(super) fn pass(
        &mut self,
        from: ClientKey,
        producer: &Producer,
        command: &CommandSend,
        entry: Bytes,
        (settings, fenced): (&Settings, bool),
        out: &mut Outbox,
    ) -> Option<Appended> {
        let messages = command.num_messages.unwrap_or(1).max(1) as u32;
        match self.judge(producer, command, &entry, settings, fenced) {
            Ok(Judged { batch, chunk, .. }) => {
                receipt(from, command.sequence_id, command.highest_sequence_id, position(0, 0), out);
                Some(Appended { entry, batch, messages, from, chunk })
            }
            Err(refusal) => {
                let (sequence, highest) = (command.sequence_id, command.highest_sequence_id);
                let incarnation = producer.incarnation;
                let what = What::Refused(refusal);
                let pending = Pending { from, incarnation, sequence, highest, messages, what };
                pending.answer_without_storage(out);
                None
            }
        }
    }

    /// Answers what waited only for its predecessors.
    fn answer_head(&mut self, producers: &Producers, out: &mut Outbox) {
        while let Some(pending) = self.pending.pop_front_if(|head| !matches!(head.what, What::Entry { .. })) {
            if producers.is_connected(pending.from, pending.incarnation) {
                pending.answer_without_storage(out);
            }
        }
        if self.refusing && self.pending.is_empty() {
            self.refusing = false;
            self.dedup.iter_mut().for_each(Dedup::failed);
        }
    }
}

impl Pending {
    /// The answer to a duplicate or a refused SEND.
    fn answer_without_storage(self, out: &mut Outbox) {
        match self.what {
            What::Entry { .. } => unreachable!("an entry is answered when it is stored"),
            What::Duplicate => {
                receipt(self.from, self.sequence, self.highest, position(u64::MAX, u64::MAX), out);
            }
            What::Refused(refusal) => {
                let error = CommandSendError {
                    producer_id: self.from.id,
                    sequence_id: last_sequence(self.sequence, self.highest),
                    error: refusal.code as i32,
                    message: refusal.text,
                };
                out.send(self.from.connection, Command::SendError(error));
            }
        }
    }
}

/// The last sequence id of a SEND. A highest one below the first counts for nothing; clients send -1 for none.
fn last_sequence(sequence: u64, highest: Option<u64>) -> u64 {
    highest.filter(|highest| *highest as i64 > sequence as i64).unwrap_or(sequence)
}

/// A SEND_RECEIPT: the ids exactly as they came.
fn receipt(to: ClientKey, sequence_id: u64, highest: Option<u64>, at: Position, out: &mut Outbox) {
    let message_id =
        MessageIdData { ledger_id: at.ledger.0, entry_id: at.entry.0, ..MessageIdData::default() };
    let receipt = CommandSendReceipt {
        producer_id: to.id,
        sequence_id,
        message_id: Some(message_id),
        highest_sequence_id: highest,
    };
    out.send(to.connection, Command::SendReceipt(receipt));
}

#[cfg(test)]
mod tests;
