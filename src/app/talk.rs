//! `pulsegate produce` and `pulsegate consume`: a WebSocket client on the command line, for a first try and for scripts. It speaks
//! the public API over a library of others, like any client.

use super::Failure;
use crate::wire::route::TopicName;
use crate::wire::text::base64;
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, BufRead, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// An answer is awaited this long, and a connection.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest line of standard input that becomes a message, bytes.
const LINE_MAX: u64 = 16 << 20;

/// What `produce` is to do.
#[derive(Debug, Args)]
pub(super) struct ProduceArguments {
    /// A topic, as my-topic or persistent://tenant/namespace/topic; or the whole ws:// URL of a producer
    #[arg(value_name = "URL|TOPIC")]
    target: String,
    /// What to send, each a message; none: every line of standard input is one
    messages: Vec<String>,
    /// Where the server's HTTP port is
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    server: String,
    /// Key of the messages
    #[arg(long)]
    key: Option<String>,
}

/// What `consume` is to do.
#[derive(Debug, Args)]
pub(super) struct ConsumeArguments {
    /// A topic, as my-topic or persistent://tenant/namespace/topic; or the whole ws:// URL of a consumer or reader
    #[arg(value_name = "URL|TOPIC")]
    target: String,
    /// Subscribe by this name and acknowledge; without it, read from the oldest message on
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// End after so many messages
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Where the server's HTTP port is
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    server: String,
}

/// Sends each message and prints the id it got.
pub(super) fn produce(arguments: &ProduceArguments) -> Result<ExitCode, Failure> {
    let url = url(&arguments.target, &arguments.server, "producer", "")?;
    let mut session = Session::open(&url)?;
    let mut out = io::stdout().lock();
    let mut send = |text: &[u8]| -> Result<(), Failure> {
        let mut payload = Vec::new();
        base64::encode(text, &mut payload);
        let mut request = json!({ "payload": String::from_utf8_lossy(&payload) });
        if let Some(key) = &arguments.key {
            request["key"] = json!(key);
        }
        session.send(&request)?;
        let answer = session.receive(Some(WAIT_MAX))?;
        match (answer["result"].as_str(), answer["messageId"].as_str()) {
            (Some("ok"), Some(id)) => print(&mut out, format_args!("stored as {id}")),
            _ => Err(Failure::Other(format!("the message was refused: {answer}"))),
        }
    };
    for message in &arguments.messages {
        send(message.as_bytes())?;
    }
    if arguments.messages.is_empty() {
        let mut input = io::stdin().lock();
        while let Some(line) = line(&mut input)? {
            send(&line)?;
        }
    }
    session.close();
    Ok(ExitCode::SUCCESS)
}

/// Prints each message's payload, one a line.
pub(super) fn consume(arguments: &ConsumeArguments) -> Result<ExitCode, Failure> {
    let url = match &arguments.subscription {
        Some(name) => url(&arguments.target, &arguments.server, "consumer", &format!("/{}", escaped(name)))?,
        None => url(&arguments.target, &arguments.server, "reader", "?messageId=earliest")?,
    };
    let mut session = Session::open(&url)?;
    let mut out = io::stdout().lock();
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let message = session.receive(None)?;
        let id = message["messageId"].as_str().unwrap_or_default();
        let mut payload = Vec::new();
        let text = message["payload"].as_str().unwrap_or_default();
        base64::decode(text.as_bytes(), &mut payload)
            .map_err(|_| Failure::Other(format!("not a message: {message}")))?;
        print(&mut out, format_args!("{}", String::from_utf8_lossy(&payload)))?;
        session.send(&json!({ "messageId": id }))?;
        left -= 1;
    }
    session.close();
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Other(format!("cannot write to standard output: {error}")))
}

/// The next line without its end; `None` at the end of the input.
fn line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *input, LINE_MAX).read_until(b'\n', &mut line);
    let count = read.map_err(|error| Failure::Other(format!("cannot read standard input: {error}")))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok((count > 0).then_some(line))
}

