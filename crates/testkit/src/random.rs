//! Chance that can be repeated, and tests that go on for as long as they are told.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A sequence of numbers from a seed: small, fast, and the same everywhere (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Random {
        // From 0 nothing else would follow.
        Random(if seed == 0 { 1 } else { seed })
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() >> 33).expect("31 bits fit") % end
    }

    /// One of several texts.
    ///
    /// # Panics
    /// If there is none.
    pub fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// Calls `round` with numbers from `seed`, `rounds` times. With `BACKSTAY_MUTATE_MINUTES=10` it goes on for so long instead, from
/// the seed in `BACKSTAY_TEST_SEED`, or from one of its own, which it prints together with `name`.
///
/// # Panics
/// If one of these variables is no number, and where `round` panics.
#[expect(
    clippy::disallowed_methods,
    reason = "the switches of a test; its long form is measured by the clock"
)]
pub fn mutate(name: &str, seed: u64, rounds: u64, mut round: impl FnMut(&mut Random)) {
    let number = |variable: &str| {
        let text = std::env::var(variable).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{variable}={text} is no whole number")))
    };
    let Some(minutes) = number("BACKSTAY_MUTATE_MINUTES") else {
        let mut random = Random::seeded(seed);
        (0..rounds).for_each(|_| round(&mut random));
        return;
    };
    let seed = number("BACKSTAY_TEST_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        since.as_secs() << 20 | u64::from(since.subsec_micros())
    });
    println!("{name}: BACKSTAY_TEST_SEED={seed}");
    let (mut random, mut done) = (Random::seeded(seed), 0_u64);
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    while Instant::now() < end {
        round(&mut random);
        done += 1;
    }
    println!("{name}: {done} rounds");
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_gives_the_same_numbers_everywhere() {
        let mut random = Random::seeded(7);
        assert_eq!([random.below(100), random.below(100), random.below(100)], [3, 31, 89]);
        assert_ne!(Random::seeded(0).number(), 0);
    }
}
