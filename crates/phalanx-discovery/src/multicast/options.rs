//! What a user may choose.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The port of both groups: the default port of nodes and 10,000, so that nodes on 7000, 7001 and so on of the same machine do
/// not meet it.
const PORT: u16 = 17_000;

/// In the IPv4 Local Scope (RFC 2365, section 6.1), which no router carries out of a site and nobody registers; `ph` in ASCII.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, b'p', b'h');

/// Of link-local scope, which no router carries at all, and transient (RFC 4291, section 2.7), since it is not registered:
/// `ff02::` with the flag for that. `phlx` in ASCII.
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x7068, 0x6c78);

/// The shortest and the longest interval: a storm is nobody's wish, and who is heard once a minute is found too late.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(100);
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Whether a node speaks, listens, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MulticastMode {
    /// It sends beacons and hears others: for control nodes.
    #[default]
    Both,
    /// It sends beacons only, and finds nobody. Questions are not heard either, so that it is found by its next beacon.
    Announce,
    /// It hears others only: for workers.
    Listen,
}

/// Why a text is not a [`MulticastMode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write both, announce or listen")]
pub struct MulticastModeError;

impl MulticastMode {
    pub(super) fn listens(self) -> bool {
        self != Self::Announce
    }

    pub(super) fn announces(self) -> bool {
        self != Self::Listen
    }
}

impl FromStr for MulticastMode {
    type Err = MulticastModeError;

    fn from_str(text: &str) -> Result<Self, MulticastModeError> {
        match text {
            "both" => Ok(Self::Both),
            "announce" => Ok(Self::Announce),
            "listen" => Ok(Self::Listen),
            _ => Err(MulticastModeError),
        }
    }
}

impl fmt::Display for MulticastMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Both => "both",
            Self::Announce => "announce",
            Self::Listen => "listen",
        })
    }
}

/// All that a user may choose.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) groups: Vec<SocketAddr>,
    /// Names or IP addresses; none for all.
    pub(super) interfaces: Vec<String>,
    pub(super) hops_max: u8,
    pub(super) loops: bool,
    pub(super) interval: Duration,
    pub(super) mode: MulticastMode,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            groups: vec![(GROUP_V4, PORT).into(), (GROUP_V6, PORT).into()],
            interfaces: Vec::new(),
            hops_max: 1,
            loops: true,
            interval: Duration::from_secs(5),
            mode: MulticastMode::Both,
        }
    }
}

/// Why addresses are no groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GroupError {
    #[error("{0} is not a multicast group: write one such as {GROUP_V4} or [{GROUP_V6}]")]
    NotMulticast(IpAddr),
    #[error("two groups of one family: give one of IPv4, one of IPv6, or both")]
    Twice,
}

/// Takes one group of each family, with a port where one is given.
pub(super) fn groups(given: &[(IpAddr, Option<u16>)]) -> Result<Vec<SocketAddr>, GroupError> {
    let mut groups: Vec<SocketAddr> = Vec::new();
    for (ip, port) in given {
        if !ip.is_multicast() {
            return Err(GroupError::NotMulticast(*ip));
        }
        if groups.iter().any(|group| group.is_ipv4() == ip.is_ipv4()) {
            return Err(GroupError::Twice);
        }
        groups.push((*ip, port.unwrap_or(PORT)).into());
    }
    if groups.is_empty() { Ok(Options::default().groups) } else { Ok(groups) }
}
