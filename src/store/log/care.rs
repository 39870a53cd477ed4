//! What the log does by itself: commits, settling, checkpoints, letting go, scrubbing.

use super::{Event, Log, Ticket};
use crate::base::id::LedgerId;
use crate::store::disk::{Completion, DiskError, FileName, OpId};
use crate::store::{journal, settle};

/// Bytes of a ledger's entries from which on they get a segment: below, a file and a flush cost more than they are worth.
const SEGMENT_BYTES_MIN: usize = 64 * 1024;

impl Log {
    /// Asks for a checkpoint: once in a while when quiet, a second after one failed, and after room was made.
    pub fn checkpoint(&mut self) {
        self.checkpoint_asked = true;
        self.settle_at = 0;
        self.journal.retry();
    }

    /// A [`Log::heartbeat`] is due some 50 ms after the last frame.
    pub fn wants_heartbeat(&self) -> bool {
        self.is_open() && self.journal.wants_heartbeat()
    }

    /// Writes a frame that proves the last one durable, so that its rot is not taken for a torn tail.
    pub fn heartbeat(&mut self) {
        if self.wants_heartbeat() {
            self.journal.append_empty();
        }
    }

    /// Starts what can be started. To be called at the end of a turn, so that its appends share a frame.
    pub fn drive(&mut self) {
        self.forget();
        if !self.settler.is_busy() && !self.journal.is_dead() {
            if self.is_checkpoint_due() {
                self.start_checkpoint();
            } else if self.is_settling_due() {
                self.start_settling();
            }
        }
        self.journal.drive(&mut self.out);
        if self.journal.is_synced() {
            self.settler.drive(&self.state, &mut self.memory, &mut self.out);
        }
        self.reads.drive(&mut self.out);
    }

    fn start_checkpoint(&mut self) {
        self.checkpoint_asked = false;
        self.checkpointed = self.journal.cursor().position;
        let ledgers = self.choose_for_checkpoint();
        let upto = if self.before.is_some() { 0 } else { self.journal.seal() };
        let state = self.before.as_ref().unwrap_or(&self.state);
        self.settler.checkpoint(state, upto, ledgers);
        self.settler.on_durable(self.durable.0, self.journal.cursor());
        self.settled_once();
    }

    fn start_settling(&mut self) {
        let ledgers = self.choose_for_settling();
        self.settler.settle(ledgers);
        self.settled_once();
    }

    /// Settling began with all there is: it begins again when there is notably more.
    fn settled_once(&mut self) {
        self.settle_at = self.memory.unsettled() + self.config.unsettled_bytes / 8;
    }

    fn is_checkpoint_due(&self) -> bool {
        let position = self.journal.cursor().position;
        let grown = position.saturating_sub(self.checkpointed);
        match (&self.before, self.is_open()) {
            (None, true) => {
                let low = grown > 0 && self.journal.is_low();
                self.checkpoint_asked || low || grown >= self.config.checkpoint_bytes
            }
            // The tail is still where recovery found it.
            (Some(_), false) => self.checkpoint_asked && self.durable == Ticket(0),
            _ => false,
        }
    }

    fn is_settling_due(&self) -> bool {
        let enough = self.settle_at.max(self.config.unsettled_bytes / 2);
        self.is_open() && self.memory.unsettled() >= enough
    }

    /// Ledgers that get their entries into their segment before a checkpoint; the entries of the others it holds itself.
    fn choose_for_checkpoint(&self) -> Vec<LedgerId> {
        let tails = self.memory.tails().iter().filter(|(_, tail)| tail.unsettled() > 0);
        let mut waiting: Vec<(usize, LedgerId)> = tails.map(|(id, tail)| (tail.unsettled(), *id)).collect();
        waiting.sort_unstable();
        let mut inline = 0;
        let is_large = |(bytes, _): &(usize, LedgerId)| {
            inline += bytes;
            *bytes >= SEGMENT_BYTES_MIN || inline > self.config.inline_bytes
        };
        self.oldest_first(waiting.into_iter().filter(is_large).map(|(_, id)| id).collect())
    }

    /// Ledgers that have a good piece to settle; if that is not most of it, all but the smallest.
    fn choose_for_settling(&self) -> Vec<LedgerId> {
        let tails = self.memory.tails().iter().filter(|(_, tail)| tail.readable() > tail.settled());
        let all: Vec<(LedgerId, usize)> = tails.map(|(id, tail)| (*id, tail.unsettled())).collect();
        let least = |bytes| all.iter().filter(move |(_, unsettled)| *unsettled >= bytes);
        let large: usize = least(SEGMENT_BYTES_MIN).map(|(_, bytes)| *bytes).sum();
        let bound =
            if large * 2 >= self.memory.unsettled() { SEGMENT_BYTES_MIN } else { SEGMENT_BYTES_MIN / 16 };
        self.oldest_first(least(bound).map(|(id, _)| *id).collect())
    }

