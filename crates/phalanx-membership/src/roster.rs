//! The roster: one merged record for each control node that the cluster knows.
//!
//! Everybody may learn a record from anybody, but writes only its own, with two exceptions: a node that sees more than
//! half of the roster gives up another that has been down for too long, and removes one at an operator's wish. Whoever
//! meets a record of itself that it did not write lifts its own above it, so that the truth about a node that lives is
//! in the end what it says itself; only the wish of an operator it obeys.

use std::collections::BTreeMap;

use phalanx_base::{NodeId, RosterView};

use crate::record::{RECORD_VERSION_MAX, Record, Standing};

/// How many records a roster holds: twice the 128 control nodes of the largest cluster, so that as many again may be
/// remembered as gone.
pub const ROSTER_NODES_MAX: usize = 256;

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// It was known, or older than what was known.
    Unchanged,
    /// It is news.
    Changed,
    /// It claimed something about the local node that this node did not write; the own record was lifted above it.
    Refuted,
    /// It removes the local node, which obeys; the own record says so now.
    Expelled,
    /// The roster is full and the record was not taken.
    Full,
}

/// One merged record for each control node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roster {
    own: Record,
    /// The records of all others.
    others: BTreeMap<NodeId, Record>,
}

impl Roster {
    /// A roster of what was stored and the own record, lifted above what was stored of it.
    pub(crate) fn new(own: Record, stored: impl IntoIterator<Item = Record>) -> Self {
        let mut roster = Self { own, others: BTreeMap::new() };
        for record in stored {
            roster.merge(record);
        }
        roster
    }

    pub(crate) fn own(&self) -> &Record {
        &self.own
    }

    pub(crate) fn record(&self, node: &NodeId) -> Option<&Record> {
        if node == self.own.node() { Some(&self.own) } else { self.others.get(node) }
    }

