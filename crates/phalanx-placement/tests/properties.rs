//! What holds for every roster: equal rosters give equal owners, shares keep to the cap, few partitions move,
//! and standbys stand elsewhere.

use std::collections::BTreeSet;

use phalanx_base::{AddressList, Generation, NodeId, Partition, RosterEntry, RosterState, RosterView};
use phalanx_placement::{Placement, Plan};
use proptest::prelude::*;

/// The most that one change may move, as a multiple of what the joiner gains or the leaver loses.
const MOVES_MAX: f64 = 1.15;
/// The most that a node may own, as a multiple of its fair share.
const SHARE_MAX: f64 = 1.12;

fn entry(name: &str, weight: u16, zone: &str) -> RosterEntry {
    RosterEntry {
        node: NodeId::new(name).expect("the names of these tests are valid"),
        generation: Generation::from_u64(1),
        state: RosterState::Active,
        weight,
        zone: zone.to_owned(),
        addresses: AddressList::default(),
        version: 1,
    }
}

fn placement(entries: &[RosterEntry]) -> Placement {
    Placement::compute(&RosterView::new(entries.to_vec()))
}

fn partitions() -> impl Iterator<Item = Partition> {
    (0..=u16::MAX).map(Partition)
}

/// The greatest share as a multiple of the fair one, by weight.
fn imbalance(placement: &Placement, entries: &[RosterEntry]) -> f64 {
    let weights: f64 = entries.iter().map(|entry| f64::from(entry.weight)).sum();
    let fair = |entry: &RosterEntry| Partition::COUNT as f64 * f64::from(entry.weight) / weights;
    entries.iter().map(|entry| placement.share(&entry.node) as f64 / fair(entry)).fold(0.0, f64::max)
}

/// Asserts what must hold when the last of these entries joins, and so when it leaves.
fn check_last_joins_and_leaves(entries: &[RosterEntry]) -> f64 {
    let (last, others) = entries.split_last().expect("these tests have entries");
    let (without, with) = (placement(others), placement(entries));
    let (join, leave) = (Plan::between(&without, &with), Plan::between(&with, &without));
    assert_eq!(join.ideal(), with.share(&last.node));
    assert_eq!(leave.ideal(), with.share(&last.node));
    assert_eq!(join.moved_to(&last.node).count(), join.ideal());
    assert_eq!(leave.moved_from(&last.node).count(), leave.ideal());
    assert_eq!(join.moves().len(), leave.moves().len());
    let cost = join.moves().len() as f64 / join.ideal() as f64;
    assert!(cost <= MOVES_MAX, "{} nodes: moves {cost:.3} times the ideal", entries.len());
    assert!(imbalance(&with, entries) <= SHARE_MAX && imbalance(&without, others) <= SHARE_MAX);
    cost
}

#[test]
fn few_partitions_move_in_clusters_of_every_size() {
    for size in [3, 8, 32, 128] {
        let entries: Vec<_> = (0..=size).map(|number| entry(&format!("control-{number}"), 1, "")).collect();
        check_last_joins_and_leaves(&entries);
        check_last_joins_and_leaves(&entries[..size]);
    }
}

#[test]
fn standbys_stand_in_other_zones_where_there_are_any() {
    let zones = |names: &[&str]| -> Vec<RosterEntry> {
        (0..).zip(names).map(|(number, zone)| entry(&format!("c{number}"), 1, zone)).collect()
    };
    let zone_of = |entries: &[RosterEntry], node: &NodeId| {
        entries.iter().find(|entry| entry.node == *node).map(|entry| entry.zone.clone()).unwrap()
    };
    // How many different zones owner and standbys cover together, at the least and at the most.
    for (names, least, most) in [
        (&["a", "a", "a", "b", "b", "c"][..], 3, 3),
        (&["a", "a", "a", "a", "b"][..], 2, 2),
        (&["a", "a", "a"][..], 1, 1),
    ] {
        let entries = zones(names);
        let placement = placement(&entries);
        for partition in partitions() {
            let owner = placement.owner(partition).unwrap();
            assert_eq!(owner.standbys.len(), 2);
            let home = zone_of(&entries, &owner.node);
            let away = owner.standbys.iter().filter(|node| zone_of(&entries, node) != home).count();
            let others = names.iter().filter(|zone| **zone != home).count();
            assert_eq!(away, others.min(2), "{owner:?}");
            let mut covered: BTreeSet<String> =
                owner.standbys.iter().map(|node| zone_of(&entries, node)).collect();
            covered.insert(home);
            assert!((least..=most).contains(&covered.len()), "{owner:?}");
        }
    }
}

