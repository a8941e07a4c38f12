//! Workers with labels: list them on any control node, choose by label, and label one anew while it runs.
//!
//! ```text
//! cargo run -p examples --bin labels
//! ```

use std::error::Error;
use std::time::Duration;

use phalanx::{
    ClusterEvent, ClusterEvents, Control, JobClass, JobHandler, NodeId, NodeStatus, NodeSummary, Nothing,
    RequestContext, Secret, StaticPeers, SystemEntropy, Worker,
};
use tokio::time::timeout;

/// How long the program waits for an event that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What each worker is labelled with at its start.
const CAMERAS: [(&str, &str); 3] = [
    ("cam-1", "camera;site=harbour;night, room;floor=1"),
    ("cam-2", "camera;site=harbour"),
    ("cam-3", "camera;site=station;night"),
];

/// The contract of a camera.
struct Camera;

impl JobClass for Camera {
    const NAME: &'static str = "camera";
    const VERSION: u32 = 1;
    type Request = ();
    type Reply = String;
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Nothing;
}

/// The worker's half.
struct Lens;

impl JobHandler<Camera> for Lens {
    async fn request(&self, cx: RequestContext, (): ()) -> Result<String, Nothing> {
        Ok(format!("a picture by {}", cx.worker()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let secret = Secret::generate(&SystemEntropy::new());
    let athens = control("athens", &secret, StaticPeers::parse("")?).await?;
    let sparta = control("sparta", &secret, StaticPeers::new([athens.local_addr()])).await?;
    for control in [&athens, &sparta] {
        control.cluster().wait_for(|view| view.roster.active().count() == 2).await?;
    }
    let mut workers = Vec::new();
    for (name, labels) in CAMERAS {
        let worker = Worker::builder("city", secret.worker_credential())
            .id(name)
            .labels(labels.parse()?)
            .discover(StaticPeers::new([athens.local_addr(), sparta.local_addr()]))
            .job::<Camera>(Lens)
            .start()
            .await?;
        worker.wait_for(NodeStatus::Ready).await;
        // The worker knows that it has an owner a moment before the owner does, and the owner is who lists it.
        assert_eq!(athens.worker(worker.id()).status().await?, NodeStatus::Ready);
        workers.push(worker);
    }

    println!("the cameras, as sparta lists them:");
    let before = cameras(&sparta).await;
    assert_eq!(before.len(), CAMERAS.len(), "each camera is listed");

    println!("\npictures from the harbour, asked on athens:");
    let mut pictures = Vec::new();
    for camera in before.iter().filter(|node| at(node, "harbour")) {
        pictures.push(athens.worker(&camera.node).request::<Camera>(()).await?);
    }
    println!("  {}", pictures.join("\n  "));
    assert_eq!(pictures, ["a picture by cam-1", "a picture by cam-2"], "two cameras are at the harbour");

    // Events of a worker are told where its proxy is; it is labelled through the other control node.
    let moved = &before[1];
    let (owner, other) = if moved.owner == *athens.id() { (&athens, &sparta) } else { (&sparta, &athens) };
    let mut events = owner.subscribe();
    println!("\n{} moves to the station; {} says so, {} hosts it:", moved.node, other.id(), owner.id());
    let labels = "camera;site=station".parse()?;
    other.worker(&moved.node).set_labels(labels).await?;
    timeout(PATIENCE, labelled(&mut events, &moved.node)).await??;
    println!("  event on {}: {} is labelled anew", owner.id(), moved.node);

    println!("\nthe cameras, as {} lists them now:", other.id());
    let after = cameras(other).await;
    let at_station: Vec<bool> = after.iter().map(|node| at(node, "station")).collect();
    assert_eq!(at_station, [false, true, true], "the list follows the event");

    for worker in &workers {
        worker.shutdown().await;
    }
    sparta.shutdown().await;
    athens.shutdown().await;
    Ok(())
}

/// Whether a node is a camera at this site: `camera` is an item of its labels, `site` a key of the item.
fn at(node: &NodeSummary, site: &str) -> bool {
    node.labels.item("camera").is_some_and(|camera| camera.value("site") == Some(site))
}

/// Lists every node that is labelled as a camera, whichever control node hosts it, and prints them.
async fn cameras(control: &Control) -> Vec<NodeSummary> {
    let mut listed = control.nodes().await;
    assert!(listed.silent.is_empty(), "each control node answers");
    listed.nodes.retain(|node| node.labels.item("camera").is_some());
    for NodeSummary { node, owner, status, labels, .. } in &listed.nodes {
        println!("  {node:<6} {status:<6} hosted by {owner:<7} {labels}");
    }
    listed.nodes
}

/// Waits until a worker is labelled anew.
async fn labelled(events: &mut ClusterEvents, camera: &NodeId) -> Result<(), Box<dyn Error>> {
    while let Some(event) = events.next().await {
        if matches!(&event, ClusterEvent::Labelled { worker } if worker == camera) {
            return Ok(());
        }
    }
    Err("the control node has stopped".into())
}

async fn control(name: &str, secret: &Secret, peers: StaticPeers) -> Result<Control, Box<dyn Error>> {
    let builder = Control::builder("city", secret).id(name).listen("127.0.0.1:0").discover(peers);
    Ok(builder.expected_controls(2).start().await?)
}
