//! `permessage-deflate`: outgoing texts are compressed one by one, with one compressor for a whole core and no context
//! kept between messages (allowed to any server; costs ratio, saves 256 KiB per connection). Incoming messages may use
//! a kept window, so each connection that sends compressed frames has a decompressor, made at the first such frame.

/// Compresses outgoing messages; one per core.
pub struct Deflater {
    _private: (),
}

impl Default for Deflater {
    fn default() -> Self {
        unimplemented!()
    }
}

impl Deflater {
    /// Appends a compressed text frame (RSV1 set) holding `text`.
    pub fn put_text(&mut self, _out: &mut Vec<u8>, _text: &[u8]) {
        unimplemented!()
    }
}

/// Answers a `Sec-WebSocket-Extensions` header: the value to send back, or `None` when nothing is accepted. An offer
/// with unknown or malformed parameters is declined. Source: API 2.6 and its deliberate differences.
pub fn negotiate(_offers: &str) -> Option<&'static str> {
    unimplemented!()
}
