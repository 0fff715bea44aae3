//! A small generator for tokens, message ids and jitter; never for keys.

/// SplitMix64: one addition and a mix per number, the whole state is the seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Between 0 and 1, both possible.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / ((1u64 << 53) - 1) as f64
    }
}

/// A 64-bit hash that is fed piece by piece; seeded, so that a peer cannot aim at collisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0 = mix(self.0 ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        self
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let whole = words
            .iter()
            .fold(self, |hash, word| hash.number(u64::from_le_bytes(*word)));
        let mut tail = [0; 8];
        tail[..rest.len()].copy_from_slice(rest);
        whole
            .number(u64::from_le_bytes(tail))
            .number(bytes.len() as u64)
    }

    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fraction_stays_between_0_and_1() {
        let mut random = Random::new(7);
        assert!(
            (0..10_000)
                .map(|_| random.fraction())
                .all(|x| (0.0..=1.0).contains(&x))
        );
    }

    #[test]
    fn fingerprints_tell_apart_where_pieces_end() {
        let hash = |pieces: &[&str]| {
            pieces
                .iter()
                .fold(Fingerprint::new(1), |h, p| h.bytes(p.as_bytes()))
                .finish()
        };
        assert_ne!(hash(&["3", "0"]), hash(&["30"]));
        assert_ne!(hash(&["3", ""]), hash(&["3"]));
        assert_ne!(hash(&["\0"]), hash(&[""]));
        assert_eq!(hash(&["3", "0"]), hash(&["3", "0"]));
    }
}
