//! Where a node is reached: `phalanx://host:port;transport=quic`.
//!
//! One text form serves people, configuration and the wire, so that an address that arrives from the network
//! goes through the same checks as one that a user typed. Parameters that this version does not know are
//! refused by name instead of being dropped: an address that asks for something is not the same place without
//! it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Host, HostError};

/// What carries a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TransportKind {
    /// QUIC over UDP.
    Quic,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TLS over TCP.
    WebSocket,
}

impl TransportKind {
    /// All of them, the preferred one first.
    pub const ALL: [TransportKind; 3] = [TransportKind::Quic, TransportKind::Tls, TransportKind::WebSocket];

    /// The word for it in an address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tls => "tls",
            Self::WebSocket => "wss",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a node is reached.
///
/// The text is `phalanx://host`, then `:port` and `;transport=quic` where they are given. The scheme may be
/// left out (`10.0.0.5:7000`) and is always printed. Parsing what was printed gives the same address back; so a
/// port that was left out stays out, and `a` and `a:7000` are two values for the same place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: Host,
    port: Option<u16>,
    transport: Option<TransportKind>,
}

/// Why a text is not an [`Address`]. Positions are bytes from the start of the text (in a list: of the whole
/// list).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is nothing at all.
    #[error("the address at byte {at} is empty: write phalanx://host:port")]
    Empty {
        /// Where it should be.
        at: usize,
    },
    /// The text is longer than [`Address::LENGTH_MAX`].
    #[error("the address at byte {at} has {length} bytes, more than {}", Address::LENGTH_MAX)]
    TooLong {
        /// Where it begins.
        at: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// Another scheme than `phalanx`.
    #[error("unknown scheme {found:?} at byte {at}: write {}:// or leave it out", Address::SCHEME)]
    Scheme {
        /// The scheme.
        found: String,
        /// Where it begins.
        at: usize,
    },
    /// The host is wrong.
    #[error("bad host at byte {at}: {reason}")]
    Host {
        /// Where it begins.
        at: usize,
        /// What is wrong with it.
        reason: HostError,
    },
    /// What stands after the colon is not a port.
    #[error("{found:?} at byte {at} is not a port: write a number up to 65535")]
    Port {
        /// What stands there.
        found: String,
        /// Where it begins.
        at: usize,
    },
    /// A `;` without a `key=value` after it.
    #[error("{found:?} at byte {at} is not a parameter: write key=value")]
    Parameter {
        /// What stands there.
        found: String,
        /// Where it begins.
        at: usize,
    },
    /// A parameter that this version does not know.
    #[error("unknown parameter {name:?} at byte {at}: this version knows \"transport\" only")]
    UnknownParameter {
        /// Its name.
        name: String,
        /// Where it begins.
        at: usize,
    },
    /// A parameter stands there twice.
    #[error("parameter {name:?} at byte {at} is given a second time: give it once")]
    RepeatedParameter {
        /// Its name.
        name: String,
        /// Where its repeat begins.
        at: usize,
    },
    /// A transport that this version does not know.
    #[error("unknown transport {found:?} at byte {at}: this version knows \"quic\", \"tls\" and \"wss\"")]
    UnknownTransport {
        /// What stands there.
        found: String,
        /// Where it begins.
        at: usize,
    },
}

impl Address {
    /// The scheme, which stands before `://`.
    pub const SCHEME: &'static str = "phalanx";
    /// The port of an address that gives none.
    pub const DEFAULT_PORT: u16 = 7000;
    /// The greatest length of the text in bytes: room for the longest name with every parameter, and no more,
    /// since addresses arrive from the network and are quoted in errors.
    pub const LENGTH_MAX: usize = 320;

