//! Ownership before and after a control node joins, and how little moves: `cargo run --example join
//! [controls]`.

use phalanx_base::{AddressList, Generation, NodeId, Partition, RosterEntry, RosterState, RosterView};
use phalanx_placement::{Placement, Plan, partition};

/// The bar of a share: one mark for each half percent of all partitions.
fn bar(share: usize) -> String {
    "#".repeat(share * 200 / Partition::COUNT)
}

fn entry(number: usize) -> Result<RosterEntry, Box<dyn std::error::Error>> {
    Ok(RosterEntry {
        node: NodeId::new(&format!("control-{number}"))?,
        generation: Generation::from_u64(1),
        state: RosterState::Active,
        weight: 1,
        zone: format!("rack-{}", number % 3),
        addresses: AddressList::default(),
        version: 1,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let controls: usize = std::env::args().nth(1).map_or(Ok(4), |count| count.parse())?;
    let mut entries = (1..=controls).map(entry).collect::<Result<Vec<_>, _>>()?;
    let before = Placement::compute(&RosterView::new(entries.clone()));
    entries.push(entry(controls + 1)?);
    let after = Placement::compute(&RosterView::new(entries));
    let plan = Plan::between(&before, &after);

    println!("{controls} control nodes own {} partitions; one more joins.\n", Partition::COUNT);
    println!("{:<12} {:>7} {:>7} {:>6} {:>6}", "", "before", "after", "loses", "gains");
    for node in after.owner_nodes() {
        let (loses, gains) = (plan.moved_from(node).count(), plan.moved_to(node).count());
        let (had, has) = (before.share(node), after.share(node));
        println!("{node:<12} {had:>7} {has:>7} {loses:>6} {gains:>6}  {}", bar(has));
    }
    let (moves, ideal) = (plan.moves().len(), plan.ideal());
    println!(
        "\n{moves} partitions move, {ideal} would be ideal: {:.3} times the ideal.",
        moves as f64 / ideal as f64
    );

    println!("\nSome workers, with the owner and its standbys:");
    for name in ["camera-1", "camera-2", "camera-3", "printer", "lathe"] {
        let worker = NodeId::new(name)?;
        let (Some(was), Some(is)) = (before.owner_of(&worker), after.owner_of(&worker)) else { continue };
        let standbys: Vec<String> = is.standbys.iter().map(NodeId::to_string).collect();
        let moved = if was.node == is.node { String::new() } else { format!("  (moved from {})", was.node) };
        let Partition(slot) = partition(&worker);
        println!("{name:<10} in partition {slot:>5}: {}, then {}{moved}", is.node, standbys.join(", "));
    }
    Ok(())
}
