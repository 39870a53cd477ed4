//! What is owed to the client for an entry under way: one answer per message, in order, each with the context
//! its request brought. Kept in one flat, pooled buffer per entry, so that a warm session allocates nothing.
//!
//! A buffer is a row of slips, `[queued at, u64][context length, u32][context]`, little-endian;
//! [`NO_CONTEXT`] as the length marks a message without one. The commonest entry, a single message without a
//! context, has an empty buffer.

use crate::base::time::Instant;

/// Context length of a message without a context: longer than any text that gets here.
const NO_CONTEXT: u32 = u32::MAX;

/// What one pending entry owes the client.
#[derive(Debug, Default)]
pub struct Owed {
    /// One slip per message.
    pub(super) slips: Vec<u8>,
    /// Message bodies before compression, bytes.
    pub(super) payload_bytes: u64,
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

/// Walks a row of slips: when each message was queued, and its context.
#[derive(Debug)]
pub(super) struct Slips<'a> {
    rest: &'a [u8],
    /// The one message of an empty row.
    alone: Option<Instant>,
}

impl<'a> Slips<'a> {
    /// `queued_at` is the entry's: that of the only message when the row is empty.
    pub(super) fn new(slips: &'a [u8], queued_at: Instant) -> Self {
        Slips { rest: slips, alone: slips.is_empty().then_some(queued_at) }
    }
}

impl<'a> Iterator for Slips<'a> {
    type Item = (Instant, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(queued_at) = self.alone.take() {
            return Some((queued_at, None));
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
        Some((queued_at, Some(std::str::from_utf8(context).expect("a context is kept as it came"))))
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
        assert_eq!(Slips::new(&row, Instant(1)).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn an_empty_row_is_one_message_without_a_context() {
        assert_eq!(Slips::new(&[], Instant(3)).collect::<Vec<_>>(), [(Instant(3), None)]);
    }
}
