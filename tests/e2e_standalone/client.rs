//! A small native client over a socket: typed commands to and fro.

use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::frame;
use pulsegate::wire::pulsar::proto as p;
use pulsegate::wire::pulsar::proto::SubscriptionType;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest wait for anything that must come.
pub const WAIT: Duration = Duration::from_secs(20);

/// What a client got.
#[derive(Debug)]
pub struct Got {
    pub command: Command,
    pub entry: Vec<u8>,
}

impl Got {
    /// The payload behind a MESSAGE.
    pub fn payload(&self) -> Vec<u8> {
        frame::payload(&self.entry).expect("as it was sent").body.to_vec()
    }
}

pub struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
    got: VecDeque<Got>,
    requests: u64,
}

impl Client {
    pub fn connect(broker: SocketAddr) -> Client {
        let mut client = Client::silent(broker);
        let connect = p::CommandConnect {
            client_version: "Pulsar-Java-e2e".to_owned(),
            protocol_version: Some(20),
            ..Default::default()
        };
        client.send(&Command::Connect(connect));
        let got = client.expect();
        assert!(matches!(got.command, Command::Connected(_)), "{got:?}");
        client
    }

    /// Connected by TCP, without a word.
    pub fn silent(broker: SocketAddr) -> Client {
        let stream = TcpStream::connect(broker).expect("the broker listens");
        stream.set_read_timeout(Some(WAIT)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Client { stream, bytes: Vec::new(), got: VecDeque::new(), requests: 0 }
    }

    /// The socket, for who must end the connection while it is read from.
    pub fn handle(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket")
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Writes `bytes` again and again without ever reading, until the broker takes no more for a while or `most` bytes are gone.
    /// Returns how many went.
    pub fn write_until_stuck(&mut self, bytes: &[u8], most: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket");
        let mut sent = 0;
        while sent < most {
            match self.stream.write(&bytes[sent % bytes.len()..]) {
                Ok(count) => sent += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("it was closed: {error}"),
            }
        }
        sent
    }

    pub fn send(&mut self, command: &Command) {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, command);
        self.write(&bytes);
    }

    /// The next thing; `None`: the broker closed the connection.
    pub fn next(&mut self) -> Option<Got> {
        loop {
            while let Some(total) = frame::size(&self.bytes, usize::MAX).expect("a good frame")
                && total <= self.bytes.len()
            {
                let whole: Vec<u8> = self.bytes.drain(..total).collect();
                let frame = frame::read(&whole).expect("a good frame");
                let entry = frame.rest.to_vec();
                self.got.push_back(Got { command: frame.command, entry });
            }
            match self.got.pop_front() {
                Some(Got { command: Command::Ping(_), .. }) => {
                    let mut pong = Vec::new();
                    frame::put(&mut pong, &Command::Pong(p::CommandPong {}));
                    // A test that ends a connection while another thread reads from it may do so just now.
                    self.stream.write_all(&pong).ok()?;
                }
                Some(got) => return Some(got),
                None => {
                    let mut buffer = [0; 64 * 1024];
                    match self.stream.read(&mut buffer) {
                        Ok(0) => return None,
                        Ok(count) => self.bytes.extend_from_slice(&buffer[..count]),
                        Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                        Err(error) => panic!("nothing came: {error}"),
                    }
                }
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self) -> Got {
        self.next().expect("the connection lives")
    }

    /// Asserts that nothing is on its way: what PING brings comes behind it.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.send(&Command::Ping(p::CommandPing {}));
        let got = self.expect();
        assert!(matches!(got.command, Command::Pong(_)), "{got:?}");
    }

    pub fn request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    pub fn try_producer(
        &mut self,
        ask: p::CommandProducer,
    ) -> Result<p::CommandProducerSuccess, p::CommandError> {
        let request_id = self.request();
        self.send(&Command::Producer(p::CommandProducer { request_id, ..ask }));
        match self.expect().command {
            Command::ProducerSuccess(success) => {
                assert_eq!(success.request_id, request_id);
                Ok(success)
            }
            Command::Error(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    pub fn producer(&mut self, id: u64, topic: &str) -> p::CommandProducerSuccess {
        let ask = p::CommandProducer { topic: topic.to_owned(), producer_id: id, ..Default::default() };
        let until = Instant::now() + WAIT;
        loop {
            match self.try_producer(ask.clone()) {
                Ok(success) => return success,
                // As clients do: a broker that has just started may not be ready.
                Err(error) if error.error == p::ServerError::ServiceNotReady as i32 => {
                    assert!(Instant::now() < until, "{error:?}");
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// Sends one message without waiting for its receipt.
    pub fn publish(&mut self, id: u64, sequence: u64, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::put_send(&mut bytes, id, sequence, None, 1, &entry_of("p", sequence, payload));
        self.write(&bytes);
    }

    #[track_caller]
    pub fn receipt(&mut self) -> p::CommandSendReceipt {
        match self.expect().command {
            Command::SendReceipt(receipt) => receipt,
            other => panic!("{other:?}"),
        }
    }

    /// Sends one message and waits for its receipt.
    pub fn publish_one(&mut self, id: u64, sequence: u64, payload: &[u8]) -> p::MessageIdData {
        self.publish(id, sequence, payload);
        let receipt = self.receipt();
        assert_eq!((receipt.producer_id, receipt.sequence_id), (id, sequence));
        receipt.message_id.expect("receipts name the message")
    }

    pub fn try_subscribe(&mut self, ask: p::CommandSubscribe, permits: u32) -> Result<(), p::CommandError> {
        let request_id = self.request();
        let id = ask.consumer_id;
        self.send(&Command::Subscribe(p::CommandSubscribe { request_id, ..ask }));
        loop {
            match self.expect().command {
                Command::Success(success) => {
                    assert_eq!(success.request_id, request_id);
                    break;
                }
                Command::ActiveConsumerChange(_) => {}
                Command::Error(error) => return Err(error),
                other => panic!("{other:?}"),
            }
        }
        self.flow(id, permits);
        Ok(())
    }

    pub fn subscribe(&mut self, id: u64, topic: &str, kind: SubscriptionType, permits: u32) {
        self.try_subscribe(subscription(id, topic, kind), permits).expect("a consumer");
    }

    pub fn flow(&mut self, id: u64, permits: u32) {
        self.send(&Command::Flow(p::CommandFlow { consumer_id: id, message_permits: permits }));
    }

    /// The next message and its payload; notices of active consumers are skipped.
    #[track_caller]
    pub fn message(&mut self) -> (p::CommandMessage, Vec<u8>) {
        loop {
            let got = self.expect();
            let payload = if got.entry.is_empty() { Vec::new() } else { got.payload() };
            match got.command {
                Command::Message(message) => return (message, payload),
                Command::ActiveConsumerChange(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn ack(&mut self, id: u64, message: &p::MessageIdData) {
        let ack = p::CommandAck { consumer_id: id, message_id: vec![message.clone()], ..Default::default() };
        self.send(&Command::Ack(ack));
    }

    /// Acknowledges and waits until the broker has heard it.
    pub fn ack_heard(&mut self, id: u64, message: &p::MessageIdData) {
        let request_id = Some(self.request());
        let message_id = vec![message.clone()];
        let ack = p::CommandAck { consumer_id: id, message_id, request_id, ..Default::default() };
        self.send(&Command::Ack(ack));
        let mut before = VecDeque::new();
        loop {
            let got = self.expect();
            match &got.command {
                Command::AckResponse(answer) => {
                    assert_eq!((answer.request_id, answer.error), (request_id, None));
                    break;
                }
                _ => before.push_back(got),
            }
        }
        before.append(&mut self.got);
        self.got = before;
    }
}

/// A SUBSCRIBE from the oldest message on.
pub fn subscription(id: u64, topic: &str, kind: SubscriptionType) -> p::CommandSubscribe {
    p::CommandSubscribe {
        topic: topic.to_owned(),
        subscription: "sub".to_owned(),
        sub_type: kind as i32,
        consumer_id: id,
        consumer_name: Some(format!("c{id}")),
        initial_position: Some(p::InitialPosition::Earliest as i32),
        ..Default::default()
    }
}

/// An entry as a client makes it.
pub fn entry_of(producer: &str, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let metadata = EntryMetadata {
        producer_name: producer,
        sequence_id: sequence,
        publish_time: 1_700_000_000_000 + sequence,
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
