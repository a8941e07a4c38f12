//! Draws from the environment's entropy, for orders that spread the load.

use phalanx_base::Entropy;

/// A number below `bound`, which is not 0. Its bias is below bound / 2^64.
pub(super) fn below(entropy: &dyn Entropy, bound: u64) -> u64 {
    let scaled = u128::from(entropy.bits64()) * u128::from(bound);
    u64::try_from(scaled >> 64).expect("a 64-bit number times a bound has its upper half below the bound")
}

/// Puts the items into an order that is as likely as any other (Fisher and Yates).
pub(super) fn shuffle<T>(entropy: &dyn Entropy, items: &mut [T]) {
    for (count, last) in (2_u64..).zip(1..items.len()) {
        let other = usize::try_from(below(entropy, count)).expect("it is at most the index `last`");
        items.swap(last, other);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// SplitMix64 (Steele, Lea and Flood, 2014): numbers that look random, the same from one seed.
    pub(crate) struct Seeded(pub(crate) AtomicU64);

    impl Entropy for Seeded {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(8) {
                let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
            }
        }
    }

    #[test]
    fn every_order_is_as_likely_as_any_other() {
        let entropy = Seeded(AtomicU64::new(7));
        let mut counts = BTreeMap::new();
        for _ in 0..6_000 {
            let mut items = [1, 2, 3];
            shuffle(&entropy, &mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_ends_of_the_range_are_met_and_kept() {
        struct Bits(u8);
        impl Entropy for Bits {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0);
            }
        }
        assert_eq!((below(&Bits(0), 10), below(&Bits(0xff), 10)), (0, 9));
        assert_eq!((below(&Bits(0xff), 1), below(&Bits(0xff), u64::MAX)), (0, u64::MAX - 1));
    }
}