/// The URL of a session: as it was given, or of a topic at a server.
fn url(target: &str, server: &str, kind: &str, rest: &str) -> Result<String, Failure> {
    if target.starts_with("ws://") {
        return Ok(target.to_owned());
    }
    let wrong = |reason: String| Failure::Other(format!("{target}: {reason}"));
    if target.starts_with("wss://") {
        return Err(wrong("TLS is not available in this version; use ws://".into()));
    }
    let topic = TopicName::parse(target)
        .map_err(|error| wrong(format!("{error}; write my-topic or persistent://tenant/namespace/topic")))?;
    Ok(format!("ws://{server}/ws/v2/{kind}/{}{rest}", topic.path()))
}

/// One segment of a path.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A session with the server.
struct Session {
    socket: WebSocket<TcpStream>,
    url: String,
}

impl Session {
    fn open(url: &str) -> Result<Session, Failure> {
        let failed = |reason: String| Failure::Other(format!("{url}: {reason}"));
        let authority = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let mut addresses = authority.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
        let address = addresses.next().ok_or_else(|| failed("the host has no address".into()))?;
        let stream = TcpStream::connect_timeout(&address, WAIT_MAX)
            .and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(WAIT_MAX))?;
                Ok(stream)
            })
            .map_err(|error| {
                failed(format!("{error}; is a server there? (pulsegate standalone, --server)"))
            })?;
        match tungstenite::client(url, stream) {
            Ok((socket, _)) => Ok(Session { socket, url: url.to_owned() }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                let text = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                Err(failed(format!("refused with {}: {}", answer.status(), text.trim())))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn failed(&self, error: &tungstenite::Error) -> Failure {
        Failure::Other(format!("{}: {error}", self.url))
    }

    fn send(&mut self, value: &Value) -> Result<(), Failure> {
        let sent = self.socket.send(Message::text(value.to_string()));
        sent.map_err(|error| self.failed(&error))
    }

    /// The next text; pings are answered on the way. `None`: waits for ever.
    fn receive(&mut self, time_max: Option<Duration>) -> Result<Value, Failure> {
        let set = self.socket.get_ref().set_read_timeout(time_max);
        set.map_err(|error| self.failed(&error.into()))?;
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let wrong = |error| Failure::Other(format!("{}: not JSON: {error}", self.url));
                    return serde_json::from_str(&text).map_err(wrong);
                }
                Ok(Message::Close(frame)) => {
                    let reason = frame.map(|frame| frame.to_string()).unwrap_or_default();
                    return Err(Failure::Other(format!("{}: closed by the server: {reason}", self.url)));
                }
                Ok(_) => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// Says goodbye; what was confirmed stays confirmed whatever becomes of that.
    fn close(mut self) {
        if let Err(error) = self.socket.close(None).and_then(|()| self.socket.flush()) {
            log::debug!("{}: {error}", self.url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_become_urls_and_urls_stay() {
        let of = |target: &str, kind, rest: &str| url(target, "h:1", kind, rest).map_err(|e| e.to_string());
        assert_eq!(of("t", "producer", "").unwrap(), "ws://h:1/ws/v2/producer/persistent/public/default/t");
        let named = of("non-persistent://a/b/c d/é", "consumer", "/s").unwrap_err();
        assert!(named.contains("non-persistent://a/b/c d/é"), "{named}");
        let named = of("non-persistent://a/b/c d", "consumer", "/s").unwrap();
        assert_eq!(named, "ws://h:1/ws/v2/consumer/non-persistent/a/b/c%20d/s");
        assert_eq!(of("ws://x/y", "reader", "?z").unwrap(), "ws://x/y");
        assert!(of("wss://x/y", "reader", "").unwrap_err().contains("TLS"));
    }

    #[test]
    fn lines_are_messages() {
        let mut input = &b"one\n\ntwo\r\nlast"[..];
        let mut lines = Vec::new();
        while let Some(line) = line(&mut input).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["one", "", "two\r", "last"]);
    }
}
