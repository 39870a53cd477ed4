//! The broker side of the consumer simulation: what one leg stores, what is acknowledged, and what may be sent.

use prost::Message as _;
use pulsegate::base::prng::Prng;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::compression::compress;
use pulsegate::wire::pulsar::proto::{
    CommandMessage, CompressionType, MessageIdData, MessageMetadata, SingleMessageMetadata,
};
use std::collections::{BTreeSet, VecDeque};

/// One entry of a leg.
pub(crate) struct Entry {
    /// From the checksum's magic on.
    pub(crate) bytes: Vec<u8>,
    /// Bodies of its messages; none when it is a chunk that does not complete a message.
    pub(crate) bodies: Vec<String>,
    pub(crate) is_batch: bool,
    /// Earlier chunks of the message.
    pub(crate) chunks: Vec<usize>,
    pub(crate) redeliveries: u32,
    /// Messages that are not acknowledged.
    pub(crate) left: BTreeSet<usize>,
    /// Those that were not when the entry was sent last.
    pub(crate) sent: BTreeSet<usize>,
    /// Sent to the present consumer and not acknowledged.
    pub(crate) pending: bool,
}

impl Entry {
    fn cost(&self) -> i64 {
        if self.is_batch { self.left.len() as i64 } else { 1 }
    }
}

/// What the broker keeps of one leg, and the two directions of its link.
pub(crate) struct BrokerLeg {
    pub(crate) ledger: u64,
    shared: bool,
    /// The broker keeps acknowledged indexes of batches.
    index_acks: bool,
    pub(crate) entries: Vec<Entry>,
    pub(crate) attached: bool,
    pub(crate) permits: i64,
    epoch: u64,
    /// Exclusive: the next entry to read.
    cursor: usize,
    pub(crate) to_session: VecDeque<(CommandMessage, usize)>,
    pub(crate) to_broker: VecDeque<Command>,
}

impl BrokerLeg {
    pub(crate) fn new(ledger: u64, shared: bool, index_acks: bool) -> Self {
        BrokerLeg {
            ledger,
            shared,
            index_acks,
            entries: Vec::new(),
            attached: false,
            permits: 0,
            epoch: 0,
            cursor: 0,
            to_session: VecDeque::new(),
            to_broker: VecDeque::new(),
        }
    }

    /// Stores a message, a batch or a chunked message.
    pub(crate) fn publish(&mut self, prng: &mut Prng) {
        let first = self.entries.len();
        let name = |index: usize| format!("{}/{first}/{index}", self.ledger);
        match prng.below(10) {
            0..5 => self.store(vec![name(0)], false, vec![], entry(prng, metadata(), name(0).as_bytes())),
            5..9 => {
                let size = [1, 2, 5, 70][prng.below(4) as usize];
                let bodies: Vec<String> = (0..size).map(name).collect();
                let metadata = MessageMetadata { num_messages_in_batch: Some(size as i32), ..metadata() };
                let bytes = entry(prng, metadata, &batch(&bodies));
                self.store(bodies, true, vec![], bytes);
            }
            _ => {
                let (body, total) = (name(0), 2 + prng.below(2) as usize);
                for number in 0..total {
                    let cut = |number: usize| body.len() * number / total;
                    let metadata = MessageMetadata {
                        uuid: Some(body.clone()),
                        chunk_id: Some(number as i32),
                        num_chunks_from_msg: Some(total as i32),
                        total_chunk_msg_size: Some(body.len() as i32),
                        ..metadata()
                    };
                    let bytes = seal(&metadata, &body.as_bytes()[cut(number)..cut(number + 1)]);
                    let last = number + 1 == total;
                    let bodies = if last { vec![body.clone()] } else { vec![] };
                    self.store(bodies, false, (first..first + number).filter(|_| last).collect(), bytes);
                }
            }
        }
    }

    fn store(&mut self, bodies: Vec<String>, is_batch: bool, chunks: Vec<usize>, bytes: Vec<u8>) {
        let left = (0..bodies.len().max(1)).collect();
        self.entries.push(Entry {
            bytes,
            bodies,
            is_batch,
            chunks,
            redeliveries: 0,
            sent: BTreeSet::new(),
            left,
            pending: false,
        });
    }

    /// SUBSCRIBE: the consumer starts without permits, and gets what is not acknowledged.
    pub(crate) fn attach(&mut self, epoch: Option<u64>) {
        self.attached = true;
        (self.permits, self.cursor) = (0, 0);
        assert_eq!(epoch.is_none(), self.shared, "epochs are for subscriptions that rewind");
        self.epoch = epoch.unwrap_or(0);
        self.entries.iter_mut().for_each(|entry| entry.pending = false);
    }

    /// The consumer is gone, and what was on its way.
    pub(crate) fn detach(&mut self) {
        self.attached = false;
        self.to_session.clear();
        self.to_broker.clear();
    }

