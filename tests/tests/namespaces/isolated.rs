//! A node without a cable.

use std::thread::sleep;
use std::time::Duration;

use crate::cluster::{Before, Cluster, PATIENCE};
use crate::turn::Turn;

fn unplugged_for(hold: Duration) -> (Cluster, Before) {
    let mut cluster = Cluster::start(&[(3, 2)]);
    let before = cluster.before();
    let host = cluster.control_host(2);
    cluster.net.unplug(&host);
    // The cut is the scenario.
    sleep(hold);
    cluster.until("both sides know", PATIENCE, |cluster| {
        cluster.sees("control-1", &["control-2"], "down")?;
        cluster.sees("control-3", &["control-2"], "down")?;
        cluster.sees("control-2", &["control-1", "control-3"], "down")
    });
    cluster.net.plug(&host);
    println!("isolated for {} s: {}", hold.as_secs(), cluster.healed(&before));
    let told = cluster.told(&before, "control-2", &["partition-occurred", "partition-healed"]);
    assert_eq!(told, ["partition-occurred", "partition-healed"]);
    (cluster, before)
}

#[test]
fn a_node_isolated_for_20_seconds_is_back() {
    let _turn = Turn::take();
    unplugged_for(Duration::from_secs(20));
}

#[test]
#[ignore = "takes six minutes"]
fn a_node_isolated_for_5_minutes_is_back() {
    let _turn = Turn::take();
    // Meanwhile the others have shared out what it owned.
    let (mut cluster, before) = unplugged_for(Duration::from_secs(300));
    println!("every worker is {}", cluster.settled(&before));
}
