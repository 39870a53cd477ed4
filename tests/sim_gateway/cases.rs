//! Cases with a name, of what the seeds do not reach.

use crate::world::config;
use pulsegate::config::gateway::{GatewayConfig, ServiceUrl};
use pulsegate::service::gateway::Gateway;
use pulsegate::service::gateway::local::{LocalBroker, LocalEvent, LocalRequest};
use pulsegate::shard::{ConnKey, Door, Handler, Links, Mail, ShardId};
use pulsegate::wire::pulsar::{Command, proto as p};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Core {
    pub(crate) io: Links,
    pub(crate) gateway: Gateway,
}

impl Core {
    pub(crate) fn start(service: ServiceUrl) -> Core {
        let mut io = Links::simulated(ShardId(0), 1);
        let mut gateway = Gateway::new(Arc::new(config_of(service)), ShardId(0), 1, 1);
        gateway.on_start(&mut io);
        Core { io, gateway }
    }

    /// Core `shard` of two, in front of the embedded broker.
    fn embedded(shard: u16) -> Core {
        let mut io = Links::simulated(ShardId(shard), 2);
        let broker = LocalBroker { stores: 8, message_size_max: 1 << 20 };
        let mut gateway = Gateway::local(Arc::new(config()), 2, 1, broker);
        gateway.on_start(&mut io);
        Core { io, gateway }
    }

    /// What the embedded broker is asked next.
    fn asked(&mut self) -> Option<Command> {
        match self.gateway.poll_local()? {
            LocalRequest::Command { command, .. } => Some(command),
            LocalRequest::Disconnected => None,
        }
    }

    /// The embedded broker answers every question, with so many partitions; producers on topics that are `busy` are refused. The
    /// topics on which producers were asked for.
    fn answer_all(&mut self, partitions: u32, busy: &[&str]) -> Vec<String> {
        let mut topics = Vec::new();
        loop {
            let Some(command) = self.asked() else { return topics };
            let answer = match command {
                Command::PartitionedMetadata(ask) => {
                    Command::PartitionedMetadataResponse(p::CommandPartitionedTopicMetadataResponse {
                        partitions: Some(partitions),
                        request_id: ask.request_id,
                        response: Some(0),
                        ..Default::default()
                    })
                }
                Command::Lookup(ask) => Command::LookupResponse(p::CommandLookupTopicResponse {
                    broker_service_url: None, // its own address is no matter to it
                    response: Some(p::LookupTopicResponseLookupType::Connect as i32),
                    request_id: ask.request_id,
                    ..Default::default()
                }),
                Command::Producer(ask) => {
                    topics.push(ask.topic.clone());
                    match busy.contains(&ask.topic.as_str()) {
                        true => Command::Error(p::CommandError {
                            request_id: ask.request_id,
                            error: p::ServerError::ProducerBusy as i32,
                            message: "busy".to_owned(),
                        }),
                        false => Command::ProducerSuccess(p::CommandProducerSuccess {
                            request_id: ask.request_id,
                            producer_name: "p".to_owned(),
                            last_sequence_id: Some(-1),
                            ..Default::default()
                        }),
                    }
                }
                other => panic!("{other:?}"),
            };
            self.gateway.on_local(&mut self.io, LocalEvent::Command(answer));
            self.turn();
        }
    }

    pub(crate) fn turn(&mut self) {
        self.io.simulate_turn(&mut self.gateway);
    }

    pub(crate) fn later(&mut self, by: Duration) {
        self.io.simulate_time(by);
        self.turn();
    }

    pub(crate) fn client(&mut self, request: &str) -> ConnKey {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1000));
        let key = self.io.simulate_accept(&mut self.gateway, peer);
        self.io.simulate_bytes(&mut self.gateway, key, request.as_bytes());
        self.turn();
        self.turn();
        key
    }

    pub(crate) fn said(&mut self, key: ConnKey) -> String {
        String::from_utf8(self.io.take_outbox(&mut self.gateway, key)).expect("text")
    }
}

fn config_of(service: ServiceUrl) -> GatewayConfig {
    GatewayConfig { service, ..config() }
}

