//! The machine in an address: an IP address or a DNS name.
//!
//! A name is checked here, once and completely, so that whoever holds a [`DnsName`] can hand it to a resolver
//! or to TLS without asking again. What looks like a number but is no IPv4 address (`10.0.0.256`, `1.2.3`) is
//! refused instead of being looked up: some resolvers read such texts as addresses that nobody meant.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The machine in an [`Address`](crate::Address).
///
/// As a text an IPv6 address stands in brackets: `[::1]`. Zone ids (`fe80::1%eth0`) are refused, because they
/// mean something on one machine only while addresses travel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name.
    Name(DnsName),
}

/// A host name after RFC 1123: labels of letters, digits and inner hyphens with dots between them, in lower
/// case.
///
/// A final dot, which keeps a resolver from trying its search list, is allowed and kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

/// Why a text is not a [`Host`] or a [`DnsName`]. Positions are bytes from the start of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no host.
    #[error("the host is empty: give an IPv4 address, an [IPv6] address or a name")]
    Empty,
    /// The name is longer than [`DnsName::LENGTH_MAX`], its final dot not counted.
    #[error("a host name of {length} bytes is longer than {}", DnsName::LENGTH_MAX)]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Two dots meet, or the name begins with one.
    #[error("nothing stands before the dot at byte {at} of the host")]
    EmptyLabel {
        /// Where the label should be.
        at: usize,
    },
    /// A part between dots is longer than [`DnsName::LABEL_LENGTH_MAX`].
    #[error("the part at byte {at} of the host has {length} bytes, more than {}", DnsName::LABEL_LENGTH_MAX)]
    LabelTooLong {
        /// Where the part begins.
        at: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// A part between dots begins or ends with a hyphen.
    #[error("the hyphen at byte {at} of the host begins or ends a part of the name")]
    EdgeHyphen {
        /// Where the hyphen is.
        at: usize,
    },
    /// A character that no host may have.
    #[error("{found:?} at byte {at} of the host: only a-z, 0-9, '-' and '.' are allowed")]
    Forbidden {
        /// The character.
        found: char,
        /// Where it is.
        at: usize,
    },
    /// The last part is a number, but the whole is no IPv4 address.
    #[error("the host ends in a number but is not an IPv4 address: write four numbers up to 255, or a name")]
    NotIpv4,
    /// What stands in the brackets is no IPv6 address.
    #[error("what stands in the brackets is not an IPv6 address (zone ids are not allowed)")]
    NotIpv6,
    /// An IPv6 address without brackets.
    #[error("an IPv6 address needs brackets: write [::1], not ::1")]
    Ipv6WithoutBrackets,
}

impl Host {
    fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::NotIpv6)?;
            return inner.parse::<Ipv6Addr>().map(Self::from).map_err(|_| HostError::NotIpv6);
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::from(ip));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::Ipv6WithoutBrackets);
        }
        DnsName::new(text).map(Self::Name)
    }

    /// The IP address, where this is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

impl DnsName {
    /// The greatest length in bytes without a final dot (RFC 1035: 255 on the wire).
    pub const LENGTH_MAX: usize = 253;
    /// The greatest length of a part between dots, in bytes (RFC 1035).
    pub const LABEL_LENGTH_MAX: usize = 63;

