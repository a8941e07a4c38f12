//! What the tests' domains say.

use std::fmt::Write;

/// Services of every kind, good and bad.
const SERVICES: &str = r#"
$TTL 60
@ SOA ns hostmaster 1 60 60 60 1
@ NS ns
ns A 10.1.0.53
node-1 A 10.1.0.1
node-1 AAAA 2001:db8::1
node-2 A 10.1.0.2
node-3 AAAA 2001:db8::3

chain NAPTR 20 10 "s" "phx+d2t" "" _tls-way.odd-7
chain NAPTR 10 20 "S" "PHX+D2W" "" web_9
chain NAPTR 10 10 "s" "phx+d2q" "" _quic._odd
chain NAPTR 5 5 "s" "SIP+D2U" "" _sip._udp
chain NAPTR 6 5 "u" "phx+d2q" "!^.*$!phalanx://x!" .
chain NAPTR 30 1 "a" "phx+d2q" "" node-2
chain A 10.1.0.66
_quic._odd SRV 20 0 7002 node-2
_quic._odd SRV 10 0 7001 node-1
web_9 SRV 1 1 443 node-2
_tls-way.odd-7 SRV 1 1 7443 node-3
_sip._udp SRV 1 1 5060 node-1

_phx._udp.direct SRV 2 1 7002 node-2
_phx._udp.direct SRV 1 1 7001 node-1
_phx._tcp.direct SRV 1 1 7443 node-1
direct A 10.1.0.66
_phx._udp.alias CNAME _phx._udp.direct

plain A 10.1.0.7
plain AAAA 2001:db8::7

_phx._udp.denied SRV 0 0 0 .
denied A 10.1.0.66
_phx._udp.tcp-only SRV 0 0 0 .
_phx._tcp.tcp-only SRV 1 1 7443 node-2

_phx._udp.partial SRV 1 1 7001 gone
_phx._udp.partial SRV 2 1 7002 ns.broken.test.
_phx._udp.partial SRV 3 1 7003 node-2

_phx._udp.garbage SRV 1 1 7001 a\032b
_phx._udp.garbage SRV 1 1 7001 10.0.0.1.
_phx._udp.garbage SRV 1 1 7001 _x
_phx._udp.garbage SRV 1 1 0 node-1
_phx._udp.garbage SRV 2 1 7002 node-2
garbage NAPTR 1 1 "s" "phx+d2q" "" a\032b
garbage NAPTR 1 1 "\255\001" "\"" "\\" \000.x
garbage NAPTR 1 1 "" "" "" .

_phx._udp.weights SRV 1 90 1 node-2
_phx._udp.weights SRV 1 10 2 node-2
_phx._udp.weights SRV 1 0 3 node-2
_phx._udp.weights SRV 2 65535 4 node-2
"#;

/// Pods of Kubernetes, as its DNS names them.
pub(crate) const CLUSTER: &str = r#"
$TTL 5
@ SOA ns.dns hostmaster 1 60 60 60 1
@ NS ns.dns
ns.dns A 10.96.0.10
control.media.svc A 10.1.0.1
control.media.svc A 10.1.0.2
_phalanx._udp.control.media.svc SRV 0 50 7001 10-1-0-1.control.media.svc
_phalanx._udp.control.media.svc SRV 0 50 7001 10-1-0-2.control.media.svc
10-1-0-1.control.media.svc A 10.1.0.1
10-1-0-2.control.media.svc A 10.1.0.2
bare.media.svc A 10.1.0.3
"#;

/// How many addresses and how many services the large names have: more than a datagram holds, and than we take.
pub(crate) const LARGE: usize = 600;

/// The zone `example.test`.
pub(crate) fn services() -> String {
    let mut zone = SERVICES.to_owned();
    for number in 0..LARGE {
        let (high, low) = (number / 250, number % 250 + 1);
        writeln!(zone, "large A 10.2.{high}.{low}").expect("a text takes all");
        writeln!(zone, "_phx._udp.large SRV 1 1 7001 large-{number}").expect("a text takes all");
        writeln!(zone, "large-{number} A 10.2.{high}.{low}").expect("a text takes all");
    }
    zone
}