    /// The address of a port on a host, over any transport.
    ///
    /// Port 0 stands for *any* port: one can listen on it but not dial it.
    #[must_use]
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port: Some(port), transport: None }
    }

    /// The same address over this transport only.
    #[must_use]
    pub fn with_transport(self, transport: TransportKind) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// The machine.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port: the given one, or else [`Address::DEFAULT_PORT`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(Self::DEFAULT_PORT)
    }

    /// The port, where one was given.
    #[must_use]
    pub fn explicit_port(&self) -> Option<u16> {
        self.port
    }

    /// The one transport to use, or `None` where the dialler may choose.
    #[must_use]
    pub fn transport(&self) -> Option<TransportKind> {
        self.transport
    }

    /// The socket's address, where the host is an IP address and needs no look-up.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.host.ip().map(|ip| SocketAddr::new(ip, self.port()))
    }

    /// Parses the text of one address, which begins at byte `at` of what the user gave.
    pub(crate) fn parse_at(text: &str, at: usize) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty { at });
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(AddressError::TooLong { at, length: text.len() });
        }
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(Self::SCHEME) => rest,
            Some((scheme, _)) => return Err(AddressError::Scheme { found: scheme.to_owned(), at }),
        };
        let at = at + text.len() - rest.len();
        let (authority, parameters) = match rest.split_once(';') {
            None => (rest, None),
            Some((authority, parameters)) => (authority, Some(parameters)),
        };
        let (host, port) = parse_authority(authority, at)?;
        let transport = match parameters {
            None => None,
            Some(parameters) => parse_parameters(parameters, at + authority.len() + 1)?,
        };
        Ok(Self { host, port, transport })
    }
}

/// Parses `host` or `host:port`.
fn parse_authority(authority: &str, at: usize) -> Result<(Host, Option<u16>), AddressError> {
    // In brackets colons belong to the host; elsewhere only an IPv6 address that lacks them has two.
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = authority[host_end..].find(':').map(|colon| host_end + colon);
    let (host, port) = match colon {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    };
    let bad_host = |reason| AddressError::Host { at, reason };
    if port.is_some_and(|port| port.contains(':')) {
        return Err(bad_host(HostError::Ipv6WithoutBrackets));
    }
    let port = port.map(|port| parse_port(port, at + host.len() + 1));
    Ok((host.parse().map_err(bad_host)?, port.transpose()?))
}

/// Parses a port: digits only, since `u16::from_str` would take a plus sign too.
fn parse_port(text: &str, at: usize) -> Result<u16, AddressError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.ok_or_else(|| AddressError::Port { found: text.to_owned(), at })
}

/// Parses `key=value;key=value`, which begins at byte `at`.
fn parse_parameters(text: &str, mut at: usize) -> Result<Option<TransportKind>, AddressError> {
    let mut transport = None;
    for parameter in text.split(';') {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(AddressError::Parameter { found: parameter.to_owned(), at });
        };
        if name != "transport" {
            return Err(AddressError::UnknownParameter { name: name.to_owned(), at });
        }
        if transport.is_some() {
            return Err(AddressError::RepeatedParameter { name: name.to_owned(), at });
        }
        let known = TransportKind::ALL.into_iter().find(|kind| kind.as_str() == value);
        let value_at = at + name.len() + 1;
        transport = Some(
            known.ok_or_else(|| AddressError::UnknownTransport { found: value.to_owned(), at: value_at })?,
        );
        at += parameter.len() + 1;
    }
    Ok(transport)
}