    /// Sends one entry if there are permits and anything to send.
    pub(crate) fn dispatch(&mut self) -> bool {
        if !self.attached || self.permits <= 0 {
            return false;
        }
        let next = if self.shared {
            (0..self.entries.len())
                .find(|at| !self.entries[*at].pending && !self.entries[*at].left.is_empty())
        } else {
            (self.cursor..self.entries.len()).find(|at| !self.entries[*at].left.is_empty())
        };
        let Some(at) = next else { return false };
        self.cursor = at + 1;
        let (ledger, shared, epoch) = (self.ledger, self.shared, self.epoch);
        let entry = &mut self.entries[at];
        entry.pending = true;
        entry.sent.clone_from(&entry.left);
        self.permits -= entry.cost();
        let mut ack_set = Vec::new();
        if entry.is_batch && entry.left.len() < entry.bodies.len() {
            ack_set.resize(entry.bodies.len().div_ceil(64), 0i64);
            entry.left.iter().for_each(|index| ack_set[index / 64] |= 1 << (index % 64));
        }
        let message_id = MessageIdData { ledger_id: ledger, entry_id: at as u64, ..MessageIdData::default() };
        let message = CommandMessage {
            message_id,
            redelivery_count: (shared && entry.redeliveries > 0).then_some(entry.redeliveries),
            ack_set,
            consumer_epoch: (!shared).then_some(epoch),
            ..CommandMessage::default()
        };
        self.to_session.push_back((message, at));
        true
    }

    /// Takes one command. Returns the entries that are acknowledged by it now.
    pub(crate) fn take(&mut self, command: &Command) -> Vec<(usize, Vec<usize>)> {
        let mut done = Vec::new();
        match command {
            Command::Flow(flow) => self.permits += i64::from(flow.message_permits),
            Command::Ack(ack) => {
                assert_eq!((ack.ack_type, ack.validation_error), (0, None), "all entries are sound");
                done.extend(ack.message_id.iter().filter_map(|id| self.acknowledge(id)));
            }
            Command::Redeliver(again) if again.message_ids.is_empty() => {
                assert!(!self.shared, "a shared subscription is asked for entries");
                self.epoch = again.consumer_epoch.expect("an epoch");
                self.cursor = 0;
            }
            Command::Redeliver(again) => {
                for id in again.message_ids.iter().filter(|id| id.ledger_id == self.ledger) {
                    let entry = &mut self.entries[id.entry_id as usize];
                    if std::mem::take(&mut entry.pending) {
                        entry.redeliveries += 1;
                    }
                }
            }
            other => panic!("{other:?} was not expected"),
        }
        done
    }

    fn acknowledge(&mut self, id: &MessageIdData) -> Option<(usize, Vec<usize>)> {
        let at = usize::try_from(id.entry_id).ok().filter(|at| *at < self.entries.len())?;
        assert_eq!(id.ledger_id, self.ledger, "acks go to their own topic");
        let entry = &mut self.entries[at];
        let stays =
            |index: &usize| id.ack_set.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1);
        if !id.ack_set.is_empty() && !self.index_acks {
            return None;
        }
        let done = entry.left.iter().copied().filter(|index| !stays(index)).collect();
        entry.left.retain(stays);
        if entry.left.is_empty() {
            entry.pending = false;
        }
        Some((at, done))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.entries.iter().all(|entry| entry.left.is_empty())
    }
}

fn metadata() -> MessageMetadata {
    let publish_time = 1_700_000_000_000;
    MessageMetadata { producer_name: "p".into(), publish_time, ..MessageMetadata::default() }
}

fn batch(bodies: &[String]) -> Vec<u8> {
    let mut batch = Vec::new();
    for body in bodies {
        let single =
            SingleMessageMetadata { payload_size: body.len() as i32, ..SingleMessageMetadata::default() };
        batch.extend_from_slice(&(single.encoded_len() as u32).to_be_bytes());
        single.encode(&mut batch).expect("a Vec grows");
        batch.extend_from_slice(body.as_bytes());
    }
    batch
}

/// An entry, perhaps compressed.
fn entry(prng: &mut Prng, metadata: MessageMetadata, body: &[u8]) -> Vec<u8> {
    let codec = CompressionType::from_wire(prng.below(8) as i32).unwrap_or(CompressionType::None);
    if codec == CompressionType::None {
        return seal(&metadata, body);
    }
    let mut packed = Vec::new();
    compress(codec, body, &mut packed);
    let uncompressed_size = Some(body.len() as u32);
    seal(&MessageMetadata { compression: Some(codec as i32), uncompressed_size, ..metadata }, &packed)
}

fn seal(metadata: &MessageMetadata, body: &[u8]) -> Vec<u8> {
    let metadata = metadata.encode_to_vec();
    let covered = [&(metadata.len() as u32).to_be_bytes()[..], &metadata, body].concat();
    [&[0x0e, 0x01], &crc32c::crc32c(&covered).to_be_bytes()[..], &covered].concat()
}

/// Texts of unmasked frames, as a server writes them.
pub(crate) fn texts(mut rest: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<2>() {
        let (length, after) = match head[1] {
            126 => (usize::from(u16::from_be_bytes([after[0], after[1]])), &after[2..]),
            length => (usize::from(length), after),
        };
        texts.push(String::from_utf8(after[..length].to_vec()).expect("texts are UTF-8"));
        rest = &after[length..];
    }
    texts
}
