//! Networks that let no UDP through.

use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE, seconds};
use crate::turn::Turn;

/// Starts a cluster whose hosts send no datagram to each other; each node dials over `transport`, or over any.
fn forms(transport: Option<&str>) {
    let _turn = Turn::take();
    let mut cluster = Cluster::plan(&[3]);
    if let Some(transport) = transport {
        cluster.ask_for_transport(transport);
    }
    for number in 1..=3 {
        cluster.control_host(number).block_udp();
        cluster.start_control(number);
    }
    let host = cluster.net.add_host(0);
    host.block_udp();
    cluster.start_worker("worker-1", host);
    let started = Instant::now();
    cluster.until("the control nodes form", PATIENCE, Cluster::agreed);
    cluster.until("every worker is served", PATIENCE, Cluster::served);
    println!("without UDP, over {}: served after {}", transport.unwrap_or("any"), seconds(started));
    let before = cluster.before();
    // Gossip, sessions and operators' questions all go over TCP now; a node that is cut off is seen, and is back.
    let lonely = cluster.control_host(2);
    cluster.net.unplug(&lonely);
    cluster.until("the others see it down", PATIENCE, |cluster| {
        cluster.sees("control-1", &["control-2"], "down")?;
        cluster.sees("control-3", &["control-2"], "down")
    });
    cluster.net.plug(&lonely);
    println!("without UDP: {}", cluster.healed(&before));
}

#[test]
fn a_cluster_without_udp_forms_and_heals() {
    forms(None);
}

#[test]
fn a_cluster_that_asks_for_websocket_forms_and_heals() {
    forms(Some("wss"));
}
