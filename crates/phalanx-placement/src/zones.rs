//! Which nodes may stand in for which: standbys stay away from the owner's failure zone, as far as zones allow.

use std::collections::BTreeMap;

/// The failure zone of each node, as a number; a node that names no zone is a zone of its own.
pub(crate) struct Zones {
    zone: Vec<usize>,
    /// How many nodes each zone has.
    sizes: Vec<usize>,
}

/// What a standby must differ in from the nodes that a partition has already, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Its zone is that of none of them.
    FreshZone,
    /// Its zone is not the owner's, who is the first of them.
    AwayFromOwner,
    /// It is none of them.
    OtherNode,
}

impl Zones {
    /// The zones by their names, one for each node; empty where a node names none.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut numbers = BTreeMap::new();
        let mut zones = Self { zone: Vec::new(), sizes: Vec::new() };
        for name in names {
            let fresh = zones.sizes.len();
            let number = if name.is_empty() { fresh } else { *numbers.entry(name).or_insert(fresh) };
            if number == fresh {
                zones.sizes.push(0);
            }
            zones.sizes[number] += 1;
            zones.zone.push(number);
        }
        zones
    }

    fn of(&self, node: u16) -> usize {
        self.zone[usize::from(node)]
    }

    /// The strictest rule that some node still meets, or `None` where every node is taken. To know it
    /// beforehand spares searches that cannot succeed.
    pub(crate) fn strictest_rule(&self, taken: &[u16]) -> Option<Rule> {
        let owner_zone = self.of(*taken.first()?);
        let mut taken_zones: Vec<usize> = taken.iter().map(|node| self.of(*node)).collect();
        let taken_elsewhere = taken_zones.iter().filter(|zone| **zone != owner_zone).count();
        taken_zones.sort_unstable();
        taken_zones.dedup();
        if self.sizes.len() > taken_zones.len() {
            Some(Rule::FreshZone)
        } else if self.zone.len() - self.sizes[owner_zone] > taken_elsewhere {
            Some(Rule::AwayFromOwner)
        } else if self.zone.len() > taken.len() {
            Some(Rule::OtherNode)
        } else {
            None
        }
    }

    /// Whether a node meets a rule beside those that are taken, the owner first.
    pub(crate) fn allow(&self, rule: Rule, node: u16, taken: &[u16]) -> bool {
        let differs = |other: &u16| self.of(*other) != self.of(node);
        match rule {
            Rule::FreshZone => taken.iter().all(differs),
            Rule::AwayFromOwner => !taken.contains(&node) && taken.iter().take(1).all(differs),
            Rule::OtherNode => !taken.contains(&node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_as_strict_as_the_zones_allow() {
        let zones = Zones::new(["a", "a", "b", "b"].into_iter());
        assert_eq!(zones.strictest_rule(&[0]), Some(Rule::FreshZone));
        assert_eq!(zones.strictest_rule(&[0, 2]), Some(Rule::AwayFromOwner));
        assert_eq!(zones.strictest_rule(&[0, 2, 3]), Some(Rule::OtherNode));
        assert_eq!(zones.strictest_rule(&[0, 1, 2, 3]), None);
        let allowed = |rule, taken: &[u16]| (0..4).filter(|node| zones.allow(rule, *node, taken)).collect();
        let allowed: Vec<Vec<u16>> = vec![
            allowed(Rule::FreshZone, &[0]),
            allowed(Rule::AwayFromOwner, &[0, 2]),
            allowed(Rule::OtherNode, &[0, 2]),
        ];
        assert_eq!(allowed, [vec![2, 3], vec![3], vec![1, 3]]);
    }

    #[test]
    fn nodes_without_a_zone_share_none() {
        let zones = Zones::new(["", "", "a"].into_iter());
        assert_eq!(zones.strictest_rule(&[0]), Some(Rule::FreshZone));
        assert!(zones.allow(Rule::FreshZone, 1, &[0]) && !zones.allow(Rule::FreshZone, 0, &[0]));
        assert_eq!(Zones::new([""].into_iter()).strictest_rule(&[0]), None);
    }
}
