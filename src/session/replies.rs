//! Writing texts to a client: straight into its outbox, or through the core's compressor when deflate was agreed on.

use crate::wire::ws::deflate::Deflater;
use crate::wire::ws::encode;

/// A client's outbox for one call.
pub struct Replies<'a> {
    out: &'a mut Vec<u8>,
    deflate: Option<(&'a mut Deflater, &'a mut Vec<u8>)>,
}

impl<'a> Replies<'a> {
    /// Plain text frames.
    pub fn plain(out: &'a mut Vec<u8>) -> Self {
        Replies { out, deflate: None }
    }

    /// Compressed text frames; `scratch` holds each text before compression.
    pub fn deflated(out: &'a mut Vec<u8>, deflater: &'a mut Deflater, scratch: &'a mut Vec<u8>) -> Self {
        Replies { out, deflate: Some((deflater, scratch)) }
    }

    /// Appends one text frame whose payload `write` appends; `hint` is its likely length.
    pub fn text(&mut self, hint: usize, write: impl FnOnce(&mut Vec<u8>)) {
        match &mut self.deflate {
            None => encode::put_text(self.out, hint, write),
            Some((deflater, scratch)) => {
                scratch.clear();
                write(scratch);
                deflater.put_text(self.out, scratch);
            }
        }
    }

    /// Bytes in the outbox (not yet handed to the kernel in this turn).
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True when the outbox is empty.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }
}
