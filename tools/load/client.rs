//! One WebSocket connection to the server under load: blocking handshake, then non-blocking frames.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::frames::{self, Frame};

/// A connect or handshake longer than this fails the run.
const OPEN_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes asked of the kernel at a time.
const READ_BYTES: usize = 128 * 1024;
/// A reply head longer than this is not a handshake.
const HEAD_MAX: usize = 64 * 1024;
/// Largest frame taken from the server.
const FRAME_MAX: usize = 64 << 20;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path}: upgrade refused: {head}")]
    Refused { path: String, head: String },
    #[error("{path}: closed by the server: {reason}")]
    Closed { path: String, reason: String },
    #[error("{path}: cannot make sense of {what}: {text}")]
    Unexpected { path: String, what: &'static str, text: String },
    #[error("address {0:?} is not ws://HOST:PORT")]
    Address(String),
    #[error("process {pid}: {source}")]
    Server { pid: u32, source: io::Error },
}

/// An open session. Frames to send gather in `outbox` until `flush`.
pub(crate) struct Client {
    pub(crate) path: String,
    stream: TcpStream,
    /// Received bytes lie in `parsed..filled`; the rest is room.
    inbox: Vec<u8>,
    parsed: usize,
    filled: usize,
    pub(crate) outbox: Vec<u8>,
    /// Bytes of `outbox` that the kernel has.
    written: usize,
}

impl Client {
    /// Connects, upgrades, and leaves the socket non-blocking.
    pub(crate) fn open(url: &str, path: String) -> Result<Client, LoadError> {
        let host = url.strip_prefix("ws://").map(|rest| rest.trim_end_matches('/'));
        let host =
            host.filter(|host| host.contains(':')).ok_or_else(|| LoadError::Address(url.to_owned()))?;
        let (stream, head, rest) =
            handshake(host, &path).map_err(|source| LoadError::Io { path: path.clone(), source })?;
        if !head.starts_with("HTTP/1.1 101") {
            let head = format!("{} {}", head.lines().next().unwrap_or(""), String::from_utf8_lossy(&rest));
            return Err(LoadError::Refused { path, head });
        }
        let filled = rest.len();
        Ok(Client { path, stream, inbox: rest, parsed: 0, filled, outbox: Vec::new(), written: 0 })
    }

    /// Reads what the kernel has, once.
    pub(crate) fn fill(&mut self) -> Result<(), LoadError> {
        self.inbox.copy_within(self.parsed..self.filled, 0);
        self.filled -= self.parsed;
        self.parsed = 0;
        if self.inbox.len() < self.filled + READ_BYTES {
            self.inbox.resize(self.filled + 2 * READ_BYTES, 0);
        }
        match self.stream.read(&mut self.inbox[self.filled..]) {
            Ok(0) => Err(self.closed("TCP ended without a close frame".to_owned())),
            Ok(count) => {
                self.filled += count;
                Ok(())
            }
            Err(error) if would_wait(&error) => Ok(()),
            Err(source) => Err(LoadError::Io { path: self.path.clone(), source }),
        }
    }

    /// The next whole text message; its bytes are those of `text` until `fill`. Pings are answered on the way.
    pub(crate) fn next_text(&mut self) -> Result<Option<std::ops::Range<usize>>, LoadError> {
        loop {
            let pending = &self.inbox[self.parsed..self.filled];
            let Some((frame, length)) =
                frames::decode(pending, FRAME_MAX).map_err(|what| self.odd(what, pending))?
            else {
                return Ok(None);
            };
            let start = self.parsed;
            self.parsed += length;
            match frame {
                Frame::Text(range) => return Ok(Some(start + range.start..start + range.end)),
                Frame::Ping(range) => {
                    let payload = &self.inbox[start + range.start..start + range.end];
                    frames::encode(frames::PONG, payload, &mut self.outbox);
                }
                Frame::Pong => {}
                Frame::Close { code, reason } => {
                    let reason =
                        String::from_utf8_lossy(&self.inbox[start + reason.start..start + reason.end]);
                    return Err(self.closed(format!("{code} {reason}")));
                }
            }
        }
    }

    pub(crate) fn text(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.inbox[range]
    }

    /// The received bytes of a message and the outbox for its answer.
    pub(crate) fn text_and_outbox(&mut self, range: std::ops::Range<usize>) -> (&[u8], &mut Vec<u8>) {
        (&self.inbox[range], &mut self.outbox)
    }

    /// Hands the outbox to the kernel. True: all of it went.
    pub(crate) fn flush(&mut self) -> Result<bool, LoadError> {
        while self.written < self.outbox.len() {
            match self.stream.write(&self.outbox[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if would_wait(&error) => return Ok(false),
                Err(source) => return Err(LoadError::Io { path: self.path.clone(), source }),
            }
        }
        self.outbox.clear();
        self.written = 0;
        Ok(true)
    }

    pub(crate) fn odd(&self, what: &'static str, text: &[u8]) -> LoadError {
        let text = String::from_utf8_lossy(&text[..text.len().min(300)]).into_owned();
        LoadError::Unexpected { path: self.path.clone(), what, text }
    }

    fn closed(&self, reason: String) -> LoadError {
        LoadError::Closed { path: self.path.clone(), reason }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The connected stream, the head of the answer, and the bytes behind it.
fn handshake(host: &str, path: &str) -> io::Result<(TcpStream, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(OPEN_TIME_MAX))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
        let used = bytes.len();
        bytes.resize(used + 4096, 0);
        let count = stream.read(&mut bytes[used..])?;
        bytes.truncate(used + count);
        if count == 0 || bytes.len() > HEAD_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer to the upgrade"));
        }
    };
    stream.set_read_timeout(None)?;
    stream.set_nonblocking(true)?;
    let rest = bytes.split_off(end);
    Ok((stream, String::from_utf8_lossy(&bytes).into_owned(), rest))
}
