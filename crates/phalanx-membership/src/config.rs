//! How fast a cluster notices, and how much it talks: the knobs of the detector and of the roster, with presets.
//!
//! Every control node of a cluster should use the same values; a node that is told another suspicion time declares
//! its peers down at another pace than they expect.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use crate::wire::{DATAGRAM_BYTES_MAX, DATAGRAM_ENVELOPE_BYTES};

/// How fast a cluster notices, and how much it talks. Start from a preset and change what you must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// One random member is probed in each period.
    pub probe_period: Duration,
    /// A probe that is not answered within this time is tried again through others; less than half of
    /// [`Config::probe_period`], so that the detour ends before the period does.
    pub probe_rtt: Duration,
    /// How many others are asked to probe a member that did not answer.
    pub indirect_probes: usize,
    /// How long a suspect may take to refute, in a cluster of up to ten. A node in bad health gives others up to eight
    /// times as long (Lifeguard).
    pub suspicion: Duration,
    /// Whether [`Config::suspicion`] grows with the cluster: by one [`Config::gossip_period`] for each doubling beyond
    /// ten, since that is how much longer a rumour and its denial take to reach everybody.
    pub suspicion_grows: bool,
    /// How long a suspect may take to refute where the loss of its link was evidence that its process is gone. Several
    /// gossip periods, because evidence can be forged; never longer than [`Config::suspicion`].
    pub suspicion_with_evidence: Duration,
    /// News are gossiped once in each period.
    pub gossip_period: Duration,
    /// To how many random members news are gossiped at once.
    pub gossip_fanout: usize,
    /// How often members that are down are called again, so that the halves of a cluster find each other.
    pub announce_down_period: Duration,
    /// How many of them are called at once.
    pub announce_down_fanout: usize,
    /// A peer that was called and has not answered is called again after this time, then after twice this time, up to
    /// [`Config::ANNOUNCE_BACKOFF_MAX`] times it.
    pub announce_retry: Duration,
    /// How often all that is known is compared with one random peer, and with one that is down, and exchanged where it
    /// differs.
    pub exchange_period: Duration,
    /// How long a member is down before its roster record becomes `Gone`, which changes the ring.
    pub gone_after: Duration,
    /// How long a member is down before its roster record becomes a tombstone that majorities count no more.
    pub autoclean_after: Duration,
    /// How long the detector remembers a member that is down.
    pub forget_down_after: Duration,
}

/// Why a [`Config`] cannot work. Nothing was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A duration is zero.
    #[error("{field} is zero: give it a duration above zero")]
    ZeroDuration {
        /// The name of the field.
        field: &'static str,
    },
    /// A fan-out is not between 1 and [`Config::FANOUT_MAX`].
    #[error("{field} must be between 1 and {}", Config::FANOUT_MAX)]
    Fanout {
        /// The name of the field.
        field: &'static str,
    },
    /// A duration is longer than [`Config::DURATION_MAX`].
    #[error("{field} is longer than a year: give it a shorter duration")]
    TooLong {
        /// The name of the field.
        field: &'static str,
    },
    /// The round trip leaves an indirect probe no time.
    #[error("probe_rtt must be less than half of probe_period, or no indirect probe ends in time")]
    RoundTrip,
}

impl Config {
    /// The greatest fan-out: more than this is a flood.
    pub const FANOUT_MAX: usize = 16;
    /// The longest duration: far beyond use, and far below where adding it to an instant could overflow.
    pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
    /// By how much the pause between two calls to a silent peer grows at most.
    pub const ANNOUNCE_BACKOFF_MAX: u32 = 8;

    /// For nodes in one network, with round trips far below 300 ms: a death is seen after 5 to 7 seconds, or after 2
    /// with evidence from the links.
    #[must_use]
    pub fn lan() -> Self {
        Self {
            probe_period: Duration::from_secs(1),
            probe_rtt: Duration::from_millis(300),
            indirect_probes: 3,
            suspicion: Duration::from_secs(4),
            suspicion_grows: true,
            suspicion_with_evidence: Duration::from_millis(1_500),
            gossip_period: Duration::from_millis(200),
            gossip_fanout: 3,
            announce_down_period: Duration::from_secs(15),
            announce_down_fanout: 3,
            announce_retry: Duration::from_millis(500),
            exchange_period: Duration::from_secs(10),
            gone_after: Duration::from_secs(30),
            autoclean_after: Duration::from_secs(24 * 3_600),
            forget_down_after: Duration::from_secs(72 * 3_600),
        }
    }

    /// For nodes across the internet, with round trips below a second: a death is seen after 25 to 30 seconds, or after
    /// 6 with evidence from the links, and bursts of loss are sat out.
    #[must_use]
    pub fn wan() -> Self {
        Self {
            probe_period: Duration::from_secs(3),
            probe_rtt: Duration::from_secs(1),
            suspicion: Duration::from_secs(20),
            suspicion_grows: false,
            suspicion_with_evidence: Duration::from_secs(5),
            gossip_period: Duration::from_millis(500),
            gossip_fanout: 4,
            announce_retry: Duration::from_secs(2),
            ..Self::lan()
        }
    }