pub(crate) fn upgrade(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

const PRODUCER: &str = "/ws/v2/producer/persistent/public/default/t";

#[test]
fn an_http_lookup_that_stays_silent_is_given_up_and_tried_again() {
    let hosts = vec![("10.0.0.1".to_owned(), 80), ("10.0.0.2".to_owned(), 80)];
    let mut core = Core::start(ServiceUrl::Http(hosts));
    let client = core.client(&upgrade(PRODUCER, ""));
    let (first, silent) = core.io.pending_connects()[0];
    core.io.simulate_connected(&mut core.gateway, first, Ok(()));
    core.turn();
    assert!(core.said(first).starts_with("GET /lookup/v2/topic/"), "the lookup is asked");
    core.later(Duration::from_secs(31));
    core.turn();
    assert!(!core.io.is_open(first), "the silent server is left");
    let said = core.said(client);
    assert!(said.starts_with("HTTP/1.1 504"), "the client is told: {said}");
    core.client(&upgrade(PRODUCER, ""));
    core.later(Duration::from_secs(1));
    core.turn();
    let (_, next) = core.io.pending_connects()[0];
    assert_ne!(next, silent, "the next host is asked");
}

#[test]
fn ready_behind_an_http_url_means_that_somebody_answers_there() {
    let mut core = Core::start(ServiceUrl::Http(vec![("10.0.0.1".to_owned(), 80)]));
    let ready = |core: &mut Core| {
        let client = core.client("GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        core.said(client).starts_with("HTTP/1.1 200")
    };
    assert!(!ready(&mut core), "nobody has answered yet");
    let answer = |core: &mut Core, text: &str| {
        let (key, _) = core.io.pending_connects()[0];
        core.io.simulate_connected(&mut core.gateway, key, Ok(()));
        core.turn();
        assert!(core.said(key).starts_with("GET /status.html HTTP/1.1\r\n"));
        core.io.simulate_bytes(&mut core.gateway, key, text.as_bytes());
        core.turn();
    };
    answer(&mut core, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert!(ready(&mut core) && core.io.pending_connects().is_empty());
    core.later(Duration::from_secs(31));
    core.turn();
    answer(&mut core, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    assert!(!ready(&mut core), "a proxy without brokers");
    core.later(Duration::from_secs(1));
    core.turn();
    let (key, _) = core.io.pending_connects()[0];
    core.io.simulate_connected(&mut core.gateway, key, Err(111));
    core.turn();
    assert!(!ready(&mut core), "nobody there");
    core.later(Duration::from_secs(1));
    core.turn();
    let (probe, _) = core.io.pending_connects()[0];
    core.client(&upgrade(PRODUCER, ""));
    assert!(!core.io.is_open(probe), "a question goes before");
    let (key, _) = core.io.pending_connects()[0];
    core.io.simulate_connected(&mut core.gateway, key, Ok(()));
    core.turn();
    assert!(core.said(key).starts_with("GET /lookup/v2/topic/persistent/public/default/t HTTP/1.1\r\n"));
}

#[test]
fn the_body_of_a_refused_upgrade_is_no_request() {
    let mut core = Core::start(ServiceUrl::Binary(vec![("10.0.0.1".to_owned(), 6650)]));
    let bad = format!("{PRODUCER}?sendTimeoutMillis=x");
    let client = core.client(&upgrade(&bad, "Content-Length: 5\r\n"));
    assert!(core.said(client).starts_with("HTTP/1.1 400"));
    core.io.simulate_bytes(&mut core.gateway, client, b"helloGET /status.html HTTP/1.1\r\nHost: h\r\n\r\n");
    core.turn();
    let said = core.said(client);
    assert!(said.starts_with("HTTP/1.1 ") && !said.starts_with("HTTP/1.1 400"), "{said}");
}

#[test]
fn a_client_goes_to_the_core_of_its_topic_before_it_is_answered() {
    let mut left = [0, 0];
    for topic in ["t", "u", "v", "w", "x"] {
        let v1 = "persistent/public/c/default";
        let paths = [
            format!("/ws/v2/producer/persistent/public/default/{topic}"),
            format!("/ws/v2/consumer/persistent/public/default/{topic}/s"),
            format!("/ws/v2/reader/persistent/public/default/{topic}"),
            format!("/ws/v3/consumer/s?topics={topic},other-1,other-2"),
            format!("/ws/producer/{v1}/{topic}"),
        ];
        for path in paths {
            left[usize::from(goes_to_its_core(&path, topic))] += 1;
        }
    }
    assert!(left[0] > 0 && left[1] > 0, "{left:?}");
}

/// Opens a session at core 0. True: it left for core 1.
fn goes_to_its_core(path: &str, topic: &str) -> bool {
    let middle = if path.contains("/c/") { "c/default" } else { "default" };
    let name = format!("persistent://public/{middle}/{topic}");
    let mut here = Core::embedded(0);
    let elsewhere = here.gateway.steer(&here.io, &name).is_some();
    let mut request = upgrade(path, "");
    request.push_str("early");
    let key = here.client(&request);
    let mail = here.io.take_mail();
    if !elsewhere {
        assert!(mail.is_empty() && here.asked().is_some(), "{path} is served here");
        return false;
    }
    let Some((ShardId(1), Mail::Adopt { head, peer, .. })) = mail.into_iter().next() else {
        panic!("{path} does not leave")
    };
    assert_eq!(head, request.as_bytes(), "the head is read again there, and all behind it");
    assert!(here.asked().is_none() && !here.io.is_open(key), "nothing was begun here, nothing is left");
    let mut there = Core::embedded(1);
    let key = there.io.simulate_accept(&mut Parked, peer);
    there.io.simulate_mail(&mut there.gateway, ShardId(0), Mail::Adopt { key, peer, head });
    there.turn();
    assert!(there.io.take_mail().is_empty() && there.io.is_open(key), "it stays there");
    assert!(matches!(there.asked(), Some(Command::PartitionedMetadata(_))), "{path} is served there");
    true
}

/// Stands in for the driver, which makes the connection of an adopted socket without telling the handler.
struct Parked;

impl Handler for Parked {
    fn on_accept(&mut self, _: &mut Links, _: ConnKey, _: SocketAddr, _: Door) {}
    fn on_connected(&mut self, _: &mut Links, _: ConnKey, _: Result<(), i32>) {}
    fn on_bytes(&mut self, _: &mut Links, _: ConnKey, _: &mut [u8]) {}
    fn on_eof(&mut self, _: &mut Links, _: ConnKey) {}
    fn on_drained(&mut self, _: &mut Links, _: ConnKey) {}
    fn on_closed(&mut self, _: &mut Links, _: ConnKey, _: pulsegate::shard::Closed) {}
    fn on_timer(&mut self, _: &mut Links, _: u64) {}
    fn on_resolved(&mut self, _: &mut Links, _: u64, _: Result<Vec<SocketAddr>, String>) {}
    fn on_mail(&mut self, _: &mut Links, _: ShardId, _: Mail) {}
    fn on_turn_end(&mut self, _: &mut Links) {}
    fn on_stop(&mut self, _: &mut Links, _: Duration) {}
    fn is_quiet(&self) -> bool {
        true
    }
}

#[test]
fn an_embedded_broker_that_never_answers_is_a_timeout() {
    let mut core = Core::embedded(0);
    let mut topics = (0..64).map(|n| format!("persistent://public/default/t{n}"));
    let here = topics.find(|topic| core.gateway.steer(&core.io, topic).is_none()).expect("half of them");
    let path =
        format!("/ws/v2/producer/persistent/public/default/{}", here.rsplit_once('/').expect("full").1);
    let client = core.client(&upgrade(&path, ""));
    let Some(Command::PartitionedMetadata(ask)) = core.asked() else { panic!("partitions are asked for") };
    assert_eq!(ask.topic, here);
    let answer = p::CommandPartitionedTopicMetadataResponse {
        partitions: Some(0),
        request_id: ask.request_id,
        response: Some(0),
        ..Default::default()
    };
    core.gateway.on_local(&mut core.io, LocalEvent::Command(Command::PartitionedMetadataResponse(answer)));
    assert!(matches!(core.asked(), Some(Command::Lookup(_))), "then its broker");
    core.later(Duration::from_secs(31));
    core.turn();
    let said = core.said(client);
    assert!(said.starts_with("HTTP/1.1 504"), "{said}");
}

#[test]
fn requests_for_the_administration_come_whole_and_one_by_one() {
    let mut core = Core::embedded(0);
    let put = "PUT /admin/v2/tenants/t?x=%2F HTTP/1.1\r\nHost: h\r\nX-Y: z\r\nContent-Length: 5\r\n\r\n";
    let get = "GET /admin/v2/tenants HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let all = format!("{put}hello{get}");
    for cut in 0..all.len() {
        let client = core.client(&all[..cut]);
        let none = core.gateway.poll_web();
        assert_eq!(none.is_some(), cut >= put.len() + 5, "cut at {cut}");
        core.io.simulate_bytes(&mut core.gateway, client, &all.as_bytes()[cut..]);
        let first = none.or_else(|| core.gateway.poll_web()).expect("it is whole");
        assert_eq!((first.method.as_str(), first.target.as_str()), ("PUT", "/admin/v2/tenants/t?x=%2F"));
        assert_eq!((first.body.as_slice(), first.header("x-y")), (&b"hello"[..], Some("z")));
        assert_eq!(core.gateway.poll_web(), None, "the second waits for the first's answer");
        core.gateway.answer_web(&mut core.io, client, 204, "", &[], b"");
        let second = core.gateway.poll_web().expect("it was there already");
        assert_eq!((second.method.as_str(), second.client), ("GET", client));
        core.gateway.answer_web(&mut core.io, client, 200, "application/json", &["X: y"], b"[]");
        core.gateway.answer_web(&mut core.io, client, 200, "application/json", &[], b"twice");
        let said = core.said(client);
        assert!(said.starts_with("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.ends_with("X: y\r\nConnection: close\r\n\r\n[]"), "{said}");
    }
    let ours = core.client("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(core.said(ours).starts_with("HTTP/1.1 200") && core.gateway.poll_web().is_none());
}

#[test]
fn bodies_are_bounded_in_size_and_time() {
    let mut core = Core::embedded(0);
    let request = |length: usize, more: &str| {
        format!("POST /admin/v2/x HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{more}\r\n")
    };
    let large = core.client(&request(1 << 30, ""));
    assert!(core.said(large).starts_with("HTTP/1.1 413"));
    let slow = core.client(&request(10, "Expect: 100-continue\r\n"));
    assert_eq!(core.said(slow), "HTTP/1.1 100 Continue\r\n\r\n");
    core.later(Duration::from_secs(11));
    core.turn();
    assert!(core.said(slow).starts_with("HTTP/1.1 408"));
    assert_eq!(core.gateway.poll_web(), None);
}

#[test]
fn a_producer_notices_partitions_that_are_added() {
    let mut core = Core::embedded(0);
    let topic = (0..64).map(|n| format!("persistent://public/default/t{n}"));
    let here = {
        let mut topics = topic;
        topics.find(|topic| core.gateway.steer(&core.io, topic).is_none()).expect("half of them")
    };
    let path = format!(
        "/ws/v2/producer/persistent/public/default/{}?messageRoutingMode=RoundRobinPartition",
        here.rsplit_once('/').expect("full").1
    );
    let client = core.client(&upgrade(&path, ""));
    core.answer_all(1, &[]);
    assert!(core.said(client).starts_with("HTTP/1.1 101"));
    core.later(Duration::from_secs(61));
    core.turn();
    let busy = format!("{here}-partition-1");
    assert_eq!(core.answer_all(3, &[&busy]), [format!("{here}-partition-1"), format!("{here}-partition-2")]);
    let topics_of = |core: &mut Core| {
        let text = b"{\"payload\":\"\"}";
        for _ in 0..6 {
            let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
            frame.extend_from_slice(text);
            core.io.simulate_bytes(&mut core.gateway, client, &frame);
        }
        core.turn();
        let mut producers = std::collections::BTreeSet::new();
        while let Some(command) = core.asked() {
            if let Command::Send(send) = command {
                producers.insert(send.producer_id);
            }
        }
        producers.len()
    };
    assert_eq!(topics_of(&mut core), 1, "the second is not there yet, so the third waits");
    core.later(Duration::from_secs(1));
    core.turn();
    assert_eq!(core.answer_all(3, &[]), [busy], "what passes is waited out");
    assert_eq!(topics_of(&mut core), 3);
}
