//! What is owed to the client for an entry under way: one answer per message, in order, each with the context
//! its request brought. Kept so that a warm session allocates nothing.
//!
//! An entry of one message keeps its context beside itself, if that is short: no second buffer is written, kept and read again
//! for each message. Otherwise there is one flat, pooled buffer per entry, a row of slips,
//! `[queued at, u64][context length, u32][context]`, little-endian; [`NO_CONTEXT`] as the length marks a message without one.

use crate::base::pool::BufferPool;
use crate::base::time::Instant;

/// Context length of a message without a context: longer than any text that gets here.
const NO_CONTEXT: u32 = u32::MAX;
/// Bytes of a slip before its context.
const SLIP_HEAD: usize = 12;
/// Longest context that is kept beside its entry, bytes: numbers, and the ids that are shorter than a UUID's 36.
const SHORT_MAX: usize = 30;

/// What one pending entry owes the client.
#[derive(Debug)]
pub struct Owed {
    contexts: Contexts,
    /// Message bodies before compression, bytes.
    pub(super) payload_bytes: u64,
}

#[derive(Debug)]
enum Contexts {
    /// One message, queued when its entry was, without a context.
    None,
    /// One message, queued when its entry was.
    Short { length: u8, bytes: [u8; SHORT_MAX] },
    /// One slip per message.
    Row(Vec<u8>),
}

impl Owed {
    /// For an entry of one message that is queued at the same time as its entry.
    pub(super) fn one(
        pool: &mut BufferPool,
        queued_at: Instant,
        context: Option<&str>,
        payload_bytes: u64,
    ) -> Owed {
        let contexts = match context {
            None => Contexts::None,
            Some(context) if context.len() <= SHORT_MAX => {
                let mut bytes = [0; SHORT_MAX];
                bytes[..context.len()].copy_from_slice(context.as_bytes());
                Contexts::Short { length: context.len() as u8, bytes }
            }
            context => {
                let mut slips = pool.take();
                put(&mut slips, queued_at, context);
                Contexts::Row(slips)
            }
        };
        Owed { contexts, payload_bytes }
    }

    /// For an entry of the messages whose slips were put into a row.
    pub(super) fn row(slips: Vec<u8>, payload_bytes: u64) -> Owed {
        Owed { contexts: Contexts::Row(slips), payload_bytes }
    }

    /// Bytes that count as held for it.
    pub(super) fn bytes(&self) -> usize {
        match &self.contexts {
            Contexts::None => 0,
            Contexts::Short { length, .. } => SLIP_HEAD + usize::from(*length),
            Contexts::Row(slips) => slips.len(),
        }
    }

    /// When each message was queued, and its context. `queued_at` is the entry's.
    pub(super) fn slips(&self, queued_at: Instant) -> Slips<'_> {
        match &self.contexts {
            Contexts::None => Slips { rest: &[], alone: Some((queued_at, None)) },
            Contexts::Short { length, bytes } => {
                Slips { rest: &[], alone: Some((queued_at, bytes.get(..usize::from(*length)))) }
            }
            Contexts::Row(slips) => Slips::new(slips),
        }
    }

    /// Gives its buffer back, if it has one.
    pub(super) fn give_back(self, pool: &mut BufferPool) {
        if let Contexts::Row(slips) = self.contexts {
            pool.give(slips);
        }
    }
}

/// Appends the slip of one message.
pub(super) fn put(slips: &mut Vec<u8>, queued_at: Instant, context: Option<&str>) {
    let length = match context {
        Some(context) => u32::try_from(context.len()).expect("a context is shorter than the text it came in"),
        None => NO_CONTEXT,
    };
    slips.extend_from_slice(&queued_at.0.to_le_bytes());
    slips.extend_from_slice(&length.to_le_bytes());
    slips.extend_from_slice(context.unwrap_or_default().as_bytes());
}

/// Walks slips: when each message was queued, and its context, which is UTF-8 as it came.
#[derive(Debug)]
pub(super) struct Slips<'a> {
    rest: &'a [u8],
    /// The one message that has no slip.
    alone: Option<(Instant, Option<&'a [u8]>)>,
}

impl<'a> Slips<'a> {
    /// A row.
    pub(super) fn new(slips: &'a [u8]) -> Self {
        Slips { rest: slips, alone: None }
    }
}

impl<'a> Iterator for Slips<'a> {
    type Item = (Instant, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(alone) = self.alone.take() {
            return Some(alone);
        }
        let (queued_at, rest) = self.rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let queued_at = Instant(u64::from_le_bytes(*queued_at));
        let length = u32::from_le_bytes(*length);
        if length == NO_CONTEXT {
            self.rest = rest;
            return Some((queued_at, None));
        }
        let (context, rest) = rest.split_at(length as usize);
        self.rest = rest;
        Some((queued_at, Some(context)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_come_back_as_they_were_put() {
        let wanted =
            [(Instant(5), Some("a")), (Instant(6), None), (Instant(7), Some("")), (Instant(8), Some("é😀"))];
        let mut row = Vec::new();
        wanted.iter().for_each(|(queued_at, context)| put(&mut row, *queued_at, *context));
        let wanted = wanted.map(|(queued_at, context)| (queued_at, context.map(str::as_bytes)));
        assert_eq!(Slips::new(&row).collect::<Vec<_>>(), wanted);
        assert_eq!(Owed::row(row, 0).slips(Instant(1)).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn one_message_keeps_its_context_at_every_length() {
        let mut pool = BufferPool::default();
        let long = "x".repeat(SHORT_MAX + 1);
        for context in [None, Some(""), Some("é"), Some(&long[..SHORT_MAX]), Some(&long)] {
            let owed = Owed::one(&mut pool, Instant(3), context, 7);
            let wanted = [(Instant(3), context.map(str::as_bytes))];
            assert_eq!(owed.slips(Instant(3)).collect::<Vec<_>>(), wanted, "{context:?}");
            assert_eq!(owed.bytes(), context.map_or(0, |context| SLIP_HEAD + context.len()), "{context:?}");
            owed.give_back(&mut pool);
        }
        assert_eq!(pool.len(), 1, "of the long one alone");
    }
}
