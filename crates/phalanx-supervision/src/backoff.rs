//! The lot of a pause: which part of a quarter is added to it.
//!
//! The core has no randomness of its own, so the lot is a hash of the seed and of what waits (the finalizer of `SplitMix64`:
//! Steele, Lea and Flood, 2014).

use std::time::Duration;

use crate::name::Tag;

/// The pause with up to a quarter more.
pub(crate) fn jittered(pause: Duration, seed: u64, tag: &Tag) -> Duration {
    let mut lot = mixed(seed ^ tag.attempt.0);
    for byte in tag.job.as_str().bytes().chain(tag.instance.to_string().bytes()) {
        lot = mixed(lot ^ u64::from(byte));
    }
    let more = pause / 4;
    // The upper 32 bits as a share of what may be added.
    more.mul_f64((lot >> 32) as f64 / f64::from(u32::MAX)) + pause
}

/// A number for a choice by lot.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Attempt, InstanceName};

    #[test]
    fn a_pause_is_at_least_what_was_said_and_a_quarter_more_at_most() {
        let pause = Duration::from_secs(8);
        let lots: Vec<Duration> = (0..100)
            .map(|index| {
                let instance = InstanceName::Index(index);
                jittered(pause, 7, &Tag { job: "web".parse().unwrap(), instance, attempt: Attempt::FIRST })
            })
            .collect();
        assert!(lots.iter().all(|lot| (pause..=pause + pause / 4).contains(lot)));
        let spread = *lots.iter().max().unwrap() - *lots.iter().min().unwrap();
        assert!(spread > pause / 5, "they differ: {spread:?}");
    }
}
