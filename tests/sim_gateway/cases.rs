//! Cases with a name, of what the seeds do not reach.

use crate::world::config;
use pulsegate::config::gateway::{GatewayConfig, ServiceUrl};
use pulsegate::service::gateway::Gateway;
use pulsegate::shard::{ConnKey, Handler, Links, ShardId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

struct Core {
    io: Links,
    gateway: Gateway,
}

impl Core {
    fn start(service: ServiceUrl) -> Core {
        let mut io = Links::simulated(ShardId(0), 1);
        let mut gateway = Gateway::new(Arc::new(config_of(service)), ShardId(0), 1, 1);
        gateway.on_start(&mut io);
        Core { io, gateway }
    }

    fn turn(&mut self) {
        self.io.simulate_turn(&mut self.gateway);
    }

    fn later(&mut self, by: Duration) {
        self.io.simulate_time(by);
        self.turn();
    }

    fn client(&mut self, request: &str) -> ConnKey {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1000));
        let key = self.io.simulate_accept(&mut self.gateway, peer);
        self.io.simulate_bytes(&mut self.gateway, key, request.as_bytes());
        self.turn();
        self.turn();
        key
    }

    fn said(&mut self, key: ConnKey) -> String {
        String::from_utf8(self.io.take_outbox(&mut self.gateway, key)).expect("text")
    }
}

fn config_of(service: ServiceUrl) -> GatewayConfig {
    GatewayConfig { service, ..config() }
}

fn upgrade(path: &str, more: &str) -> String {
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
