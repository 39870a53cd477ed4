//! Consumers, their permits, and the messages they get.

use std::collections::HashMap;
use std::time::Duration;

use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::{Command, frame, proto};

use crate::kit::native::{self, PADDED, SIZES};
use crate::kit::net::Net;

/// Messages to one consumer before the next has its turn: what a broker reads from a ledger at a time
/// (`dispatcherMaxReadBatchSize`).
const BATCH: u64 = 100;
/// Bytes on their way to one connection before no more are made for it.
const UNSENT_MAX: usize = 256 * 1024;
/// Messages that are due but not made yet are forgotten beyond this: a consumer that stopped gets no flood.
const BEHIND_MAX: u64 = 100_000;

/// Where messages to consumers come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Made, as many as permits allow.
    Flat,
    /// Made, so many a second.
    Paced { rate: f64 },
    /// Sent by producers of the same topic.
    Producers,
}

#[derive(Debug)]
struct Consumer {
    link: usize,
    id: u64,
    topic: usize,
    permits: u64,
    entry: u64,
}

/// A MESSAGE frame whose consumer and entry id are patched in place.
struct Template {
    frame: Vec<u8>,
    consumer_at: usize,
    entry_at: usize,
}

/// All consumers.
pub(crate) struct Consumers {
    source: Source,
    table: Vec<Consumer>,
    of: HashMap<(usize, u64), usize>,
    template: Template,
    next: usize,
    made: u64,
    pub(crate) lost: u64,
}

/// A command with padded numbers; the places of the consumer and the entry id follow from the form of the message.
fn head(ledger: u64) -> (Vec<u8>, usize, usize) {
    let mut ledger_id = Vec::new();
    native::put_varint(&mut ledger_id, ledger);
    let id_size = 1 + ledger_id.len() + 1 + PADDED;
    let size = 1 + PADDED + 2 + id_size;
    let mut out = vec![0; SIZES];
    out.extend_from_slice(&[0x08, native::MESSAGE, native::MESSAGE << 3 | 2, size as u8, 0x08]);
    let consumer_at = out.len();
    out.extend_from_slice(&[0; PADDED]);
    out.extend_from_slice(&[0x12, id_size as u8, 0x08]);
    out.extend_from_slice(&ledger_id);
    out.push(0x10);
    let entry_at = out.len();
    out.extend_from_slice(&[0; PADDED]);
    native::close_command(&mut out);
    (out, consumer_at, entry_at)
}

impl Template {
    /// The entry is put behind; the total size is mended.
    fn new(ledger: u64, entry: &[u8]) -> Template {
        let (mut frame, consumer_at, entry_at) = head(ledger);
        frame.extend_from_slice(entry);
        let total = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&total.to_be_bytes());
        Template { frame, consumer_at, entry_at }
    }

    fn write(&mut self, consumer: u64, entry: u64, out: &mut Vec<u8>) {
        native::put_padded(&mut self.frame[self.consumer_at..], consumer);
        native::put_padded(&mut self.frame[self.entry_at..], entry);
        out.extend_from_slice(&self.frame);
    }
}

/// An entry as a Java producer without batching stores it, of random bytes.
fn made_entry(size: usize) -> Vec<u8> {
    let mut prng = pulsegate::base::prng::Prng::new(1);
    let body: Vec<u8> = (0..size).map(|_| prng.next() as u8).collect();
    let metadata = EntryMetadata {
        producer_name: "null-0-0",
        publish_time: 1_700_000_000_000,
        uncompressed_size: size as u32,
        ..Default::default()
    };
    let mut out = Vec::new();
    let Ok(()) = entry::put(&mut out, &metadata, |out| {
        out.extend_from_slice(&body);
        Ok::<(), std::convert::Infallible>(())
    });
    out
}

impl Consumers {
    pub(crate) fn new(source: Source, size: usize) -> Consumers {
        let template = Template::new(1, &made_entry(size));
        Consumers { source, table: Vec::new(), of: HashMap::new(), template, next: 0, made: 0, lost: 0 }
    }

    pub(crate) fn add(&mut self, link: usize, id: u64, topic: usize) {
        self.of.insert((link, id), self.table.len());
        self.table.push(Consumer { link, id, topic, permits: 0, entry: 0 });
    }

