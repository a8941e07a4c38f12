//! A start before the network is there.

use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE, seconds};
use crate::turn::Turn;

#[test]
fn a_node_that_found_nobody_at_its_start_connects_by_itself() {
    let _turn = Turn::take();
    let mut cluster = Cluster::plan(&[3]);
    let host = cluster.control_host(1);
    cluster.net.unplug(&host);
    cluster.start_control(1);
    cluster.until("it has tried both others in vain, and says so", PATIENCE, |cluster| {
        let status = cluster.agent("control-1").status().ok_or("control-1 does not answer")?;
        assert!(!status.ready, "it serves without the others: {}", status.explanation);
        let failed = status.sockets.iter().filter(|socket| socket.error.is_some()).count();
        if failed >= 2 { Ok(()) } else { Err(format!("{:?}", status.sockets)) }
    });
    cluster.start_control(2);
    cluster.start_control(3);
    cluster.net.plug(&host);
    let plugged = Instant::now();
    cluster.until("all of them form", PATIENCE, Cluster::agreed);
    println!("start without a network: formed {} after it came", seconds(plugged));
    cluster.until("each of them is served", PATIENCE, Cluster::served);
}
