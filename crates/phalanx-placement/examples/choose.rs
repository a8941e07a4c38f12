//! A worker is chosen from six, and every other one hears why not: `cargo run --example choose [selector]`.

use phalanx_base::{Labels, NodeId, NodeStatus};
use phalanx_placement::{
    Assignees, Metric, Metrics, Preferences, Ranking, Requirements, Selector, WorkerView, explain,
};

/// Name, labels, used share of the processors, state, tasks of the job that run there.
const WORKERS: &[(&str, &str, f64, NodeStatus, u32)] = &[
    ("ant", "gpu,node;zone=a", 0.35, NodeStatus::Ready, 1),
    ("bee", "gpu,node;zone=b", 0.60, NodeStatus::Ready, 0),
    ("cat", "node;zone=b", 0.05, NodeStatus::Ready, 0),
    ("dog", "gpu,spot,node;zone=b", 0.20, NodeStatus::Ready, 0),
    ("elk", "gpu,node;zone=c", 0.97, NodeStatus::Ready, 0),
    ("fox", "gpu,node;zone=c", 0.10, NodeStatus::NotConnected, 0),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = std::env::args().nth(1).unwrap_or_else(|| "gpu && zone in (a, b, c) && !spot".to_owned());
    let selector: Selector = text.parse()?;
    let known = WORKERS.iter().map(|worker| Ok((NodeId::new(worker.0)?, worker.1.parse::<Labels>()?)));
    let known = known.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    let views = known.iter().zip(WORKERS).map(|((node, labels), worker)| WorkerView {
        metrics: Metrics { cpu: Some(worker.2), ..Metrics::default() },
        tasks_of_job: worker.4,
        ..WorkerView::new(node, labels, worker.3)
    });

    let requirements =
        Requirements { selector, used_max_percent: [(Metric::Cpu, 90)].into(), ..Requirements::default() };
    let preferences = Preferences::new(Ranking::LeastLoaded(Metric::Cpu))
        .prefer("zone=a".parse()?, 20)?
        .spread_over("zone".parse()?, None)?;
    println!(
        "A worker with {}, not more than 90 % busy, in the zone with the fewest tasks:\n",
        requirements.selector
    );
    println!("{}\n", explain(&requirements, &preferences, views.clone(), 1));

    let assignees = Assignees::new(&requirements, views);
    for key in ["camera-1", "camera-2", "camera-3", "camera-4"] {
        let worker = assignees.assign(key.as_bytes()).map_or("nobody", NodeId::as_str);
        println!("{key} belongs to {worker}");
    }
    Ok(())
}
