//! WebSocket frames (RFC 6455) and `permessage-deflate` (RFC 7692), server side.

pub mod decode;
pub mod deflate;
pub mod encode;
mod header;
mod inflate;
mod mask;

pub use decode::{Decoder, DecoderConfig, Event, Violation};
