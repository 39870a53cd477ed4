//! Broken bytes for the tests of parsers: whatever a peer might send instead of what it should.

use crate::base::prng::Prng;

/// Random changes of each valid input.
const MUTATIONS: usize = 3_000;
/// Inputs of random bytes.
const RANDOM: usize = 3_000;
/// Longest random input, bytes.
const RANDOM_MAX: u64 = 80;

/// Says which input made the test fail.
struct Report<'a> {
    seed: u64,
    kind: &'static str,
    input: &'a [u8],
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {} on {} input {:02x?}", self.seed, self.kind, self.input);
        }
    }
}

/// Calls `check` with every prefix of the valid inputs, with something behind them, with seeded changes of
/// them, and with random bytes. `check` asserts what holds for any input.
pub(super) fn inputs(seed: u64, valid: &[&[u8]], mut check: impl FnMut(&[u8])) {
    let mut run = |kind, input: &[u8]| {
        let _report = Report { seed, kind, input };
        check(input);
    };
    let mut prng = Prng::new(seed);
    for &bytes in valid {
        for length in 0..=bytes.len() {
            run("cut", &bytes[..length]);
        }
        for tail in [&[0][..], &[0xff], &[0x08, 0x01], bytes] {
            run("over-long", &[bytes, tail].concat());
        }
        for _ in 0..MUTATIONS {
            run("changed", &changed(&mut prng, bytes));
        }
    }
    for _ in 0..RANDOM {
        let length = prng.below(RANDOM_MAX);
        let random: Vec<u8> = (0..length).map(|_| prng.next() as u8).collect();
        run("random", &random);
    }
}

/// One to four changes: a bit, a byte, a byte less, a byte more.
fn changed(prng: &mut Prng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=prng.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = prng.below(bytes.len() as u64) as usize;
        match prng.below(4) {
            0 => bytes[at] ^= 1 << prng.below(8),
            1 => bytes[at] = prng.next() as u8,
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, prng.next() as u8),
        }
    }
    bytes
}
