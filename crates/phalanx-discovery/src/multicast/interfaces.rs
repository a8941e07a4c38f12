//! Over which interfaces to speak and listen.
//!
//! The kernel's own choice is one interface, by its table of routes, which is the wrong one on many machines, and none where
//! there is no default route. So each interface is named to the kernel, with a socket of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most interfaces that are used where none is named: those with the lowest numbers, which are the machine's own, before
/// those of its containers.
const INTERFACES_MAX: usize = 16;

const LOOPBACK: &str = "lo";
/// Duplicate address detection goes on, or has failed: nothing can be sent from there (`IFA_F_TENTATIVE`, `IFA_F_DADFAILED`).
const UNUSABLE_FLAGS: u32 = 0x40 | 0x08;

/// What to tell the kernel of an interface, for one family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    V4(u32),
    V4At(Ipv4Addr),
    V6(u32),
}

impl Way {
    /// The interface's number, where it is known.
    pub(super) fn index(self) -> u32 {
        match self {
            Self::V4(index) | Self::V6(index) => index,
            Self::V4At(_) => 0,
        }
    }

    pub(super) fn is_v4(self) -> bool {
        !matches!(self, Self::V6(_))
    }
}

/// Why there is no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InterfaceError {
    #[error(
        "the list of interfaces cannot be read ({0}); name an interface by its IPv4 address: interface=10.0.0.1"
    )]
    Unlisted(String),
    #[error("no interface {wanted:?} that is up and can do multicast; there are: {there}")]
    Unknown { wanted: String, there: String },
    #[error("no interface is up and can do multicast")]
    None,
}

/// The interfaces that are up and can do multicast.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Interfaces {
    v4: BTreeMap<u32, String>,
    v6: BTreeMap<u32, String>,
    v6_addresses: BTreeMap<Ipv6Addr, u32>,
}

impl Interfaces {
    /// Those of this process's network namespace.
    pub(super) fn list() -> Result<Self, InterfaceError> {
        let unlisted = |error: std::io::Error| InterfaceError::Unlisted(error.to_string());
        let v4 = std::fs::read_to_string("/proc/net/igmp").map_err(unlisted)?;
        // Missing where the kernel has no IPv6.
        let v6 = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        Ok(Self::parse(&v4, &v6))
    }

    /// Reads the kernel's lists: of IPv4 groups by interface, and of IPv6 addresses (proc(5)).
    fn parse(igmp: &str, if_inet6: &str) -> Self {
        let mut found = Self::default();
        // Lines that begin with white space are groups; the first line is a heading.
        for line in igmp.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
            let mut words = line.split_whitespace();
            if let (Some(Ok(index)), Some(name)) = (words.next().map(str::parse), words.next()) {
                found.v4.insert(index, name.trim_end_matches(':').to_owned());
            }
        }
        for line in if_inet6.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [address, index, _, _, flags, name] = words[..] else { continue };
            let number = |text| u32::from_str_radix(text, 16).ok();
            let address = u128::from_str_radix(address, 16).ok();
            let (Some(address), Some(index), Some(flags)) = (address, number(index), number(flags)) else {
                continue;
            };
            if flags & UNUSABLE_FLAGS == 0 {
                found.v6.insert(index, name.to_owned());
                found.v6_addresses.insert(Ipv6Addr::from_bits(address), index);
            }
        }
        found
    }

    /// The ways over the wanted interfaces, each a name or an IP address. Where none is named, over all but the loopback, and
    /// over the loopback where there is no other.
    pub(super) fn ways(&self, wanted: &[String]) -> Result<Vec<Way>, InterfaceError> {
        let mut ways = Vec::new();
        for wanted in wanted {
            let found = self.ways_of(wanted);
            if found.is_empty() {
                return Err(InterfaceError::Unknown {
                    wanted: wanted.clone(),
                    there: self.names().join(", "),
                });
            }
            ways.extend(found);
        }
        if wanted.is_empty() {
            ways = self.ways_where(|name| name != LOOPBACK);
            if ways.is_empty() {
                ways = self.ways_where(|name| name == LOOPBACK);
            }
        }
        if ways.is_empty() { Err(InterfaceError::None) } else { Ok(ways) }
    }

    fn ways_of(&self, wanted: &str) -> Vec<Way> {
        match wanted.parse() {
            Ok(IpAddr::V4(ip)) => vec![Way::V4At(ip)],
            Ok(IpAddr::V6(ip)) => {
                self.v6_addresses.get(&ip).map(|index| Way::V6(*index)).into_iter().collect()
            }
            Err(_) => self.ways_where(|name| name == wanted),
        }
    }

    fn ways_where(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<Way> {
        let of = |list: &BTreeMap<u32, String>, way: fn(u32) -> Way| {
            let wanted = list.iter().filter(|(_, name)| is_wanted(name)).take(INTERFACES_MAX);
            wanted.map(|(index, _)| way(*index)).collect::<Vec<_>>()
        };
        [of(&self.v4, Way::V4), of(&self.v6, Way::V6)].concat()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.v4.values().chain(self.v6.values()).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// For people: what a way leads over.
    pub(super) fn name(&self, way: Way) -> String {
        let known = match way {
            Way::V4At(ip) => return ip.to_string(),
            Way::V4(index) => self.v4.get(&index),
            Way::V6(index) => self.v6.get(&index),
        };
        known.cloned().unwrap_or_else(|| way.index().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IGMP: &str = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
        1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
        4\tenp0s31f6123:     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n";
    const IF_INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n\
        fd000000000000000000000000000002 04 40 00 80     enp0s31f6123\n\
        fe80000000000000000000000000000a 05 40 20 c0     eth1\n";

    fn ways(wanted: &[&str]) -> Result<Vec<Way>, InterfaceError> {
        let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        Interfaces::parse(IGMP, IF_INET6).ways(&wanted)
    }

    #[test]
    fn interfaces_are_chosen_by_name_by_address_and_by_themselves() {
        assert_eq!(ways(&[]), Ok(vec![Way::V4(4), Way::V6(4)]));
        assert_eq!(ways(&["lo"]), Ok(vec![Way::V4(1), Way::V6(1)]));
        assert_eq!(ways(&["10.0.0.1", "fd00::2"]), Ok(vec![Way::V4At([10, 0, 0, 1].into()), Way::V6(4)]));
        assert_eq!(Interfaces::parse("1 lo: 1 V3", "").ways(&[]), Ok(vec![Way::V4(1)]));
        assert_eq!(Interfaces::default().ways(&[]), Err(InterfaceError::None));
        // The third interface has an address that is not yet known to be its own.
        for wanted in ["eth1", "fe80::a", "eth9"] {
            let error = ways(&["lo", wanted]).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.ends_with("there are: enp0s31f6123, lo"), "{error}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback() {
        assert!(!Interfaces::list().unwrap().ways(&["lo".to_owned()]).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(v4 in "([0-9]{1,11}[\t: ][a-z: ]{0,9}\n?){0,4}|\\PC{0,40}", v6 in "([0-9a-f]{0,40} ?){0,9}\n?") {
            let found = Interfaces::parse(&v4, &v6);
            prop_assert!(found.ways(&[]).map_or(0, |ways| ways.len()) <= 2 * INTERFACES_MAX);
        }
    }
}
