//! Splits: between two sides, between three, and again and again.

use crate::cluster::{Cluster, PATIENCE, SERVED_IN};
use crate::turn::Turn;

const OCCURRED: &str = "partition-occurred";
const HEALED: &str = "partition-healed";
const SUSPECTED: &str = "partition-suspected";
const ENDED: &str = "partition-ended";

/// Splits control nodes 1 to 3 from 4 and 5, until each side knows, and joins them again.
fn split_and_heal(cluster: &mut Cluster) {
    let (many, few) = (["control-1", "control-2", "control-3"], ["control-4", "control-5"]);
    let before = cluster.before();
    assert!(cluster.served_at_hand().is_err(), "where no worker is hosted across the cut, it proves little");
    cluster.net.cut(0);
    let known = cluster.until("each side sees the other down", PATIENCE, |cluster| {
        many.iter().try_for_each(|who| cluster.sees(who, &few, "down"))?;
        few.iter().try_for_each(|who| cluster.sees(who, &many, "down"))?;
        let untold = few.iter().find(|who| cluster.told(&before, who, &[OCCURRED]).is_empty());
        untold.map_or(Ok(()), |who| Err(format!("{who} is not told of a partition")))
    });
    // Now two control nodes may take themselves for the owner of one worker.
    let at_hand =
        known + cluster.until("every worker is served on its side", SERVED_IN, Cluster::served_at_hand);
    cluster.net.heal(0);
    let healed = cluster.healed(&before);
    let (known, at_hand) = (known.as_secs_f64(), at_hand.as_secs_f64());
    let settled = cluster.settled(&before);
    println!(
        "split 3/2: known after {known:.1} s, every worker served on its side after {at_hand:.1} s; {healed}, {settled}"
    );
    for who in many.iter().chain(&few) {
        let told = cluster.told(&before, who, &[SUSPECTED, ENDED]);
        assert_eq!(told, [SUSPECTED, ENDED], "{who} lost several others at once");
    }
    for who in few {
        let told = cluster.told(&before, who, &[OCCURRED, HEALED]);
        assert_eq!(told, [OCCURRED, HEALED], "{who} saw no more than half for a while");
    }
    for who in many {
        let told = cluster.told(&before, who, &[OCCURRED, HEALED]);
        assert_eq!(told, [""; 0], "{who} saw more than half all the time");
        for other in few {
            let told = cluster.told(&before, who, &["down", "up", "joined"]);
            assert!(told.contains(&format!("down {other}")), "{who} was told {told:?}");
        }
    }
}

#[test]
fn a_cluster_that_was_split_is_one_again() {
    let _turn = Turn::take();
    let mut cluster = Cluster::start(&[(3, 3), (2, 2)]);
    split_and_heal(&mut cluster);
}

#[test]
#[ignore = "takes minutes"]
fn a_cluster_may_be_split_again_and_again() {
    let _turn = Turn::take();
    let mut cluster = Cluster::start(&[(3, 3), (2, 2)]);
    for _ in 0..5 {
        split_and_heal(&mut cluster);
    }
}

#[test]
#[ignore = "takes a minute"]
fn three_sides_are_one_again() {
    let _turn = Turn::take();
    let mut cluster = Cluster::start(&[(2, 2), (2, 2), (1, 1)]);
    let sides: [&[&str]; 3] = [&["control-1", "control-2"], &["control-3", "control-4"], &["control-5"]];
    let before = cluster.before();
    cluster.net.cut(0);
    cluster.net.cut(1);
    let known = cluster.until("each side sees the others down, and is told", PATIENCE, |cluster| {
        for (place, side) in sides.iter().enumerate() {
            for who in *side {
                let others = sides.iter().enumerate().filter(|(other, _)| *other != place);
                others.map(|(_, others)| others).try_for_each(|others| cluster.sees(who, others, "down"))?;
                if cluster.told(&before, who, &[OCCURRED]).is_empty() {
                    return Err(format!("{who} is not told of a partition"));
                }
            }
        }
        Ok(())
    });
    let at_hand =
        known + cluster.until("every worker is served on its side", SERVED_IN, Cluster::served_at_hand);
    cluster.net.heal(0);
    cluster.net.heal(1);
    let healed = cluster.healed(&before);
    let (known, at_hand) = (known.as_secs_f64(), at_hand.as_secs_f64());
    let settled = cluster.settled(&before);
    println!(
        "split 2/2/1: known after {known:.1} s, every worker served on its side after {at_hand:.1} s; {healed}, {settled}"
    );
    for who in sides.iter().copied().flatten() {
        assert_eq!(cluster.told(&before, who, &[OCCURRED, HEALED]), [OCCURRED, HEALED], "{who}");
    }
}
