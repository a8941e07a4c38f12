//! Which NAPTR records are for us, and what each tells to ask next.

use phalanx_base::{DnsName, TransportKind};

use crate::{NaptrRecord, RecordName};

/// How many records of one name are followed: several for each transport. Each costs a question.
const RULES_MAX: usize = 16;

/// What to ask next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// The SRV records of this name (flag `s`).
    Srv(TransportKind, RecordName),
    /// The addresses of this name (flag `a`).
    Addresses(TransportKind, DnsName),
}

/// What the records tell to ask, by order, then preference, then transport. Those of other services, of other flags, and with a
/// rewriting rule are left out (RFC 3403; RFC 3263 does the same for SIP).
///
/// A caller of one server would stop at the lowest order that it knows. Here the others follow: they are dialled only when
/// nobody answers at those before them.
pub(super) fn rules(records: &[NaptrRecord]) -> Vec<Rule> {
    let ranked = |record: &NaptrRecord| {
        let transport = transport(&record.services)?;
        let rule = rule(record, transport)?;
        Some(((record.order, record.preference, transport), rule))
    };
    let mut rules: Vec<_> = records.iter().filter_map(ranked).collect();
    rules.sort_by_key(|(rank, _)| *rank);
    let mut found = Vec::new();
    for (_, rule) in rules {
        if !found.contains(&rule) && found.len() < RULES_MAX {
            found.push(rule);
        }
    }
    found
}

fn transport(service: &str) -> Option<TransportKind> {
    let ways = [
        ("phx+d2q", TransportKind::Quic),
        ("phx+d2t", TransportKind::Tls),
        ("phx+d2w", TransportKind::WebSocket),
    ];
    ways.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, transport)| transport)
}

fn rule(record: &NaptrRecord, transport: TransportKind) -> Option<Rule> {
    if !record.regexp.is_empty() {
        return None;
    }
    match record.flags.as_str() {
        "s" | "S" => Some(Rule::Srv(transport, RecordName::new(&record.replacement).ok()?)),
        "a" | "A" => Some(Rule::Addresses(transport, DnsName::new(&record.replacement).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(
        (order, preference): (u16, u16),
        (flags, services, regexp): (&str, &str, &str),
        to: &str,
    ) -> NaptrRecord {
        let text = str::to_owned;
        NaptrRecord {
            order,
            preference,
            flags: text(flags),
            services: text(services),
            regexp: text(regexp),
            replacement: text(to),
        }
    }

    fn srv(transport: TransportKind, name: &str) -> Rule {
        Rule::Srv(transport, RecordName::new(name).unwrap())
    }

    #[test]
    fn rules_come_by_order_then_preference() {
        let records = [
            record((20, 1), ("s", "phx+d2q", ""), "last.test."),
            record((10, 50), ("S", "PHX+D2T", ""), "_odd.Third.test."),
            record((10, 10), ("s", "Phx+d2w", ""), "second.test."),
            record((10, 10), ("a", "phx+d2q", ""), "first.test."),
            record((10, 60), ("s", "PHX+d2t", ""), "_odd.third.test."),
        ];
        let first = Rule::Addresses(TransportKind::Quic, DnsName::new("first.test.").unwrap());
        let second = srv(TransportKind::WebSocket, "second.test.");
        let third = srv(TransportKind::Tls, "_odd.third.test.");
        assert_eq!(rules(&records), [first, second, third, srv(TransportKind::Quic, "last.test.")]);
    }

    #[test]
    fn what_is_for_others_is_left_out() {
        for other in [
            record((1, 1), ("s", "SIP+D2U", ""), "a.test."),
            record((1, 1), ("s", "phx+d2q:x", ""), "a.test."),
            record((1, 1), ("s", "", ""), "a.test."),
            record((1, 1), ("u", "phx+d2q", "!^.*$!phalanx://a!"), "."),
            record((1, 1), ("s", "phx+d2q", "!^.*$!b!"), "a.test."),
            record((1, 1), ("", "phx+d2q", ""), "a.test."),
            record((1, 1), ("p", "phx+d2q", ""), "a.test."),
            record((1, 1), ("s", "phx+d2q", ""), "."),
            record((1, 1), ("s", "phx+d2q", ""), "a\\032b.test."),
            record((1, 1), ("a", "phx+d2q", ""), "_a.test."),
        ] {
            assert_eq!(rules(std::slice::from_ref(&other)), [], "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_records_give_few_rules(
            records in proptest::collection::vec(
                (any::<u16>(), any::<u16>(), "[sSaAuU\\PC]{0,2}", "phx\\+d2[qtwx]|\\PC{0,8}", "[a-z.]{0,8}"),
                0..20,
            ),
        ) {
            let records: Vec<_> = records
                .iter()
                .map(|(order, preference, flags, services, to)| {
                    record((*order, *preference), (flags, services, ""), to)
                })
                .collect();
            prop_assert!(rules(&records).len() <= RULES_MAX);
        }
    }
}