    /// For nodes on one machine: everything that waits for a network waits less, and `Gone` comes sooner. Too hasty for
    /// machines that sleep or are overloaded.
    #[must_use]
    pub fn local() -> Self {
        Self {
            probe_period: Duration::from_millis(500),
            probe_rtt: Duration::from_millis(150),
            suspicion: Duration::from_secs(2),
            suspicion_with_evidence: Duration::from_millis(800),
            gossip_period: Duration::from_millis(100),
            announce_down_period: Duration::from_secs(5),
            announce_retry: Duration::from_millis(200),
            exchange_period: Duration::from_secs(5),
            gone_after: Duration::from_secs(10),
            ..Self::lan()
        }
    }

    /// Checks that the values can work together.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (field, duration) in [
            ("probe_period", self.probe_period),
            ("probe_rtt", self.probe_rtt),
            ("suspicion", self.suspicion),
            ("suspicion_with_evidence", self.suspicion_with_evidence),
            ("gossip_period", self.gossip_period),
            ("announce_down_period", self.announce_down_period),
            ("announce_retry", self.announce_retry),
            ("exchange_period", self.exchange_period),
            ("gone_after", self.gone_after),
            ("autoclean_after", self.autoclean_after),
            ("forget_down_after", self.forget_down_after),
        ] {
            if duration.is_zero() {
                return Err(ConfigError::ZeroDuration { field });
            }
            if duration > Self::DURATION_MAX {
                return Err(ConfigError::TooLong { field });
            }
        }
        for (field, fanout) in [
            ("indirect_probes", self.indirect_probes),
            ("gossip_fanout", self.gossip_fanout),
            ("announce_down_fanout", self.announce_down_fanout),
        ] {
            if !(1..=Self::FANOUT_MAX).contains(&fanout) {
                return Err(ConfigError::Fanout { field });
            }
        }
        if self.probe_rtt * 2 >= self.probe_period {
            return Err(ConfigError::RoundTrip);
        }
        Ok(())
    }

    /// How long a suspect may take to refute in a cluster of this size.
    ///
    /// hashicorp/memberlist multiplies by log10 of the size, since its suspects hear of the suspicion by gossip alone.
    /// Here everybody who has heard of it tells the suspect over its own link and is answered there, so that only the
    /// rounds of gossip are to be added.
    #[must_use]
    pub fn suspicion_at(&self, size: usize) -> Duration {
        const FLAT_UP_TO: f64 = 10.0;
        if !self.suspicion_grows {
            return self.suspicion;
        }
        let size = f64::from(u32::try_from(size).unwrap_or(u32::MAX));
        self.suspicion + self.gossip_period.mul_f64((size / FLAT_UP_TO).log2().max(0.0))
    }

    /// How much too late a timer may fire before the node takes itself for one that was paused, and judges nobody by
    /// what it missed: a probe that is overdue by more may have been answered long ago.
    pub(crate) fn pause_min(&self) -> Duration {
        self.probe_period
    }

    /// The detector's own configuration in a cluster of this size, where suspects get so many times the usual time.
    pub(crate) fn for_detector(&self, size: usize, patience: u32) -> foca::Config {
        let periodic =
            |frequency, count| Some(foca::PeriodicParams { frequency, num_members: at_least_one(count) });
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: at_least_one(self.indirect_probes),
            max_transmissions: transmissions(size),
            suspect_to_down_after: self.suspicion_at(size) * patience,
            remove_down_after: Some(self.forget_down_after),
            max_packet_size: at_least_one(DATAGRAM_BYTES_MAX - DATAGRAM_ENVELOPE_BYTES),
            notify_down_members: true,
            periodic_announce: None,
            periodic_announce_to_down_members: periodic(self.announce_down_period, self.announce_down_fanout),
            periodic_gossip: periodic(self.gossip_period, self.gossip_fanout),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::lan()
    }
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

/// How often each piece of news is sent: 4 × the number of decimal digits of the size, the factor and the shape that
/// hashicorp/memberlist found to reach everybody.
fn transmissions(size: usize) -> NonZeroU8 {
    let digits = size.max(1).ilog10() + 1;
    u8::try_from(4 * digits).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_work() {
        for preset in [Config::lan(), Config::wan(), Config::local()] {
            assert_eq!(preset.check(), Ok(()));
        }
    }

    #[test]
    fn refusals_name_the_field() {
        let zero = Config { gone_after: Duration::ZERO, ..Config::lan() };
        assert_eq!(zero.check(), Err(ConfigError::ZeroDuration { field: "gone_after" }));
        let endless = Config { suspicion: Duration::MAX, ..Config::lan() };
        assert_eq!(endless.check(), Err(ConfigError::TooLong { field: "suspicion" }));
        let silent = Config { gossip_fanout: 0, ..Config::lan() };
        assert_eq!(silent.check(), Err(ConfigError::Fanout { field: "gossip_fanout" }));
        let slow = Config { probe_rtt: Duration::from_millis(500), ..Config::lan() };
        assert_eq!(slow.check(), Err(ConfigError::RoundTrip));
    }

    #[test]
    fn a_larger_cluster_waits_longer_and_tells_more_often() {
        assert_eq!(Config::lan().suspicion_at(3), Duration::from_secs(4));
        assert_eq!(Config::lan().suspicion_at(10), Duration::from_secs(4));
        assert_eq!(Config::lan().suspicion_at(40), Duration::from_millis(4_400));
        assert_eq!(Config::wan().suspicion_at(100), Duration::from_secs(20));
        assert_eq!([1, 9, 10, 128].map(|size| transmissions(size).get()), [4, 4, 8, 12]);
    }
}
