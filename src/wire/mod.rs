//! Bytes to typed values and back, with no I/O: WebSocket frames, HTTP heads, URLs, JSON texts, the Pulsar protocol.

pub mod http;
pub mod pulsar;
pub mod route;
pub mod text;
pub mod ws;
