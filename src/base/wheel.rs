//! Timers of one core: a hierarchical wheel of millisecond ticks. Arming and firing are O(1); at rest nothing turns, as
//! the core sleeps until [`Wheel::next`].

use crate::base::time::Instant;

const TICK_NANOS: u64 = 1_000_000;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// 64 ms, 4 s, 4.4 min, 4.7 h, 12 days: later deadlines wait in the last slot and are armed again from there.
const LEVELS: usize = 5;

#[derive(Clone, Copy)]
struct Timer {
    tick: u64,
    token: u64,
}

/// Tokens with deadlines. A token may be armed more than once; cancelling is the owner's business: a token that finds
/// nothing to do, or is early, is harmless. Never fires early, at most one tick (1 ms) late.
pub struct Wheel {
    slots: Vec<Vec<Timer>>,
    occupied: [u64; LEVELS],
    now: u64,
    armed: usize,
    /// Room of slots that are empty, for the slots that are used next: as many as were ever in use at once.
    spares: Vec<Vec<Timer>>,
}

impl Default for Wheel {
    fn default() -> Self {
        Wheel {
            slots: (0..LEVELS * SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; LEVELS],
            now: 0,
            armed: 0,
            spares: Vec::new(),
        }
    }
}

impl Wheel {
    /// Arms `token` for `at`; a deadline that has passed fires at the next [`Wheel::advance`].
    pub fn arm(&mut self, at: Instant, token: u64) {
        let tick = at.0.div_ceil(TICK_NANOS).max(self.now + 1);
        self.place(Timer { tick, token });
        self.armed += 1;
    }

    /// Timers armed now.
    pub fn len(&self) -> usize {
        self.armed
    }

    /// True when no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// When [`Wheel::advance`] should be called next; not later than the earliest deadline. `None`: nothing is armed.
    pub fn next(&self) -> Option<Instant> {
        let tick = self.next_tick()?;
        Some(Instant(tick.saturating_mul(TICK_NANOS)))
    }

    /// Moves time forward and hands every due token to `fire`, earliest tick first.
    pub fn advance(&mut self, now: Instant, mut fire: impl FnMut(u64)) {
        let target = now.0 / TICK_NANOS;
        while let Some(tick) = self.next_tick().filter(|tick| *tick <= target) {
            self.now = tick;
            for level in (0..LEVELS).rev() {
                let slot = ((tick >> (BITS * level as u32)) & (SLOTS as u64 - 1)) as usize;
                let starts_here = tick & ((1 << (BITS * level as u32)) - 1) == 0;
                if starts_here && self.occupied[level] & (1 << slot) != 0 {
                    self.occupied[level] &= !(1 << slot);
                    let mut due = std::mem::take(&mut self.slots[level * SLOTS + slot]);
                    for timer in due.drain(..) {
                        if timer.tick <= tick {
                            self.armed -= 1;
                            fire(timer.token);
                        } else {
                            self.place(timer);
                        }
                    }
                    self.spares.push(due);
                }
            }
        }
        self.now = self.now.max(target);
    }

    fn place(&mut self, timer: Timer) {
        let distance = (timer.tick ^ self.now) | 1;
        let level = ((63 - distance.leading_zeros()) / BITS).min(LEVELS as u32 - 1) as usize;
        let shift = BITS * level as u32;
        let horizon = (self.now >> shift) + SLOTS as u64 - 1;
        let slot = ((timer.tick >> shift).min(horizon) & (SLOTS as u64 - 1)) as usize;
        self.occupied[level] |= 1 << slot;
        let slot = &mut self.slots[level * SLOTS + slot];
        if slot.capacity() == 0 {
            *slot = self.spares.pop().unwrap_or_default();
        }
        slot.push(timer);
    }

    /// The earliest tick at which some slot starts: a deadline, or the moment a coarser slot is spread out.
    fn next_tick(&self) -> Option<u64> {
        let mut best: Option<u64> = None;
        for (level, occupied) in self.occupied.iter().enumerate().filter(|(_, occupied)| **occupied != 0) {
            let shift = BITS * level as u32;
            let here = self.now >> shift;
            let position = (here & (SLOTS as u64 - 1)) as u32;
            // Slots at or before the present position belong to the next revolution.
            let ahead = occupied.rotate_right((position + 1) & 63).trailing_zeros() as u64 + 1;
            let tick = (here + ahead) << shift;
            best = Some(best.map_or(tick, |b| b.min(tick)));
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn millis(ms: u64) -> Instant {
        Instant(ms * TICK_NANOS)
    }

    #[test]
    fn fires_each_once_never_early_at_most_a_tick_late() {
        for seed in 0..50 {
            let mut prng = Prng::new(seed);
            let (mut wheel, mut now) = (Wheel::default(), prng.below(1 << 20));
            wheel.advance(millis(now), |_| panic!("nothing is armed"));
            let mut waiting = std::collections::BTreeMap::new();
            for token in 0..300u64 {
                let spans = [1, 3, 70, 5_000, 300_000, 20_000_000, 3_000_000_000];
                let span = spans[prng.below(7) as usize];
                let at = now + prng.below(span);
                wheel.arm(millis(at), token);
                waiting.insert(token, at);
                if prng.below(4) == 0 {
                    now += prng.below(10_000);
                    wheel.advance(millis(now), |token| {
                        let at = waiting.remove(&token).expect("fires once");
                        assert!(at <= now, "seed {seed}: early");
                    });
                    let late = waiting.values().filter(|at| **at < now).count();
                    assert_eq!(late, 0, "seed {seed}: late");
                }
            }
            while let Some(next) = wheel.next() {
                assert!(waiting.values().all(|at| millis(*at + 1) >= next), "seed {seed}: would oversleep");
                now = now.max(next.0 / TICK_NANOS);
                wheel.advance(next, |token| assert!(waiting.remove(&token).expect("fires once") <= now));
            }
            assert!(waiting.is_empty() && wheel.is_empty(), "seed {seed}");
        }
    }
}