impl From<SocketAddr> for Address {
    /// The flow label and the scope of an IPv6 socket address are left out: they mean nothing on another
    /// machine.
    fn from(socket: SocketAddr) -> Self {
        Self::new(Host::Ip(socket.ip()), socket.port())
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from((ip, port): (IpAddr, u16)) -> Self {
        Self::new(Host::Ip(ip), port)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse_at(text, 0)
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;
    fn try_from(text: &str) -> Result<Self, AddressError> {
        Self::parse_at(text, 0)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse_at(&text, 0)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        let mut text = format!("{}://{}", Address::SCHEME, address.host);
        if let Some(port) = address.port {
            text.push_str(&format!(":{port}"));
        }
        if let Some(transport) = address.transport {
            text.push_str(";transport=");
            text.push_str(transport.as_str());
        }
        text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from(self.clone()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Addresses of every kind that there is.
    pub(crate) fn any_address() -> impl Strategy<Value = Address> {
        let name = "[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,6}[a-z0-9])?){1,3}\\.?";
        let host =
            prop_oneof![any::<IpAddr>().prop_map(Host::from), name.prop_map(|name| name.parse().unwrap())];
        (host, any::<Option<u16>>(), proptest::option::of(proptest::sample::select(&TransportKind::ALL[..])))
            .prop_map(|(host, port, transport)| Address { host, port, transport })
    }

    fn address(text: &str) -> Address {
        text.parse().expect(text)
    }

    fn refusal(text: &str) -> AddressError {
        text.parse::<Address>().expect_err(text)
    }

    #[test]
    fn the_scheme_may_be_left_out_and_is_printed() {
        assert_eq!(address("10.0.0.5:7000").to_string(), "phalanx://10.0.0.5:7000");
        assert_eq!(address("PHALANX://Control-1"), address("control-1"));
        assert_eq!(address("[::1]").to_string(), "phalanx://[::1]");
        let whole = "phalanx://10.0.0.5:7000;transport=quic";
        assert_eq!(address(whole).to_string(), whole);
        assert_eq!(format!("{:>20}|", address("a:1")), "       phalanx://a:1|");
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let short = address("control-1");
        assert_eq!((short.port(), short.explicit_port(), short.transport()), (7000, None, None));
        assert_eq!(short.socket_addr(), None);
        let long = address("[fe80::1]:9;transport=quic");
        assert_eq!(long.socket_addr(), "[fe80::1]:9".parse().ok());
        assert_eq!(long.transport(), Some(TransportKind::Quic));
        assert_eq!(address("10.0.0.5").socket_addr(), "10.0.0.5:7000".parse().ok());
    }

    #[test]
    fn refusals_say_where_and_what() {
        let text = str::to_owned;
        assert_eq!(refusal(""), AddressError::Empty { at: 0 });
        assert_eq!(refusal("http://a"), AddressError::Scheme { found: text("http"), at: 0 });
        assert_eq!(refusal("phalanx://"), AddressError::Host { at: 10, reason: HostError::Empty });
        assert_eq!(refusal("::1"), AddressError::Host { at: 0, reason: HostError::Ipv6WithoutBrackets });
        assert_eq!(refusal("[::1]x:1"), AddressError::Host { at: 0, reason: HostError::NotIpv6 });
        assert_eq!(refusal("a:"), AddressError::Port { found: text(""), at: 2 });
        assert_eq!(refusal("a:65536"), AddressError::Port { found: text("65536"), at: 2 });
        assert_eq!(refusal("a:+7"), AddressError::Port { found: text("+7"), at: 2 });
        assert_eq!(refusal("a:1/"), AddressError::Port { found: text("1/"), at: 2 });
        assert_eq!(refusal("a:1;"), AddressError::Parameter { found: text(""), at: 4 });
        assert_eq!(refusal("a;b=c"), AddressError::UnknownParameter { name: text("b"), at: 2 });
        assert_eq!(
            refusal("a;transport=quic;transport=quic"),
            AddressError::RepeatedParameter { name: text("transport"), at: 17 }
        );
        assert_eq!(refusal("a;transport=tcp"), AddressError::UnknownTransport { found: text("tcp"), at: 12 });
        let length = Address::LENGTH_MAX + 1;
        assert_eq!(refusal(&"a".repeat(length)), AddressError::TooLong { at: 0, length });
        assert_eq!(
            refusal("a;b=c").to_string(),
            "unknown parameter \"b\" at byte 2: this version knows \"transport\" only"
        );
    }

    #[test]
    fn the_longest_address_fits_its_cap() {
        let label = "a".repeat(63);
        let name = format!("{label}.{label}.{label}.{}.", "a".repeat(61));
        let longest = format!("phalanx://{name}:65535;transport=quic");
        assert!(longest.len() <= Address::LENGTH_MAX);
        assert_eq!(address(&longest).to_string(), longest);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(
            text in "\\PC{0,40}|(phalanx://)?[a-zA-Z0-9.:\\[\\]-]{0,20}(:[0-9]{0,5})?(;transport=quic)?"
        ) {
            if let Ok(address) = text.parse::<Address>() {
                let printed = address.to_string();
                prop_assert_eq!(printed.parse::<Address>(), Ok(address.clone()));
                prop_assert_eq!(address.to_string(), printed);
            }
        }

        #[test]
        fn every_address_survives_its_text_and_the_wire(address in any_address()) {
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address.clone()));
            let bytes = postcard::to_stdvec(&address).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Address>(&bytes), Ok(address));
        }

        #[test]
        fn every_socket_address_is_an_address(ip: IpAddr, port: u16) {
            let socket = SocketAddr::new(ip, port);
            prop_assert_eq!(Address::from(socket).socket_addr(), Some(socket));
            prop_assert_eq!(Address::from(socket), socket.to_string().parse::<Address>().unwrap());
        }

        #[test]
        fn serde_refuses_what_the_parser_refuses(text in "\\PC{0,20}|[a-z0-9.:;=-]{0,20}") {
            let bytes = postcard::to_stdvec(&text).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Address>(&bytes).ok(), text.parse().ok());
        }
    }
}
