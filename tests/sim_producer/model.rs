//! The broker side of the producer simulation: what one leg stores, what its link carries, and how its
//! answers read.

use pulsegate::wire::pulsar::batch::Messages;
use pulsegate::wire::pulsar::compression::decompress;
use pulsegate::wire::pulsar::frame::{self, Checksum};
use pulsegate::wire::pulsar::metadata::MetadataView;
use pulsegate::wire::pulsar::proto::{CommandSendError, CommandSendReceipt, MessageIdData, ServerError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One SEND on a link.
pub(crate) struct Sent {
    pub(crate) sequence_id: u64,
    pub(crate) highest: Option<u64>,
    pub(crate) messages: u32,
    pub(crate) entry: Vec<u8>,
}

/// What the broker says.
pub(crate) enum Answer {
    Receipt(CommandSendReceipt),
    Error(CommandSendError),
}

/// One attachment of a leg: what is on its way, in both directions.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) sends: VecDeque<Sent>,
    pub(crate) answers: VecDeque<Answer>,
    last_written: Option<u64>,
    /// The broker refused an entry in a way that passes: it takes no more until the leg is attached anew.
    stuck: bool,
}

/// A message as it was stored.
pub(crate) struct Stored {
    pub(crate) payload: Vec<u8>,
    pub(crate) key: Option<String>,
}

/// What the broker keeps of one leg.
pub(crate) struct BrokerLeg {
    pub(crate) ledger: u64,
    pub(crate) link: Option<Link>,
    dedup: bool,
    entries: Vec<Vec<Stored>>,
    stored_to: Option<u64>,
    /// Entries it does not allow, and never will: size is looked at before deduplication.
    not_allowed: BTreeSet<u64>,
    /// Every entry that was ever on a link, by sequence id.
    seen: BTreeMap<u64, Vec<u8>>,
}

impl BrokerLeg {
    pub(crate) fn new(ledger: u64, dedup: bool) -> Self {
        BrokerLeg {
            ledger,
            link: None,
            dedup,
            entries: Vec::new(),
            stored_to: None,
            not_allowed: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// What PRODUCER_SUCCESS says: -1 without deduplication.
    pub(crate) fn last_sequence_id(&self) -> i64 {
        self.stored_to.filter(|_| self.dedup).map_or(-1, |id| id as i64)
    }

    /// An entry goes onto the link.
    pub(crate) fn written(&mut self, sent: Sent) {
        let link = self.link.as_mut().expect("only attached legs write");
        let id = sent.sequence_id;
        assert!(link.last_written < Some(id), "sequence id {id} after {:?}", link.last_written);
        link.last_written = Some(sent.highest.unwrap_or(id));
        let first = self.seen.entry(id).or_insert_with(|| sent.entry.clone());
        assert_eq!(*first, sent.entry, "sequence id {id} was sent with other bytes");
        link.sends.push_back(sent);
    }

    /// The broker takes the next entry and answers; small `dice` are errors. False: nothing to take.
    pub(crate) fn take(&mut self, dice: u64) -> bool {
        let Some(link) = &mut self.link else { return false };
        if link.stuck {
            return false;
        }
        let Some(sent) = link.sends.pop_front() else { return false };
        let id = sent.highest.unwrap_or(sent.sequence_id);
        let error = match dice {
            _ if self.not_allowed.contains(&id) => Some(ServerError::NotAllowedError),
            0..4 => Some(ServerError::NotAllowedError),
            4..8 => Some(ServerError::PersistenceError),
            8 => Some(ServerError::TopicTerminatedError),
            9..12 => Some(ServerError::ChecksumError),
            _ => None,
        };
        if let Some(error) = error {
            match error {
                ServerError::NotAllowedError => _ = self.not_allowed.insert(id),
                _ => link.stuck = true,
            }
            link.answers.push_back(Answer::Error(CommandSendError {
                producer_id: 1,
                sequence_id: id,
                error: error as i32,
                message: "the model refuses".into(),
            }));
            return true;
        }
        let duplicate = self.dedup && self.stored_to.is_some_and(|to| id <= to);
        let (ledger_id, entry_id) =
            if duplicate { (u64::MAX, u64::MAX) } else { (self.ledger, self.entries.len() as u64) };
        link.answers.push_back(Answer::Receipt(CommandSendReceipt {
            producer_id: 1,
            sequence_id: sent.sequence_id,
            message_id: Some(MessageIdData { ledger_id, entry_id, ..MessageIdData::default() }),
            highest_sequence_id: Some(sent.highest.unwrap_or(0)),
        }));
        if !duplicate {
            self.stored_to = self.stored_to.max(Some(id));
            self.entries.push(open(&sent));
        }
        true
    }

    /// The message at a place; `batch_index` -1 for an entry that is no batch.
    pub(crate) fn message(&self, entry: u64, batch_index: i32) -> Stored {
        let messages = &self.entries[entry as usize];
        assert_eq!(batch_index < 0, messages.len() == 1, "a batch of one is stored as a plain message");
        let stored = &messages[batch_index.max(0) as usize];
        Stored { payload: stored.payload.clone(), key: stored.key.clone() }
    }

    /// True when a message with this payload is stored.
    pub(crate) fn holds(&self, payload: &[u8]) -> bool {
        self.entries.iter().flatten().any(|stored| stored.payload == payload)
    }
}

/// Reads an entry as a consumer would, and checks what a broker and a consumer rely on.
fn open(sent: &Sent) -> Vec<Stored> {
    let payload = frame::payload(&sent.entry).expect("an entry can be read");
    assert_eq!(payload.checksum, Checksum::Good);
    let metadata = MetadataView::read(payload.metadata).expect("metadata can be read");
    assert_eq!(metadata.sequence_id, sent.sequence_id);
    assert!(!metadata.producer_name.is_empty());
    let size = metadata.uncompressed_size as usize;
    let mut body = Vec::new();
    decompress(metadata.compression, payload.body, size, 1 << 20, &mut body).expect("a body can be opened");
    let Some(count) = metadata.batch_size else {
        assert_eq!((sent.messages, sent.highest), (1, None));
        return vec![Stored { payload: body, key: metadata.partition_key.map(str::to_owned) }];
    };
    assert_eq!(count as u32, sent.messages);
    assert_eq!(sent.highest, Some(sent.sequence_id + u64::from(sent.messages) - 1));
    assert_eq!(metadata.deliver_at_time, None, "delayed messages are not batched");
    let mut stored = Vec::new();
    for (index, message) in (0..).zip(Messages::new(&body, sent.messages)) {
        let (single, payload) = message.expect("a batch can be read");
        assert_eq!(single.sequence_id, Some(sent.sequence_id + index));
        stored.push(Stored { payload: payload.to_vec(), key: single.partition_key.map(str::to_owned) });
    }
    assert_eq!(stored.len(), sent.messages as usize);
    stored
}

/// The texts of a client's outbox: unmasked, unfragmented text frames.
pub(crate) fn texts(mut out: &[u8]) -> Vec<Value> {
    let mut texts = Vec::new();
    while let Some((head, rest)) = out.split_first_chunk::<2>() {
        assert_eq!(head[0], 0x81, "a final text frame");
        let (length, rest) = match head[1] {
            126 => {
                let (length, rest) = rest.split_first_chunk().expect("a whole frame");
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            length => (usize::from(length), rest),
        };
        let (text, rest) = rest.split_at(length);
        texts.push(serde_json::from_slice(text).expect("answers are JSON"));
        out = rest;
    }
    texts
}
