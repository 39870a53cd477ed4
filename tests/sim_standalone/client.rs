//! A native client in a simulated world: typed commands to and fro.

use crate::world::World;
use pulsegate::shard::ConnKey;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::frame;
use pulsegate::wire::pulsar::proto as p;
use std::collections::VecDeque;

/// What a client got.
#[derive(Debug)]
pub struct Got {
    pub command: Command,
    pub entry: Vec<u8>,
}

pub struct Client {
    pub at: (usize, ConnKey),
    bytes: Vec<u8>,
    got: VecDeque<Got>,
    requests: u64,
}

impl Client {
    /// Connects to a core and shakes hands.
    pub fn connect(world: &mut World, core: usize) -> Client {
        let at = world.connect(core);
        let mut client = Client { at, bytes: Vec::new(), got: VecDeque::new(), requests: 0 };
        let connect = p::CommandConnect {
            client_version: "sim".to_owned(),
            protocol_version: Some(20),
            ..Default::default()
        };
        client.send(world, Command::Connect(connect));
        let Command::Connected(_) = client.expect(world).command else { panic!("no CONNECTED") };
        client
    }

    pub fn request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    pub fn send(&self, world: &mut World, command: Command) {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &command);
        world.feed(self.at, &bytes);
    }

    /// Everything that came until the world was at rest.
    pub fn fetch(&mut self, world: &mut World) {
        world.settle();
        self.bytes.extend(world.fetch(self.at));
        while let Some(total) = frame::size(&self.bytes, usize::MAX).expect("a good frame")
            && total <= self.bytes.len()
        {
            let whole: Vec<u8> = self.bytes.drain(..total).collect();
            let frame = frame::read(&whole).expect("a good frame");
            let entry = frame.rest.to_vec();
            self.got.push_back(Got { command: frame.command, entry });
        }
    }

    /// The next thing, if there is any.
    pub fn next(&mut self, world: &mut World) -> Option<Got> {
        loop {
            if self.got.is_empty() {
                self.fetch(world);
            }
            let got = self.got.pop_front()?;
            if !matches!(got.command, Command::Ping(_)) {
                return Some(got);
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self, world: &mut World) -> Got {
        self.next(world).expect("something must come")
    }

    /// Asks for partitions; `Err`: the code.
    pub fn partitions(&mut self, world: &mut World, topic: &str, create: Option<bool>) -> Result<u32, i32> {
        let request_id = self.request();
        let ask = p::CommandPartitionedTopicMetadata {
            topic: topic.to_owned(),
            request_id,
            metadata_auto_creation_enabled: create,
            ..Default::default()
        };
        self.send(world, Command::PartitionedMetadata(ask));
        let got = self.expect(world).command;
        let Command::PartitionedMetadataResponse(answer) = got else { panic!("{got:?}") };
        assert_eq!(answer.request_id, request_id);
        answer.error.map_or(Ok(answer.partitions.unwrap_or(0)), Err)
    }

    /// Makes a producer; `Err`: the code.
    pub fn producer(
        &mut self,
        world: &mut World,
        id: u64,
        topic: &str,
        name: Option<&str>,
    ) -> Result<String, i32> {
        let request_id = self.request();
        let ask = p::CommandProducer {
            topic: topic.to_owned(),
            producer_id: id,
            request_id,
            producer_name: name.map(str::to_owned),
            ..Default::default()
        };
        self.send(world, Command::Producer(ask));
        match self.expect(world).command {
            Command::ProducerSuccess(success) => {
                assert_eq!(success.request_id, request_id);
                Ok(success.producer_name)
            }
            Command::Error(error) => Err(error.error),
            other => panic!("{other:?}"),
        }
    }

    /// Subscribes with permits; `Err`: the code.
    pub fn subscribe(
        &mut self,
        world: &mut World,
        id: u64,
        topic: &str,
        kind: p::SubscriptionType,
        permits: u32,
    ) -> Result<(), i32> {
        let request_id = self.request();
        let ask = p::CommandSubscribe {
            topic: topic.to_owned(),
            subscription: "sub".to_owned(),
            sub_type: kind as i32,
            consumer_id: id,
            request_id,
            consumer_name: Some(format!("c{id}")),
            initial_position: Some(1),
            ..Default::default()
        };
        self.send(world, Command::Subscribe(ask));
        match self.expect(world).command {
            Command::Success(success) => assert_eq!(success.request_id, request_id),
            Command::Error(error) => return Err(error.error),
            other => panic!("{other:?}"),
        }
        self.flow(world, id, permits);
        Ok(())
    }

    pub fn flow(&mut self, world: &mut World, id: u64, permits: u32) {
        self.send(world, Command::Flow(p::CommandFlow { consumer_id: id, message_permits: permits }));
    }

    /// Sends one message; its receipt is to be fetched.
    pub fn publish(&mut self, world: &mut World, id: u64, sequence: u64, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::put_send(&mut bytes, id, sequence, None, 1, &entry_of(sequence, payload));
        world.feed(self.at, &bytes);
    }

    pub fn ack(&mut self, world: &mut World, id: u64, message: &p::MessageIdData) {
        let ack = p::CommandAck { consumer_id: id, message_id: vec![message.clone()], ..Default::default() };
        self.send(world, Command::Ack(ack));
    }
}

/// An entry as a client makes it.
pub fn entry_of(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let metadata = EntryMetadata {
        producer_name: "p",
        sequence_id: sequence,
        publish_time: 1_700_000_000_000,
        ..Default::default()
    };
    let mut entry = Vec::new();
    let body = |out: &mut Vec<u8>| {
        out.extend_from_slice(payload);
        Ok::<(), ()>(())
    };
    entry::put(&mut entry, &metadata, body).expect("a payload can be written");
    entry
}
