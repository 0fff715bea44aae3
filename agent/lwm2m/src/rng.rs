//! Numbers for jitter, from one seed; nothing secret depends on them.

use std::time::Duration;

/// SplitMix64 (public domain algorithm by S. Vigna).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A duration from `low` to `high`, evenly spread.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        // 53 bits: the fraction is exact in f64.
        let fraction = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        low + high.saturating_sub(low).mul_f64(fraction)
    }
}
