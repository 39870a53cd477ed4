//! Putting chunked messages together again (protocol 2.5). Chunks of one message carry the same uuid and arrive in
//! order, perhaps between those of others.

use super::tracker::Place;
use crate::base::limit::{CHUNKED_MESSAGE_AGE_MAX, CHUNKED_MESSAGE_BYTES_MAX, CHUNKED_MESSAGES_MAX};
use crate::base::time::Instant;
use crate::wire::pulsar::metadata::MetadataView;
use std::collections::VecDeque;

/// One message under way.
#[derive(Debug)]
struct Assembly {
    leg: usize,
    uuid: String,
    /// Places of the chunks so far: the next chunk's number is their count.
    places: Vec<Place>,
    bytes: Vec<u8>,
    expires: Instant,
}

impl Assembly {
    /// Memory it takes, bytes: many tiny chunks count as well.
    fn size(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }
}

/// What a chunk led to.
#[derive(Debug, PartialEq)]
pub(super) enum Chunk {
    /// More are to come, or nothing can be done with it.
    Kept,
    /// A second copy of a chunk that is here: to be acknowledged.
    Duplicate,
    /// The message is whole: places of all chunks but this one, and its bytes.
    Whole(Vec<Place>, Vec<u8>),
}

/// Incomplete messages of a session, oldest first.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    under_way: VecDeque<Assembly>,
    bytes: usize,
    /// Places of chunks given up, to be asked for again.
    given_up: Vec<(usize, Place)>,
}

impl Chunks {
    /// A chunk arrived. Messages given up on the way are in [`Chunks::poll_given_up`].
    pub(super) fn on_chunk(
        &mut self,
        now: Instant,
        leg: usize,
        place: Place,
        metadata: &MetadataView<'_>,
        body: &[u8],
    ) -> Chunk {
        let Some(uuid) = metadata.uuid else { return Chunk::Kept };
        let found = self.under_way.iter().position(|a| a.leg == leg && a.uuid == uuid);
        let (Ok(number), Ok(total)) = (usize::try_from(metadata.chunk_id), usize::try_from(metadata.chunks))
        else {
            return Chunk::Kept;
        };
        let at = match found {
            Some(at) if number < self.under_way[at].places.len() => {
                let known = self.under_way[at].places.contains(&place);
                return if known { Chunk::Kept } else { Chunk::Duplicate };
            }
            Some(at) if number > self.under_way[at].places.len() => {
                self.give_up(at);
                return Chunk::Kept;
            }
            Some(at) => at,
            None if number > 0 || !fits(metadata.total_chunk_size) => return Chunk::Kept,
            None => self.open(now, leg, uuid),
        };
        let announced = usize::try_from(metadata.total_chunk_size).unwrap_or(0);
        if self.under_way[at].bytes.len() + body.len() > announced.min(CHUNKED_MESSAGE_BYTES_MAX) {
            self.give_up(at);
            return Chunk::Kept;
        }
        let assembly = &mut self.under_way[at];
        assembly.bytes.extend_from_slice(body);
        self.bytes += body.len();
        if number + 1 < total {
            assembly.places.push(place);
            self.bytes += size_of::<Place>();
            self.make_room();
            return Chunk::Kept;
        }
        let Some(whole) = self.under_way.remove(at) else { return Chunk::Kept };
        self.bytes -= whole.size();
        Chunk::Whole(whole.places, whole.bytes)
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.under_way.front().is_some_and(|oldest| oldest.expires <= now) {
            self.give_up(0);
        }
    }

    /// When [`Chunks::expire`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.under_way.front().map(|oldest| oldest.expires)
    }

    /// A chunk of a message given up.
    pub(super) fn poll_given_up(&mut self) -> Option<(usize, Place)> {
        self.given_up.pop()
    }

    /// Drops what a leg sent: all of it comes again.
    pub(super) fn forget_leg(&mut self, leg: usize) {
        self.under_way.retain(|assembly| assembly.leg != leg);
        self.bytes = self.under_way.iter().map(Assembly::size).sum();
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn open(&mut self, now: Instant, leg: usize, uuid: &str) -> usize {
        if self.under_way.len() == CHUNKED_MESSAGES_MAX {
            self.give_up(0);
        }
        let expires = now + CHUNKED_MESSAGE_AGE_MAX;
        let (places, bytes) = (Vec::new(), Vec::new());
        self.under_way.push_back(Assembly { leg, uuid: uuid.to_owned(), places, bytes, expires });
        self.under_way.len() - 1
    }

    /// All messages under way together may take no more than the largest single one.
    fn make_room(&mut self) {
        while self.bytes > CHUNKED_MESSAGE_BYTES_MAX {
            self.give_up(0);
        }
    }

    fn give_up(&mut self, at: usize) {
        if let Some(assembly) = self.under_way.remove(at) {
            self.bytes -= assembly.size();
            self.given_up.extend(assembly.places.iter().map(|place| (assembly.leg, *place)));
        }
    }
}

fn fits(announced: i32) -> bool {
    usize::try_from(announced).is_ok_and(|size| size <= CHUNKED_MESSAGE_BYTES_MAX)
}
