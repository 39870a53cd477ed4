//! A gateway in this process, and clients for it.

use crate::broker::Broker;
use pulsegate::base::limit;
use pulsegate::config::{GatewayConfig, ServiceUrl};
use pulsegate::service::gateway::Gateway;
use pulsegate::shard::run::{Driver, RunConfig, Running, run};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// A client's socket. The kernel may interrupt a wait with a time limit when another thread of this process ends a ring.
pub(crate) struct Socket(pub(crate) TcpStream);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A gateway in front of `broker`; stopped when dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    running: Option<Running>,
}

pub(crate) const TOPIC: &str = "persistent://public/default/t";

pub(crate) fn config(broker: &Broker) -> GatewayConfig {
    GatewayConfig {
        service: ServiceUrl::Binary(vec![("127.0.0.1".to_owned(), broker.address.port())]),
        text_max: limit::TEXT_MESSAGE_MAX,
        http_head_max: limit::HTTP_HEAD_MAX,
        session_idle: limit::SESSION_IDLE_MAX,
        ping_interval: None,
        session_pending_bytes_max: limit::SESSION_PENDING_BYTES_MAX,
        process_pending_bytes_max: limit::PROCESS_PENDING_BYTES_MAX,
        status_file: None,
        broker_token: None,
        cluster: "test".to_owned(),
    }
}

impl Served {
    pub(crate) fn start(config: GatewayConfig, driver: Driver, cores: usize) -> Served {
        let run_config = RunConfig {
            cores: vec![0; cores],
            pin: false,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            connections_max: 256,
            driver,
            // What brokers have not confirmed half of this later is given up: long enough for a machine that does other things.
            drain_spread: Duration::from_secs(1),
            drain_time_max: Duration::from_secs(5),
            data: None,
            meta: None,
        };
        let config = Arc::new(config);
        let running = run(run_config, move |shard| Gateway::new(config.clone(), shard, cores, 7)).unwrap();
        Served { address: running.listening[0], running: Some(running) }
    }

    /// Stops as SIGTERM does.
    pub(crate) fn stop(&self) {
        self.running.as_ref().unwrap().stop();
    }

    pub(crate) fn connect(&self) -> Socket {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Socket(stream)
    }

    /// Opens a session; `Err` is the status and the body of the refusal.
    pub(crate) fn open(&self, path: &str) -> Result<Client, (u16, String)> {
        let url = format!("ws://{}{path}", self.address);
        match tungstenite::client(url, self.connect()) {
            Ok((socket, _)) => Ok(Client { socket }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) fn producer(&self, query: &str) -> Client {
        self.open(&format!("/ws/v2/producer/persistent/public/default/t?{query}")).unwrap()
    }

    pub(crate) fn consumer(&self, query: &str) -> Client {
        self.open(&format!("/ws/v2/consumer/persistent/public/default/t/s?{query}")).unwrap()
    }

    /// One HTTP request as written; the whole answer.
    pub(crate) fn http(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut stream)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    /// Asks a page until its answer satisfies `check`, at most ten seconds.
    pub(crate) fn get_until(&self, path: &str, check: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = self.get(path);
            if check(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "not within ten seconds: {path}\n{answer}");
            std::thread::yield_now();
        }
    }
}

/// A whole HTTP answer with a Content-Length.
pub(crate) fn read_answer(stream: &mut Socket) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text.into_owned();
            }
        }
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the answer was cut off: {text}");
        answer.extend_from_slice(&chunk[..read]);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let running = self.running.take().unwrap();
        running.stop();
        let joined = running.join();
        if !std::thread::panicking() {
            joined.unwrap();
        }
    }
}

/// A WebSocket session.
pub(crate) struct Client {
    pub(crate) socket: WebSocket<Socket>,
}

impl Client {
    pub(crate) fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// The next text; control frames are answered on the way.
    pub(crate) fn text(&mut self) -> String {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a text, got {other:?}"),
            }
        }
    }

    pub(crate) fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// Waits for the server's close frame.
    pub(crate) fn closed(&mut self) -> (CloseCode, String) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(close))) => return (close.code, close.reason.to_string()),
                Ok(_) => {}
                Err(error) => panic!("no close frame: {error}"),
            }
        }
    }
}