#[test]
fn a_small_cluster_has_fewer_standbys() {
    for size in 0..=3 {
        let entries: Vec<_> = (0..size).map(|number| entry(&format!("c{number}"), 1, "")).collect();
        let placement = placement(&entries);
        for partition in partitions() {
            let owner = placement.owner(partition);
            assert_eq!(owner.map(|owner| 1 + owner.standbys.len()).unwrap_or(0), size);
        }
    }
}

#[test]
fn only_active_nodes_own() {
    let mut entries: Vec<_> = ["a", "b", "c", "d"].map(|name| entry(name, 1, "")).to_vec();
    for (entry, state) in
        entries.iter_mut().zip([RosterState::Joining, RosterState::Draining, RosterState::Gone])
    {
        entry.state = state;
    }
    let only = NodeId::new("d").unwrap();
    assert_eq!(placement(&entries).owner_nodes(), std::slice::from_ref(&only));
    assert_eq!(placement(&entries).share(&only), Partition::COUNT);
    entries[3].state = RosterState::Gone;
    let nobody = placement(&entries);
    assert_eq!((nobody.owner_of(&only), nobody.share(&only)), (None, 0));
}

#[test]
fn a_roster_beyond_the_cap_and_absurd_weights_are_borne() {
    let entries: Vec<_> = (0..300).map(|number| entry(&format!("c{number:03}"), 1, "z")).collect();
    let placement = placement(&entries);
    assert_eq!(placement.owner_nodes().len(), Placement::NODES_MAX);
    let absurd = [entry("a", u16::MAX, ""), entry("b", 0, "")];
    let sane = [entry("a", RosterEntry::WEIGHT_MAX, ""), entry("b", 1, "")];
    assert_eq!(self::placement(&absurd), self::placement(&sane));
}

/// A roster of up to 12 nodes with any names, weights and zones.
fn rosters() -> impl Strategy<Value = Vec<RosterEntry>> {
    let facts = (1_u16..=4, "[ab]?", 1_u64..9, any::<u64>());
    prop::collection::btree_map("[a-zA-Z0-9._-]{1,12}", facts, 1..12).prop_map(|entries| {
        let make = |(name, (weight, zone, version, boot)): (String, (u16, String, u64, u64))| RosterEntry {
            version,
            generation: Generation::from_u64(boot),
            ..entry(&name, weight, &zone)
        };
        entries.into_iter().map(make).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn equal_rosters_give_equal_owners_in_any_order_of_arrival(
        (entries, shuffled) in rosters().prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
        boot: u64,
    ) {
        let expected = placement(&entries);
        prop_assert_eq!(&placement(&shuffled), &expected);
        // Neither a restart nor a change of address moves anything.
        let mut restarted = shuffled;
        restarted[0].generation = Generation::from_u64(boot);
        restarted[0].addresses = "a:1".parse().unwrap();
        prop_assert_eq!(&placement(&restarted), &expected);
        // Nor does a newer version of the same record, or a node that does not own.
        restarted[0].version += 1;
        restarted.push(RosterEntry { state: RosterState::Joining, ..entry("newcomer", 1, "") });
        prop_assert!(Plan::between(&expected, &placement(&restarted)).is_empty());
    }

    #[test]
    fn every_partition_has_an_owner_and_distinct_standbys(entries in rosters()) {
        let placement = placement(&entries);
        let mut shares = 0;
        for node in placement.owner_nodes() {
            shares += placement.share(node);
        }
        prop_assert_eq!(shares, Partition::COUNT);
        prop_assert!(imbalance(&placement, &entries) <= SHARE_MAX);
        for partition in partitions() {
            let owner = placement.owner(partition).unwrap();
            prop_assert_eq!(placement.owner_node(partition), Some(&owner.node));
            let mut all: BTreeSet<_> = owner.standbys.iter().collect();
            all.insert(&owner.node);
            prop_assert_eq!(all.len(), entries.len().min(3));
        }
    }

    #[test]
    fn one_change_moves_little_whatever_the_names(
        names in prop::collection::btree_set("[a-zA-Z0-9._-]{3,12}", 4..=33)
    ) {
        let entries: Vec<_> = names.iter().map(|name| entry(name, 1, "")).collect();
        check_last_joins_and_leaves(&entries);
    }
}
