//! Timer tokens: what a timer is for, packed into the `u64` that the wheel carries.

use crate::base::table::Key;

/// What a timer is for. Keys may be stale by the time it fires; then nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A client connection: head, idle, ping, drain.
    Client(Key),
    /// A session: its own timers, its legs' back-off, the opening deadline.
    Session(Key),
    /// A broker link: keep-alive, requests.
    Link(Key),
    /// The service URL is to be tried again.
    Service,
    /// The statistics interval is over.
    Interval,
}

impl Token {
    pub(super) fn pack(self) -> u64 {
        let (kind, key) = match self {
            Token::Client(key) => (1, key),
            Token::Session(key) => (2, key),
            Token::Link(key) => (3, key),
            Token::Service => return 4 << 56,
            Token::Interval => return 5 << 56,
        };
        let bits = key.to_bits();
        let (generation, slot) = (bits >> 32, bits & 0xffff_ffff);
        debug_assert!(slot < 1 << 24, "a core has fewer than 2^24 connections");
        kind << 56 | generation << 24 | slot
    }

    pub(super) fn unpack(token: u64) -> Option<Token> {
        let key = Key::from_bits((token >> 24 & 0xffff_ffff) << 32 | token & 0xff_ffff);
        match token >> 56 {
            1 => Some(Token::Client(key)),
            2 => Some(Token::Session(key)),
            3 => Some(Token::Link(key)),
            4 => Some(Token::Service),
            5 => Some(Token::Interval),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_trip() {
        let key = Key::from_bits(0xdead_beef_0012_3456);
        for token in
            [Token::Client(key), Token::Session(key), Token::Link(key), Token::Service, Token::Interval]
        {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(0), None);
    }
}
