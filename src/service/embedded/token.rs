//! Timer tokens of the embedded broker. The gateway's begin with other numbers.

use crate::base::table::Key;

/// What a timer is for. Keys may be stale by the time it fires; then nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A native client: keep-alive, probe.
    Client(Key),
    /// The host at this index.
    Host(u16),
}

const CLIENT: u64 = 0x20;
const HOST: u64 = 0x21;

impl Token {
    pub(super) fn pack(self) -> u64 {
        match self {
            Token::Client(key) => {
                let bits = key.to_bits();
                let (generation, slot) = (bits >> 32, bits & 0xffff_ffff);
                debug_assert!(slot < 1 << 24, "a core has fewer than 2^24 connections");
                CLIENT << 56 | generation << 24 | slot
            }
            Token::Host(index) => HOST << 56 | u64::from(index),
        }
    }

    pub(super) fn unpack(token: u64) -> Option<Token> {
        match token >> 56 {
            CLIENT => {
                Some(Token::Client(Key::from_bits((token >> 24 & 0xffff_ffff) << 32 | token & 0xff_ffff)))
            }
            HOST => Some(Token::Host(token as u16)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_trip() {
        for token in [Token::Client(Key::from_bits(0xdead_beef_0012_3456)), Token::Host(9)] {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(1 << 56), None, "the gateway's");
    }
}