    pub(crate) fn flow(&mut self, link: usize, id: u64, permits: u64) {
        if let Some(&at) = self.of.get(&(link, id)) {
            self.table[at].permits += permits;
        }
    }

    pub(crate) fn remove(&mut self, gone: impl Fn(usize, u64) -> bool) {
        self.table.retain(|consumer| !gone(consumer.link, consumer.id));
        let places = self.table.iter().enumerate();
        self.of = places.map(|(at, consumer)| ((consumer.link, consumer.id), at)).collect();
    }

    /// Makes what is due, a batch for each consumer in turn. Returns when to call again at the latest.
    pub(crate) fn deliver(&mut self, net: &mut Net, now: Duration) -> Duration {
        match self.source {
            Source::Producers => Duration::MAX,
            Source::Flat => self.deliver_flat(net),
            Source::Paced { rate } => self.deliver_paced(net, now, rate),
        }
    }

    fn deliver_flat(&mut self, net: &mut Net) -> Duration {
        let mut made = 0;
        for Consumer { link, id, permits, entry, .. } in &mut self.table {
            let count = if net.unsent(*link) < UNSENT_MAX { (*permits).min(BATCH) } else { 0 };
            if count > 0 {
                let out = net.out(*link);
                for number in *entry..*entry + count {
                    self.template.write(*id, number, out);
                }
                (*entry, *permits) = (*entry + count, *permits - count);
                made += count;
            }
        }
        self.made += made;
        // Bytes on their way call again when they are gone, permits when they come.
        if made > 0 { Duration::ZERO } else { Duration::MAX }
    }

    fn deliver_paced(&mut self, net: &mut Net, now: Duration, rate: f64) -> Duration {
        if rate <= 0.0 {
            return Duration::MAX;
        }
        let due = (now.as_secs_f64() * rate) as u64;
        self.made = self.made.max(due.saturating_sub(BEHIND_MAX));
        let mut refused = 0;
        while self.made < due && refused < self.table.len() {
            self.next = (self.next + 1) % self.table.len();
            let Consumer { link, id, permits, entry, .. } = &mut self.table[self.next];
            if *permits == 0 || net.unsent(*link) >= UNSENT_MAX {
                refused += 1;
                continue;
            }
            self.template.write(*id, *entry, net.out(*link));
            (*entry, *permits, refused) = (*entry + 1, *permits - 1, 0);
            self.made += 1;
        }
        if self.table.is_empty() {
            self.made = due;
        }
        Duration::from_secs_f64(1.0 / rate).max(Duration::from_micros(20))
    }

    /// A producer sent this entry to the topic.
    pub(crate) fn publish(&mut self, net: &mut Net, topic: usize, entry: &[u8]) {
        if !matches!(self.source, Source::Producers) {
            return;
        }
        for Consumer { link, id, permits, entry: number, .. } in
            self.table.iter_mut().filter(|consumer| consumer.topic == topic)
        {
            if *permits == 0 {
                self.lost += 1;
                continue;
            }
            let message = proto::CommandMessage {
                consumer_id: *id,
                message_id: proto::MessageIdData {
                    ledger_id: topic as u64 + 1,
                    entry_id: *number,
                    ..Default::default()
                },
                ..Default::default()
            };
            frame::put_with_entry(net.out(*link), &Command::Message(message), entry);
            (*number, *permits) = (*number + 1, *permits - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_message_is_one_for_the_library() {
        let mut template = Template::new(300, &made_entry(100));
        let mut out = Vec::new();
        template.write(70_000, 5_000_000, &mut out);
        let read = frame::read(&out).expect("a frame");
        let Command::Message(message) = read.command else { panic!("{:?}", read.command) };
        assert_eq!((message.consumer_id, message.message_id.ledger_id), (70_000, 300));
        assert_eq!(message.message_id.entry_id, 5_000_000);
        let payload = frame::payload(read.rest).expect("an entry");
        assert_eq!((payload.checksum, payload.body.len()), (frame::Checksum::Good, 100));
        assert_eq!(native::delivery(&out).expect("its place").0, 70_000);
        assert_eq!(native::payload(native::entry(&out).expect("it has one")), Some(payload.body));
    }
}