    /// The records of all others, sorted by node.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Record> {
        self.others.values()
    }

    /// All records, the own one first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        std::iter::once(&self.own).chain(self.others.values())
    }

    /// How many records there are, the own one included.
    pub(crate) fn len(&self) -> usize {
        self.others.len() + 1
    }

    /// Takes a record that passed [`Record::check`].
    pub(crate) fn merge(&mut self, record: Record) -> Merge {
        if record.node() == self.own.node() {
            return self.refute(&record);
        }
        if let Some(known) = self.others.get_mut(record.node()) {
            if !record.supersedes(known) {
                return Merge::Unchanged;
            }
            *known = record;
            return Merge::Changed;
        }
        if self.len() >= ROSTER_NODES_MAX && !self.make_room_for(&record) {
            return Merge::Full;
        }
        self.others.insert(record.node().clone(), record);
        Merge::Changed
    }

    /// Writes the own record anew, if that changes it.
    pub(crate) fn write_own(&mut self, standing: Standing) -> bool {
        let changes = self.own.standing != standing;
        if changes {
            self.own.standing = standing;
            self.lift_own_above(self.own.version);
        }
        changes
    }

    /// Gives up another node. Every node that does so from the same record writes the same record.
    pub(crate) fn give_up(&mut self, node: &NodeId) -> Option<&Record> {
        let record = self.others.get_mut(node).filter(|record| !record.standing.is_gone())?;
        record.standing = Standing::GivenUp;
        record.version = record.version.saturating_add(1).min(RECORD_VERSION_MAX);
        Some(record)
    }

    /// Turns the record of another node into a tombstone. Every node that does so from the same record writes the same.
    /// `None` where there is nothing to change.
    pub(crate) fn bury(&mut self, node: &NodeId, tombstone: Standing) -> Option<&Record> {
        let record = self.others.get_mut(node).filter(|record| record.standing != tombstone)?;
        record.standing = tombstone;
        record.version = record.version.saturating_add(1).min(RECORD_VERSION_MAX);
        Some(record)
    }

    /// Who counts in majorities besides the local node.
    fn voters(&self) -> impl Iterator<Item = &NodeId> {
        self.others().filter(|record| !record.standing.is_out()).map(Record::node)
    }

    /// How many count in majorities, the local node included.
    pub(crate) fn electorate(&self) -> usize {
        1 + self.voters().count()
    }

    /// Whether this node, and those that are `alive` in its view, are more than half of all that did not leave and were
    /// not removed. Of two, either is enough: otherwise a pair could never give one up.
    pub(crate) fn has_majority(&self, mut alive: impl FnMut(&NodeId) -> bool) -> bool {
        let electorate = self.electorate();
        let seen = 1 + self.voters().filter(|node| alive(node)).count();
        2 * seen > electorate || electorate == 2
    }

    /// Whether this node and those that are `alive` in its view are the side that gives way when two sides meet: fewer
    /// than half, or just half without the lowest node id.
    pub(crate) fn is_smaller_side(&self, mut alive: impl FnMut(&NodeId) -> bool) -> bool {
        let electorate = self.electorate();
        let seen = 1 + self.voters().filter(|node| alive(node)).count();
        if 2 * seen != electorate {
            return 2 * seen < electorate;
        }
        let lowest = self.voters().next().filter(|lowest| *lowest < self.own.node());
        lowest.is_some_and(|lowest| !alive(lowest))
    }

    pub(crate) fn view(&self) -> RosterView {
        RosterView::new(self.records().map(Record::entry).collect())
    }

    /// Whether a claim about the local node is an operator's wish that it be gone, which holds for this boot and those
    /// before it, whatever was written at the same time.
    fn expels(&self, claim: &Record) -> bool {
        claim.standing == Standing::Removed && claim.generation() >= self.own.generation()
    }

    fn refute(&mut self, claim: &Record) -> Merge {
        if self.own.standing == Standing::Removed {
            return Merge::Unchanged;
        }
        if self.expels(claim) {
            self.own.standing = Standing::Removed;
            self.lift_own_above(self.own.version.max(claim.version));
            return Merge::Expelled;
        }
        if claim.version < self.own.version || *claim == self.own {
            return Merge::Unchanged;
        }
        self.lift_own_above(claim.version);
        Merge::Refuted
    }

    fn lift_own_above(&mut self, version: u64) {
        self.own.version = version.saturating_add(1).min(RECORD_VERSION_MAX);
    }

    /// A full roster forgets a node that is gone for one that is not: of those that left the oldest boot, then of those
    /// that were removed, at last of those that were given up. Without this, a cluster whose nodes take a new name at
    /// each start would stop growing.
    fn make_room_for(&mut self, record: &Record) -> bool {
        if record.standing.is_gone() {
            return false;
        }
        let gone = self.others.values().filter(|known| known.standing.is_gone());
        let rank = |standing| match standing {
            Standing::Left => 0,
            Standing::Cleaned | Standing::Removed => 1,
            _ => 2,
        };
        let left_first = |known: &&Record| (rank(known.standing), known.boot.generation);
        let Some(oldest) = gone.min_by_key(left_first).map(|known| known.node().clone()) else {
            return false;
        };
        self.others.remove(&oldest).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{AddressList, Boot, Generation, RosterState};
    use proptest::prelude::*;

    fn record(name: &str, generation: u64, standing: Standing, version: u64) -> Record {
        let boot = Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(generation) };
        let addresses = AddressList::default();
        Record { boot, standing, weight: 1, zone: String::new(), addresses, version }
    }

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn roster(stored: impl IntoIterator<Item = Record>) -> Roster {
        Roster::new(record("me", 5, Standing::Joining, 1), stored)
    }

    #[test]
    fn the_own_record_is_lifted_above_every_foreign_claim() {
        let mut roster = roster([record("me", 4, Standing::Active, 7)]);
        assert_eq!((roster.own().version, roster.own().generation()), (8, Generation::from_u64(5)));
        assert_eq!(roster.merge(record("me", 5, Standing::GivenUp, 9)), Merge::Refuted);
        assert_eq!((roster.own().version, roster.own().standing), (10, Standing::Joining));
        assert_eq!(roster.merge(record("me", 5, Standing::Active, 10)), Merge::Refuted);
        assert_eq!(roster.merge(record("me", 5, Standing::Joining, 11)), Merge::Unchanged, "its own record");
        assert_eq!(roster.merge(record("me", 5, Standing::GivenUp, 10)), Merge::Unchanged, "long overtaken");
        assert_eq!(roster.view().entry(&id("me")).map(|e| e.state), Some(RosterState::Joining));
    }

    #[test]
    fn a_claim_of_the_same_version_that_would_lose_is_refuted_too() {
        let mut roster = roster([]);
        roster.write_own(Standing::Active);
        assert_eq!(roster.merge(record("me", 4, Standing::Joining, 2)), Merge::Refuted);
        assert_eq!(roster.own().version, 3);
    }

    #[test]
    fn majorities_count_who_was_given_up_but_not_who_left() {
        let others = ["a", "b", "c", "d"].map(|name| record(name, 1, Standing::Active, 1));
        let mut roster = roster(others);
        assert!(!roster.has_majority(|node| *node == id("a")));
        assert!(roster.has_majority(|node| *node == id("a") || *node == id("b")));
        roster.merge(record("c", 1, Standing::GivenUp, 2));
        assert!(!roster.has_majority(|node| *node == id("a")));
        roster.merge(record("d", 1, Standing::Left, 2));
        roster.merge(record("c", 1, Standing::Left, 3));
        assert!(roster.has_majority(|node| *node == id("a")));
    }

    #[test]
    fn a_tombstone_counts_no_more_and_is_written_the_same_by_all() {
        let others = ["a", "b", "c", "d"].map(|name| record(name, 1, Standing::GivenUp, 1));
        let (mut here, mut there) = (roster(others.clone()), roster(others));
        assert!(!here.has_majority(|node| *node == id("a")));
        for name in ["c", "d"] {
            let written = here.bury(&id(name), Standing::Cleaned).cloned();
            assert_eq!(written.as_ref(), there.bury(&id(name), Standing::Cleaned));
            assert_eq!(here.bury(&id(name), Standing::Cleaned), None);
        }
        assert!(here.has_majority(|node| *node == id("a")));
        assert_eq!(here.electorate(), 3);
        assert_eq!(here.bury(&id("nobody"), Standing::Removed), None);
    }

    #[test]
    fn an_operators_wish_is_obeyed_by_this_boot_and_overridden_by_the_next() {
        let mut cleaned = roster([]);
        assert_eq!(cleaned.merge(record("me", 5, Standing::Cleaned, 9)), Merge::Refuted);
        assert_eq!((cleaned.own().standing, cleaned.own().version), (Standing::Joining, 10));
        let mut removed = roster([]);
        removed.write_own(Standing::Active);
        removed.write_own(Standing::Draining);
        assert_eq!(removed.merge(record("me", 5, Standing::Removed, 2)), Merge::Expelled);
        assert_eq!((removed.own().standing, removed.own().version), (Standing::Removed, 4));
        assert_eq!(removed.merge(record("me", 5, Standing::Removed, 2)), Merge::Unchanged);
        let reborn = roster([record("me", 4, Standing::Removed, 7)]);
        assert_eq!((reborn.own().standing, reborn.own().version), (Standing::Joining, 8));
    }

    #[test]
    fn of_two_sides_just_one_gives_way() {
        // The own id is above a and b, and below x and y.
        let others = |names: [&str; 3]| names.map(|name| record(name, 1, Standing::Active, 1));
        let with_lowest = roster(others(["a", "b", "x"]));
        assert!(!with_lowest.is_smaller_side(|node| *node == id("a")));
        assert!(with_lowest.is_smaller_side(|node| *node == id("b")));
        assert!(with_lowest.is_smaller_side(|_| false));
        assert!(!with_lowest.is_smaller_side(|node| *node != id("a")));
        let lowest = roster(others(["n", "x", "y"]));
        assert!(!lowest.is_smaller_side(|node| *node == id("y")));
        assert!(lowest.is_smaller_side(|_| false));
        assert!(!roster([]).is_smaller_side(|_| false));
    }

    #[test]
    fn of_two_either_is_a_majority() {
        assert!(roster([record("a", 1, Standing::Active, 1)]).has_majority(|_| false));
        assert!(roster([]).has_majority(|_| false));
    }

    #[test]
    fn a_full_roster_forgets_the_gone_and_never_the_present() {
        let name = |n: usize| format!("n{n:03}");
        let mut roster = roster((1..ROSTER_NODES_MAX).map(|n| {
            let standing = if n < 3 { Standing::Left } else { Standing::Active };
            record(&name(n), n as u64, standing, 1)
        }));
        assert_eq!(roster.len(), ROSTER_NODES_MAX);
        assert_eq!(roster.merge(record("late-gone", 9, Standing::Left, 1)), Merge::Full);
        assert_eq!(roster.merge(record("x", 9, Standing::Joining, 1)), Merge::Changed);
        assert!(roster.record(&id(&name(1))).is_none() && roster.record(&id(&name(2))).is_some());
        assert_eq!(roster.merge(record("y", 9, Standing::Joining, 1)), Merge::Changed);
        assert_eq!(roster.merge(record("z", 9, Standing::Joining, 1)), Merge::Full);
        assert_eq!(roster.len(), ROSTER_NODES_MAX);
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let standing = prop_oneof![
            Just(Standing::Joining),
            Just(Standing::Active),
            Just(Standing::Draining),
            Just(Standing::GivenUp),
            Just(Standing::Cleaned),
            Just(Standing::Left),
            Just(Standing::Removed)
        ];
        // Small ranges, so that records of one node tie in version and standing and only the bytes decide.
        (0..4_u8, 1..3_u64, standing, 1..3_u16, "[ab]?", 1..4_u64).prop_map(
            |(node, generation, standing, weight, zone, version)| Record {
                weight,
                zone,
                ..record(&format!("n{node}"), generation, standing, version)
            },
        )
    }

    fn merged(roster: &Roster, other: &Roster) -> Roster {
        let mut roster = roster.clone();
        for record in other.others() {
            roster.merge(record.clone());
        }
        roster
    }

    proptest! {
        #[test]
        fn any_order_and_repetition_of_arrival_gives_the_same_roster(
            records in proptest::collection::vec(any_record(), 0..24),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 0..48),
        ) {
            let in_order = roster(records.clone());
            let mut shuffled: Vec<Record> = match records.is_empty() {
                true => Vec::new(),
                false => order.iter().map(|index| index.get(&records).clone()).collect(),
            };
            shuffled.extend(records.into_iter().rev());
            let rearranged = roster(shuffled);
            prop_assert_eq!(in_order.view(), rearranged.view());
            prop_assert_eq!(in_order, rearranged);
        }

        #[test]
        fn merging_rosters_is_commutative_associative_and_idempotent(
            a in proptest::collection::vec(any_record(), 0..12),
            b in proptest::collection::vec(any_record(), 0..12),
            c in proptest::collection::vec(any_record(), 0..12),
        ) {
            let (a, b, c) = (roster(a), roster(b), roster(c));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a);
        }

        #[test]
        fn of_two_sides_that_are_all_exactly_one_gives_way(
            size in 1..9_usize,
            mask: u16,
        ) {
            let names: Vec<String> = (0..size).map(|n| format!("n{n}")).collect();
            let side = |bit: u16| (0..size).filter(move |at| mask >> at & 1 == bit);
            let gives_way = |bit: u16| {
                let first = side(bit).next()?;
                let own = record(&names[first], 1, Standing::Active, 1);
                let others = names.iter().filter(|name| **name != names[first]);
                let roster = Roster::new(own, others.map(|name| record(name, 1, Standing::Active, 1)));
                let seen: Vec<NodeId> = side(bit).map(|at| id(&names[at])).collect();
                Some(roster.is_smaller_side(|node| seen.contains(node)))
            };
            match (gives_way(0), gives_way(1)) {
                (Some(one), Some(other)) => prop_assert_ne!(one, other),
                (alone, none) => prop_assert_eq!(alone.or(none), Some(false)),
            }
        }

        #[test]
        fn the_roster_version_never_shrinks(records in proptest::collection::vec(any_record(), 0..24)) {
            let mut roster = roster([]);
            for record in records {
                let before = (roster.view().version(), roster.clone());
                let merge = roster.merge(record);
                prop_assert!(roster.view().version() >= before.0);
                prop_assert_eq!(merge == Merge::Unchanged, roster == before.1);
            }
        }

        #[test]
        fn exactly_one_of_two_different_records_of_a_node_supersedes(a in any_record(), b in any_record()) {
            let b = Record { boot: Boot { node: a.node().clone(), ..b.boot.clone() }, ..b };
            prop_assert_eq!(a != b, a.supersedes(&b) != b.supersedes(&a));
        }

        #[test]
        fn records_survive_the_wire_and_junk_is_refused(record in any_record(), junk: Vec<u8>) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
            if let Ok(decoded) = Record::decode(&junk) {
                prop_assert_eq!(Record::decode(&decoded.encode()), Ok(decoded));
            }
        }
    }
}
