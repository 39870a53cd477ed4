//! Settings of the gateway as plain values.

use std::path::PathBuf;
use std::time::Duration;

/// Where the brokers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceUrl {
    /// `pulsar://h1:6650,h2:6650`.
    Binary(Vec<(String, u16)>),
    /// `http://h1:8080,h2:8080`.
    Http(Vec<(String, u16)>),
}

/// How we prove to brokers who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerCredentials {
    /// A token, as text.
    Token(String),
    /// A file holding the token, read again for each connection.
    TokenFile(PathBuf),
}

/// Settings of the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayConfig {
    /// Where the brokers are.
    pub service: ServiceUrl,
    /// Largest text message, bytes.
    pub text_max: usize,
    /// Largest HTTP head, bytes.
    pub http_head_max: usize,
    /// A session without a frame for this long is closed.
    pub session_idle: Duration,
    /// Pings to clients.
    pub ping_interval: Option<Duration>,
    /// Unconfirmed bytes of one producer session.
    pub session_pending_bytes_max: usize,
    /// Unconfirmed bytes of all sessions.
    pub process_pending_bytes_max: usize,
    /// `/status.html` answers 200 while this file exists.
    pub status_file: Option<PathBuf>,
    /// Credentials towards brokers.
    pub broker_token: Option<BrokerCredentials>,
    /// Cluster name.
    pub cluster: String,
}
