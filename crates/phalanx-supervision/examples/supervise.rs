//! A worker is lost, its instance is replaced, and the old task is stopped when the worker is back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::{Generation, NodeId, NodeStatus};
use phalanx_placement::{Class, Metrics};
use phalanx_supervision::{
    Action, Count, End, EndKind, Event, Found, JobSpec, Listing, LostPolicy, NodeReport, Supervisor, Tag,
    TaskName,
};

type Error = Box<dyn std::error::Error>;

/// The tasks of each worker that can be reached.
type Workers = BTreeMap<NodeId, BTreeMap<TaskName, Tag>>;

fn class() -> Class {
    Class { name: "shop.web".into(), version: 1 }
}

fn report(node: &NodeId) -> NodeReport {
    NodeReport {
        node: node.clone(),
        generation: Generation::from_u64(1),
        status: NodeStatus::Ready,
        labels: Default::default(),
        classes: vec![class()],
        metrics: Metrics::default(),
        tasks: 0,
    }
}

/// Does what the supervisor asks for, and prints what happens.
fn settle(supervisor: &mut Supervisor, workers: &mut Workers, now: Instant) {
    while let Some(action) = supervisor.poll_action() {
        match action {
            Action::Record(record) => {
                supervisor.handle_recorded(now, &record.job, &record.instance, record.revision);
            }
            Action::Forget(record) => println!("  forgotten: {}", record.tag()),
            Action::Start { tag, node, .. } => {
                let task = TaskName(Bytes::from(tag.to_string()));
                workers.entry(node).or_default().insert(task.clone(), tag.clone());
                supervisor.handle_started(now, &tag, Ok(task));
            }
            Action::Stop { tag, node, task, .. } => {
                println!("  stopped at {node}: {tag}");
                workers.entry(node.clone()).or_default().remove(&task);
                supervisor.handle_ended(now, &tag, &node, End::new(EndKind::Killed));
            }
            Action::List { node, listing, .. } => {
                let tasks = workers.get(&node).into_iter().flatten();
                let found = |(task, tag): (&TaskName, &Tag)| Found {
                    tag: tag.clone(),
                    task: task.clone(),
                    end: None,
                };
                let (generation, tasks) = (Generation::from_u64(1), tasks.map(found).collect());
                supervisor.handle_listing(now, &node, listing, Some(Listing { generation, tasks }));
            }
        }
    }
    while let Some(event) = supervisor.poll_event() {
        match event {
            Event::InstanceChanged { tag, to, node, reason, .. } => {
                let node = node.map(|node| format!(" at {node}")).unwrap_or_default();
                println!("  {tag}{node}: {to}, {reason}");
            }
            Event::JobChanged { job, status } => println!("  {job}: {status:?}"),
            other => println!("  {other:?}"),
        }
    }
}

fn main() -> Result<(), Error> {
    // The clock of this example stands still but for what is added to it.
    #[allow(clippy::disallowed_methods, reason = "a core has no clock; its caller has")]
    let mut now = Instant::now();
    let mut supervisor = Supervisor::new(now, 42);
    let mut workers = Workers::new();
    supervisor.handle_may_replace(now, true);
    for name in ["ant", "bee", "cat"] {
        supervisor.handle_node(now, report(&name.parse()?));
    }

    println!("two instances are asked for:");
    let job = JobSpec::new("shop/web".parse()?, class(), Bytes::new(), Count::Exactly(2));
    let on_lost = LostPolicy::Replace { lost_after: Duration::from_secs(20) };
    supervisor.handle_job(now, JobSpec { on_lost, ..job }, [])?;
    settle(&mut supervisor, &mut workers, now);

    let lost = workers.keys().next().cloned().ok_or("somebody runs something")?;
    println!("{lost} is lost:");
    supervisor.handle_node_lost(now, &lost);
    for _ in 0..2 {
        now = supervisor.poll_timeout().ok_or("something is awaited")?.max(now);
        supervisor.handle_timeout(now);
        settle(&mut supervisor, &mut workers, now);
    }

    println!("{lost} is back, and its task had run on:");
    supervisor.handle_node(now, report(&lost));
    settle(&mut supervisor, &mut workers, now);
    Ok(())
}
