//! What a decision may know of the world.

use backstay_model::Timestamp;

/// The only clock and chance that a decision sees.
#[derive(Clone, Debug)]
pub struct DecisionContext {
    /// The wall clock.
    pub now: Timestamp,
    /// Fresh for each call; jitter is drawn from it and stands in the event that it leads to.
    pub seed: u64,
    /// Where outside work would begin; none where the caller only settles inputs.
    pub host: Option<EffectHost>,
    /// Whether the owner holds the lease of the run's checkout, so that work may begin that changes it.
    pub holds_checkout: bool,
}

/// The machine on which outside work is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectHost {
    /// Its name.
    pub host: String,
    /// Its boot.
    pub boot: String,
}

impl DecisionContext {
    /// A number below `bound` (which is above zero) drawn from the seed for the `salt`-th use in this call.
    pub(crate) fn random_below(&self, bound: u64, salt: u64) -> u64 {
        // One round of splitmix64 (Steele, Lea, Flood 2014): enough to spread retries.
        let mut mixed = self.seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
