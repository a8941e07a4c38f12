//! Choosing where: labels, spread, explanations, and a key that keeps its worker.

use std::collections::BTreeSet;

use phalanx::{
    Environment, Meter, Metric, Metrics, NodeId, NodeStatus, Preferences, Purpose, Ranking, Requirements,
    SubmitError, TaskHandle,
};
use tests::{Cluster, Probe, Work, until};

/// Two control nodes, and workers in two zones, of which two have a GPU.
async fn fleet() -> Cluster {
    let mut cluster = Cluster::start(&["athens", "sparta"], &[]).await;
    for (name, labels) in [
        ("ant", "gpu,node;zone=a"),
        ("bee", "gpu,node;zone=b"),
        ("cat", "node;zone=a"),
        ("dog", "node;zone=b"),
    ] {
        let builder = cluster.worker_builder(name).labels(labels.parse().unwrap());
        cluster.adopt_worker(builder.start().await.unwrap());
    }
    cluster.formed().await;
    cluster
}

fn selected(selector: &str) -> Requirements {
    Requirements { selector: selector.parse().unwrap(), ..Requirements::default() }
}

fn names(tasks: &[TaskHandle<Probe>]) -> BTreeSet<String> {
    tasks.iter().map(|task| task.worker().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_where_its_labels_say_and_is_spread() {
    let cluster = fleet().await;
    let athens = cluster.control("athens");
    let by_lot = Preferences::new(Ranking::Random);
    for _ in 0..4 {
        let task = athens.submit::<Probe>(Work::Listen, &selected("gpu && zone=a"), &by_lot).await.unwrap();
        assert_eq!(task.worker().as_str(), "ant");
    }
    let spread =
        Preferences::new(Ranking::LeastLoaded(Metric::Cpu)).spread_over("zone".parse().unwrap(), None);
    let spread = spread.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(athens.submit::<Probe>(Work::Listen, &selected("zone in (a, b)"), &spread).await.unwrap());
    }
    // Four ran in zone a before: all of these went to the other one.
    assert!(names(&tasks).is_subset(&["bee", "dog"].map(str::to_owned).into()), "{:?}", names(&tasks));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_placed_is_refused_at_once_with_the_reasons() {
    let cluster = fleet().await;
    let sparta = cluster.control("sparta");
    let preferences = Preferences::new(Ranking::Random);
    let refused = sparta.submit::<Probe>(Work::Listen, &selected("tpu"), &preferences).await.err().unwrap();
    // The control nodes work too.
    assert_eq!(refused.to_string(), "no worker can take the task: of 6 workers: 6 lack tpu");
    assert!(matches!(&refused, SubmitError::NeverPlaceable(never) if !never.may_pass()));
    cluster.worker("bee").standby().await;
    until("its owner knows that it stands by", async || {
        let workers = sparta.nodes().await.nodes;
        workers.iter().any(|worker| worker.node.as_str() == "bee" && worker.status == NodeStatus::Standby)
    })
    .await;
    let requirements = selected("gpu && zone=b");
    let refused = sparta.submit::<Probe>(Work::Listen, &requirements, &preferences).await.err().unwrap();
    assert!(matches!(&refused, SubmitError::NeverPlaceable(never) if never.may_pass()), "{refused}");
    let workforce = sparta.workforce().await;
    let explanation = workforce.explain(&requirements, &preferences).to_string();
    for part in ["bee", "standby", "cat", "lacks gpu"] {
        assert!(explanation.to_lowercase().contains(part), "{part}: {explanation}");
    }
    let request = Requirements { purpose: Purpose::Request, ..requirements };
    assert_eq!(workforce.choose(&request, &preferences).unwrap().best().as_str(), "bee");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_keeps_its_worker_on_every_control_node_and_finds_another_when_that_is_gone() {
    let mut cluster = fleet().await;
    let requirements = selected("zone in (a, b)");
    let owner = async |cluster: &Cluster, on: &str| -> NodeId {
        let worker = cluster.control(on).assign(&requirements, b"device-7").await.unwrap();
        worker.id().clone()
    };
    let first = owner(&cluster, "athens").await;
    assert_eq!(owner(&cluster, "sparta").await, first);
    assert_eq!(owner(&cluster, "athens").await, first);
    cluster.take_worker(first.as_str()).shutdown().await;
    until("another worker has the key", async || owner(&cluster, "athens").await != first).await;
    assert_eq!(owner(&cluster, "sparta").await, owner(&cluster, "athens").await);
}

/// A machine that is always as full as this.
struct Full(f64);

impl Meter for Full {
    fn measure(&self) -> Metrics {
        Metrics { cpu: Some(self.0), ..Metrics::default() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_loaded_worker_by_what_workers_measure_takes_the_task() {
    let mut cluster = Cluster::start(&["athens", "sparta"], &[]).await;
    for (name, cpu) in [("ant", 0.9), ("bee", 0.2), ("cat", 0.7)] {
        let environment = Environment::real().unwrap().with_meter(Full(cpu));
        let builder = cluster.worker_builder(name).labels("fleet".parse().unwrap());
        cluster.adopt_worker(builder.environment(environment).start().await.unwrap());
    }
    cluster.formed().await;
    let sparta = cluster.control("sparta");
    until("every worker has said how full it is", async || {
        let fleet = sparta.nodes().await.nodes.into_iter().filter(|node| !node.labels.is_empty());
        let known: Vec<Option<u8>> = fleet.map(|node| node.usage.cpu_percent).collect();
        known == [Some(90), Some(20), Some(70)]
    })
    .await;
    let least = Preferences::new(Ranking::LeastLoaded(Metric::Cpu));
    let task = sparta.submit::<Probe>(Work::Listen, &selected("fleet"), &least).await.unwrap();
    assert_eq!(task.worker().as_str(), "bee");
    let mut requirements = selected("fleet");
    requirements.used_max_percent = [(Metric::Cpu, 10)].into();
    let refused = sparta.submit::<Probe>(Work::Listen, &requirements, &least).await.err().unwrap();
    assert!(refused.to_string().contains("cpu"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_machine_is_measured() {
    let cluster = Cluster::start(&["athens"], &["camera"]).await;
    until("memory and load of this machine are known", async || {
        let nodes = cluster.control("athens").nodes().await.nodes;
        nodes.iter().all(|node| node.usage.memory_percent.is_some() && node.usage.load_percent.is_some())
    })
    .await;
}
