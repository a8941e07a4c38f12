//! What a domain says of its services. Names are kept as texts, as a zone file has them: what is wrong with them is for who
//! uses a record to find out, and for people to read.

use std::fmt;

/// Where a service is (RFC 2782). It is printed as in a zone file: `10 50 7001 node-1.example.org.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SrvRecord {
    /// The lowest is dialled first.
    pub priority: u16,
    /// The share of the calls among records of one priority.
    pub weight: u16,
    /// The port of the service.
    pub port: u16,
    /// The machine; `.` says that the service is decidedly not there.
    pub target: String,
}

impl SrvRecord {
    /// Whether this says that the service is decidedly not there.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.target == "."
    }
}

impl fmt::Display for SrvRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.priority, self.weight, self.port, self.target)
    }
}

/// Where to look for a service (RFC 3403). It is printed as in a zone file:
/// `10 50 "s" "phx+d2q" "" _phx._udp.example.org.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NaptrRecord {
    /// The lowest is used first.
    pub order: u16,
    /// The lowest of one order is used first.
    pub preference: u16,
    /// What comes next: `s` for SRV, `a` for addresses.
    pub flags: String,
    /// Which service, over what.
    pub services: String,
    /// A rewriting rule; it stands instead of the replacement.
    pub regexp: String,
    /// The next name to ask; `.` where there is a rule.
    pub replacement: String,
}

impl fmt::Display for NaptrRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, preference, flags, services, regexp, replacement } = self;
        write!(f, "{order} {preference} {flags:?} {services:?} {regexp:?} {replacement}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_printed_as_in_a_zone_file() {
        let srv =
            SrvRecord { priority: 10, weight: 50, port: 7001, target: "node-1.example.org.".to_owned() };
        assert_eq!(srv.to_string(), "10 50 7001 node-1.example.org.");
        assert!(!srv.is_denial() && SrvRecord { target: ".".to_owned(), ..srv }.is_denial());
        let naptr = NaptrRecord {
            order: 1,
            preference: 2,
            flags: "s".to_owned(),
            services: "phx+d2q".to_owned(),
            regexp: "!\"\n!".to_owned(),
            replacement: "_q.example.org.".to_owned(),
        };
        assert_eq!(naptr.to_string(), "1 2 \"s\" \"phx+d2q\" \"!\\\"\\n!\" _q.example.org.");
    }
}