    fn oldest_first(&self, mut ledgers: Vec<LedgerId>) -> Vec<LedgerId> {
        ledgers.sort_by_cached_key(|id| (self.memory.get(*id).map_or(0, |tail| tail.oldest_ms()), *id));
        ledgers
    }

    /// Lets go of ledgers whose end is durable, unless something is being settled: it may be of them.
    fn forget(&mut self) {
        if self.settler.is_busy() {
            return;
        }
        while let Some((ticket, ledger)) = self.forgotten.front().copied()
            && ticket <= self.durable
        {
            self.forgotten.pop_front();
            self.memory.forget(ledger);
            self.settler.delete(FileName::Segment(ledger));
        }
    }

    /// A request ended.
    pub fn on_done(&mut self, id: OpId, result: Result<Completion, DiskError>) {
        if let Some(events) = self.reads.on_done(id, &result) {
            let told = events.into_iter().filter(|event| match event {
                // A segment that was deleted while it was read is no damage.
                Event::Damaged { ledger, .. } => self.state.owner(*ledger).is_some(),
                _ => true,
            });
            self.events.extend(told);
        } else if self.journal.owns(id) {
            match self.journal.on_done(id, result, &mut self.out) {
                journal::Progress::Nothing => {}
                journal::Progress::Durable(upto) => self.on_durable(Ticket(upto)),
                journal::Progress::NoSlot(error) => self.events.push_back(Event::CheckpointFailed(error)),
                journal::Progress::Dead => self.events.push_back(Event::Dead),
            }
        } else if self.settler.owns(id) && !self.journal.is_dead() {
            match self.settler.on_done(result, &self.state, &mut self.memory, &mut self.out) {
                settle::Progress::Nothing => {}
                settle::Progress::Settled(ledger, index) => {
                    if let Ok(found) = self.state.ledger_mut(ledger) {
                        let settled = index.settled();
                        found.index = index;
                        self.memory.on_settled(ledger, settled, self.config.tail_bytes);
                        self.settle_at =
                            self.settle_at.min(self.memory.unsettled() + self.config.unsettled_bytes / 8);
                    }
                }
                settle::Progress::Checkpoint(replay) => {
                    self.journal.trim(replay);
                    // The older of two checkpoints decides what may go: a second one here moves that up.
                    self.checkpoint_asked |= self.journal.is_low() && replay < self.checkpointed;
                    self.events.push_back(Event::Checkpoint);
                }
                settle::Progress::Failed(error) => self.events.push_back(Event::CheckpointFailed(error)),
            }
        }
        self.drive();
    }

    fn on_durable(&mut self, upto: Ticket) {
        self.durable = upto;
        while let Some(pending) = self.pending.front_mut()
            && pending.first <= upto.0
        {
            let count = pending.count.min(upto.0 - pending.first + 1);
            self.memory.on_durable(pending.ledger, count);
            (pending.first, pending.count) = (pending.first + count, pending.count - count);
            if pending.count == 0 {
                self.pending.pop_front();
            }
        }
        self.settler.on_durable(upto.0, self.journal.cursor());
        if self.opening.is_some_and(|opening| opening <= upto) {
            (self.opening, self.before) = (None, None);
            self.events.push_back(Event::Open);
        }
        self.events.push_back(Event::Durable(upto));
    }

    /// Reads the next piece of all segments, to see whether it checks out; false: the pass is at its end, and the next call begins
    /// another. [`Event::Damaged`] tells what was found. To be called again after [`Event::Scrubbed`], as slowly as wanted.
    pub fn scrub_step(&mut self) -> bool {
        if !self.is_open() || self.reads.is_scrubbing() {
            return true;
        }
        let (topic, from, mut number) = self.scrub.unwrap_or_default();
        for (topic, ledger) in self.state.ledgers_from((topic, from)) {
            number = if ledger.id == from { number } else { 0 };
            if number < ledger.index.pieces().len() {
                self.reads.scrub(ledger, number);
                self.scrub = Some((topic, ledger.id, number + 1));
                self.reads.drive(&mut self.out);
                return true;
            }
        }
        self.scrub = None;
        false
    }
}