    /// Checks a name and takes it in lower case.
    ///
    /// # Errors
    /// [`HostError`] says what is wrong and where.
    pub fn new(name: &str) -> Result<Self, HostError> {
        let relative = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if relative.len() > Self::LENGTH_MAX {
            return Err(HostError::TooLong { length: relative.len() });
        }
        let mut at = 0;
        let mut last = "";
        for label in relative.split('.') {
            check_label(label, at)?;
            at += label.len() + 1;
            last = label;
        }
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HostError::NotIpv4);
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks one part between dots, which begins at byte `at` of the name.
fn check_label(label: &str, at: usize) -> Result<(), HostError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if let Some((inside, found)) = label.char_indices().find(|(_, c)| !allowed(*c)) {
        return Err(HostError::Forbidden { found, at: at + inside });
    }
    if label.is_empty() {
        return Err(HostError::EmptyLabel { at });
    }
    if label.len() > DnsName::LABEL_LENGTH_MAX {
        return Err(HostError::LabelTooLong { at, length: label.len() });
    }
    if label.starts_with('-') {
        return Err(HostError::EdgeHyphen { at });
    }
    if label.ends_with('-') {
        return Err(HostError::EdgeHyphen { at: at + label.len() - 1 });
    }
    Ok(())
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl From<Ipv6Addr> for Host {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl From<DnsName> for Host {
    fn from(name: DnsName) -> Self {
        Self::Name(name)
    }
}

impl FromStr for Host {
    type Err = HostError;
    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;
    fn try_from(text: String) -> Result<Self, HostError> {
        Self::parse(&text)
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => f.pad(&format!("[{ip}]")),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for DnsName {
    type Err = HostError;
    fn from_str(name: &str) -> Result<Self, HostError> {
        Self::new(name)
    }
}

impl TryFrom<String> for DnsName {
    type Error = HostError;
    fn try_from(name: String) -> Result<Self, HostError> {
        Self::new(&name)
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl AsRef<str> for DnsName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> HostError {
        text.parse::<Host>().expect_err(text)
    }

    #[test]
    fn hosts_of_each_kind_are_known() {
        assert_eq!("10.0.0.5".parse(), Ok(Host::from(Ipv4Addr::new(10, 0, 0, 5))));
        assert_eq!("[::1]".parse(), Ok(Host::from(Ipv6Addr::LOCALHOST)));
        assert_eq!("Control-1.Example.COM.".parse::<Host>().unwrap().to_string(), "control-1.example.com.");
        assert_eq!("4u.example".parse::<Host>().unwrap().to_string(), "4u.example");
    }

    #[test]
    fn refusals_say_where_and_what() {
        assert_eq!(refusal(""), HostError::Empty);
        assert_eq!(refusal("."), HostError::EmptyLabel { at: 0 });
        assert_eq!(refusal("a..b"), HostError::EmptyLabel { at: 2 });
        assert_eq!(refusal("ab._tcp"), HostError::Forbidden { found: '_', at: 3 });
        assert_eq!(refusal("bücher.example"), HostError::Forbidden { found: 'ü', at: 1 });
        assert_eq!(refusal("a.-b"), HostError::EdgeHyphen { at: 2 });
        assert_eq!(refusal("a.b-.c"), HostError::EdgeHyphen { at: 3 });
        assert_eq!(refusal("10.0.0.256"), HostError::NotIpv4);
        assert_eq!(refusal("1.2.3"), HostError::NotIpv4);
        assert_eq!(refusal("[10.0.0.1]"), HostError::NotIpv6);
        assert_eq!(refusal("[fe80::1%eth0]"), HostError::NotIpv6);
        assert_eq!(refusal("[::1"), HostError::NotIpv6);
        assert_eq!(refusal("::1"), HostError::Ipv6WithoutBrackets);
    }

    #[test]
    fn lengths_end_where_the_rfc_says() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), DnsName::LENGTH_MAX);
        assert!(DnsName::new(&longest).is_ok());
        assert!(DnsName::new(&format!("{longest}.")).is_ok());
        assert_eq!(DnsName::new(&format!("{longest}a")), Err(HostError::TooLong { length: 254 }));
        assert_eq!(DnsName::new(&format!("b.{label}a")), Err(HostError::LabelTooLong { at: 2, length: 64 }));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,40}|[a-zA-Z0-9.:\\[\\]-]{0,40}") {
            if let Ok(host) = text.parse::<Host>() {
                prop_assert_eq!(host.to_string().parse::<Host>(), Ok(host));
            }
        }

        #[test]
        fn every_ip_is_a_host(ip: IpAddr) {
            let host = Host::from(ip);
            prop_assert_eq!(host.to_string().parse::<Host>(), Ok(host));
        }

        #[test]
        fn serde_refuses_what_the_parser_refuses(text in "[a-z0-9.:\\[\\]_-]{0,20}") {
            let bytes = postcard::to_stdvec(&text).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Host>(&bytes).ok(), text.parse().ok());
        }
    }
}
