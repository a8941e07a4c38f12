//! Golden vectors: what the placement of some rosters is, for ever. Two nodes of different versions that
//! disagree about one of these would fight over workers, so a change here is a change of the wire format.
//!
//! A second program, written from the documents only and without the crates that this one builds on, gave the
//! same.

use phalanx_base::{AddressList, Generation, NodeId, Owner, Partition, RosterEntry, RosterState, RosterView};
use phalanx_placement::{Placement, partition};

fn roster(nodes: &[(&str, u16, &str)]) -> RosterView {
    let entry = |(name, weight, zone): &(&str, u16, &str)| RosterEntry {
        node: NodeId::new(name).expect("the names of these tests are valid"),
        generation: Generation::from_u64(1),
        state: RosterState::Active,
        weight: *weight,
        zone: (*zone).to_owned(),
        addresses: AddressList::default(),
        version: 1,
    };
    RosterView::new(nodes.iter().map(entry).collect())
}

fn line(owner: &Owner) -> String {
    std::iter::once(&owner.node).chain(&owner.standbys).map(NodeId::as_str).collect::<Vec<_>>().join(" ")
}

/// FNV-1a (64 bits) over the lines of all partitions: stands for the whole table.
fn digest(placement: &Placement) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for partition in (0..=u16::MAX).map(Partition) {
        let text = placement.owner(partition).as_ref().map(line).unwrap_or_default();
        for byte in text.bytes().chain([b'\n']) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

fn lines(placement: &Placement) -> Vec<String> {
    let some = [0, 1, 2, 255, 4_096, 32_767, 65_534, 65_535];
    some.iter().filter_map(|number| placement.owner(Partition(*number)).as_ref().map(line)).collect()
}

fn shares(placement: &Placement) -> Vec<usize> {
    placement.owner_nodes().iter().map(|node| placement.share(node)).collect()
}

#[test]
fn partitions_of_workers() {
    for (worker, number) in [
        ("a", 18196),
        ("camera-7", 51062),
        ("worker-1", 36461),
        ("worker-100000", 14150),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaa", 51359),
    ] {
        let worker = NodeId::new(worker).expect("the names of these tests are valid");
        assert_eq!(partition(&worker), Partition(number), "{worker}");
    }
}

#[test]
fn three_equal_nodes() {
    let placement = Placement::compute(&roster(&[("a", 1, ""), ("b", 1, ""), ("c", 1, "")]));
    assert_eq!(lines(&placement), ["a b c", "c b a", "b a c", "c a b", "c b a", "b a c", "c a b", "c a b"]);
    assert_eq!(shares(&placement), [21261, 22319, 21956]);
    assert_eq!(digest(&placement), 0xa45b_244d_469b_edcd);
}

#[test]
fn five_nodes_with_weights_and_zones() {
    let placement = Placement::compute(&roster(&[
        ("control-1", 1, "north"),
        ("control-2", 2, "north"),
        ("control-3", 1, "south"),
        ("control-4", 3, "south"),
        ("control-5", 1, ""),
    ]));
    assert_eq!(
        lines(&placement),
        [
            "control-4 control-2 control-5",
            "control-5 control-4 control-2",
            "control-4 control-5 control-1",
            "control-5 control-4 control-1",
            "control-4 control-5 control-1",
            "control-4 control-2 control-5",
            "control-4 control-2 control-5",
            "control-1 control-3 control-5"
        ]
    );
    assert_eq!(shares(&placement), [7596, 16935, 7761, 24688, 8556]);
    assert_eq!(digest(&placement), 0x6cce_827c_1955_c4ba);
}

#[test]
fn a_hundred_and_twenty_eight_nodes() {
    let names: Vec<String> = (1..=128).map(|number| format!("control-{number}")).collect();
    let nodes: Vec<(&str, u16, &str)> = names.iter().map(|name| (name.as_str(), 1, "")).collect();
    let placement = Placement::compute(&roster(&nodes));
    assert_eq!(digest(&placement), 0x9b82_f8ed_ee23_da53);
}
