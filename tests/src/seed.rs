//! Chance that can be repeated.

/// Whether the whole of every test runs (`BACKSTAY_TEST_ALL=1`).
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
pub fn all() -> bool {
    std::env::var("BACKSTAY_TEST_ALL").is_ok_and(|value| value == "1")
}

/// Whether tests that take hours run whole (`BACKSTAY_TEST_SOAK=1`). Else they take a sample, also with [`all`].
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
pub fn soak() -> bool {
    std::env::var("BACKSTAY_TEST_SOAK").is_ok_and(|value| value == "1")
}

/// A sequence of numbers from a seed that is printed, so that a failure can be repeated by `BACKSTAY_TEST_SEED`.
#[derive(Debug)]
pub struct Seed(u64);

impl Seed {
    /// The seed of this run.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own switch, and a seed that differs from run to run"
    )]
    pub fn drawn() -> Seed {
        let given = std::env::var("BACKSTAY_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            u64::from(since.subsec_nanos()) ^ since.as_secs()
        });
        println!("BACKSTAY_TEST_SEED={seed}");
        Seed(seed)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // splitmix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
