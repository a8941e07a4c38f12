//! The order in which to use SRV records.

use phalanx_base::{DnsName, Entropy};

use super::lottery::{below, shuffle};
use crate::SrvRecord;

/// The records in the order in which to dial them (RFC 2782): the lowest priority first, and within one priority each place
/// drawn by weight among the records that are left. A record of weight 0 comes first in the running sums, so that beside others
/// it is drawn only where the number drawn is 0.
pub(super) fn ordered(mut records: Vec<SrvRecord>, entropy: &dyn Entropy) -> Vec<SrvRecord> {
    // Records of equal rank, as several of weight 0, come in any order; the name server's would load the same ones always.
    shuffle(entropy, &mut records);
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut found = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let equals = records.partition_point(|record| record.priority == priority);
        let sum: u64 = records[..equals].iter().map(|record| u64::from(record.weight)).sum();
        let mut left = below(entropy, sum + 1);
        let reaches = |record: &SrvRecord| {
            let weight = u64::from(record.weight);
            let reached = weight >= left;
            left = left.saturating_sub(weight);
            reached
        };
        let drawn = records[..equals].iter().position(reaches).unwrap_or(0);
        found.push(records.remove(drawn));
    }
    found
}

/// The machine of a record, where one can be dialled there.
pub(super) fn target(record: &SrvRecord) -> Option<DnsName> {
    let name = DnsName::new(&record.target).ok();
    name.filter(|_| record.port != 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicU64;

    use proptest::prelude::*;

    use super::super::lottery::tests::Seeded;
    use super::*;

    fn record((priority, weight, port): (u16, u16, u16)) -> SrvRecord {
        SrvRecord { priority, weight, port, target: "a.".to_owned() }
    }

    /// How often each of these weights, of one priority, comes first.
    fn firsts(weights: &[u16], runs: usize) -> BTreeMap<u16, usize> {
        let entropy = Seeded(AtomicU64::new(1));
        let mut counts = BTreeMap::new();
        for _ in 0..runs {
            let records = (1..).zip(weights).map(|(port, weight)| record((1, *weight, port))).collect();
            *counts.entry(ordered(records, &entropy)[0].port).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn records_come_first_by_their_weight() {
        let counts = firsts(&[60, 20, 20], 10_000);
        assert!((5_700..6_300).contains(&counts[&1]), "{counts:?}");
        assert!((1_700..2_300).contains(&counts[&2]) && (1_700..2_300).contains(&counts[&3]), "{counts:?}");
    }

    #[test]
    fn weight_0_has_a_small_chance_beside_others_and_an_equal_one_among_its_like() {
        let counts = firsts(&[0, 9, 0], 10_000);
        // Only the number 0 of 0 to 9 draws one of them.
        assert!((8_700..9_300).contains(&counts[&2]), "{counts:?}");
        let counts = firsts(&[0, 0, 0, 0], 10_000);
        assert!(
            counts.len() == 4 && counts.values().all(|count| (2_200..2_800).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_target_must_be_dialled_at() {
        let with = |port, to: &str| target(&SrvRecord { target: to.to_owned(), ..record((1, 1, port)) });
        assert_eq!(with(7000, "Node-1.example.org.").unwrap().as_str(), "node-1.example.org.");
        for (port, wrong) in
            [(0, "a."), (1, "."), (1, "10.0.0.1."), (1, "a\\032b."), (1, "_x.a."), (1, "-a.")]
        {
            assert_eq!(with(port, wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_priorities_rise(
            records in proptest::collection::vec((0_u16..4, prop_oneof![Just(0), any::<u16>()], any::<u16>()), 0..40),
            seed: u64,
        ) {
            let records: Vec<_> = records.into_iter().map(record).collect();
            let mut found = ordered(records.clone(), &Seeded(AtomicU64::new(seed)));
            prop_assert!(found.is_sorted_by_key(|record| record.priority));
            let mut given = records;
            found.sort();
            given.sort();
            prop_assert_eq!(found, given);
        }

        #[test]
        fn where_0_is_never_drawn_weight_0_comes_last(weights in proptest::collection::vec(0_u16..5, 1..20)) {
            /// Draws the greatest number that there is.
            struct Greatest;
            impl Entropy for Greatest {
                fn fill(&self, bytes: &mut [u8]) {
                    bytes.fill(0xff);
                }
            }
            let records = weights.into_iter().map(|weight| record((1, weight, 1))).collect();
            let found = ordered(records, &Greatest);
            prop_assert!(found.is_sorted_by_key(|record| record.weight == 0), "{:?}", found);
        }
    }
}
