//! Server frames: unmasked, never fragmented, written straight into the connection's outbox.

/// Appends a text frame whose payload `write` appends; the header is sized for what was written. `hint` is the expected
/// payload length: a good guess saves moving the payload.
pub fn put_text(_out: &mut Vec<u8>, _hint: usize, _write: impl FnOnce(&mut Vec<u8>)) {
    unimplemented!()
}

/// Appends a ping, at most 125 bytes of payload.
pub fn put_ping(_out: &mut Vec<u8>, _payload: &[u8]) {
    unimplemented!()
}

/// Appends a pong, at most 125 bytes of payload.
pub fn put_pong(_out: &mut Vec<u8>, _payload: &[u8]) {
    unimplemented!()
}

/// Appends a close frame; the reason is cut at a character boundary to 123 bytes. `None`: an empty close frame.
pub fn put_close(_out: &mut Vec<u8>, _code: Option<(u16, &str)>) {
    unimplemented!()
}
