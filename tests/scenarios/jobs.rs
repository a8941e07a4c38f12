//! Jobs: tasks that are kept at the number that was asked for, whatever is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use phalanx::{
    Control, Count, InstanceState, Job, JobChangeError, JobName, JobSpec, JobStatus, Jobs, LostPolicy,
    Requirements, RestartPolicy, UpdatePolicy,
};
use tests::{Cluster, Probe, Work, until};

const JOB: &str = "shop/web";

fn name() -> JobName {
    JOB.parse().unwrap()
}

/// A job on the workers proper, and not on the control nodes, that is replaced soon.
fn spec(count: Count, work: &Work) -> JobSpec {
    let requirements = Requirements { selector: "crew".parse().unwrap(), ..Requirements::default() };
    let restart = RestartPolicy { pause_initial: Duration::from_millis(50), ..RestartPolicy::default() };
    let update = UpdatePolicy { healthy_after: Duration::from_millis(200), ..UpdatePolicy::default() };
    let on_lost = LostPolicy::Replace { lost_after: Duration::from_secs(1) };
    let stop_grace = Duration::from_secs(5);
    let spec = Jobs::spec::<Probe>(name(), work, count).unwrap();
    JobSpec { requirements, restart, update, on_lost, stop_grace, ..spec }
}

async fn cluster(controls: &[&str], workers: &[&str]) -> Cluster {
    let mut cluster = Cluster::start(controls, &[]).await;
    for worker in workers {
        add(&mut cluster, worker).await;
    }
    cluster.formed().await;
    cluster
}

async fn add(cluster: &mut Cluster, worker: &str) {
    let builder = cluster.worker_builder(worker).labels("crew".parse().unwrap());
    cluster.adopt_worker(builder.start().await.unwrap());
}

/// The tasks of the job that really run, by the instance that they are, with attempt and worker.
async fn tasks(control: &Control) -> BTreeMap<String, Vec<(u64, String)>> {
    let mut found: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for (worker, task) in control.tasks().await.tasks {
        if let Some(instance) = task.instance.filter(|instance| instance.job() == JOB) {
            let at = (instance.attempt(), worker.to_string());
            found.entry(instance.name().to_owned()).or_default().push(at);
        }
    }
    found
}

/// Waits until every instance runs once, so many in all, and every control node says so.
async fn settled(cluster: &Cluster, count: usize) {
    until(&format!("{count} instances run"), async || {
        for control in cluster.controls() {
            let tasks = tasks(control).await;
            let job = control.jobs().job(&name()).await;
            let runs = |job: &Job| job.running() == count && job.status() != JobStatus::Degraded;
            let once = tasks.len() == count && tasks.values().all(|at| at.len() == 1);
            if !once || !job.as_ref().is_some_and(|job| count == 0 || runs(job)) {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_scaled_stopped_started_and_removed_from_any_control_node() {
    let cluster = cluster(&["jobs-c1", "jobs-c2"], &["jobs-w1", "jobs-w2"]).await;
    let [one, other] = ["jobs-c1", "jobs-c2"].map(|control| cluster.control(control).jobs());
    let applied = one.apply(spec(Count::Exactly(3), &Work::Listen)).await.unwrap();
    assert_eq!((applied.version, applied.task_version), (1, 1));
    settled(&cluster, 3).await;

    until("the other one knows it", async || other.job(&name()).await.is_some()).await;
    other.change(&name(), |spec| spec.count = Count::Exactly(5)).await.unwrap();
    settled(&cluster, 5).await;
    one.change(&name(), |spec| spec.count = Count::Exactly(1)).await.unwrap();
    settled(&cluster, 1).await;
    let left = tasks(cluster.control("jobs-c1")).await;
    assert_eq!(left.keys().collect::<Vec<_>>(), ["#0"], "the greatest go first");
    assert_eq!(left["#0"][0].0, 1, "who stays is left alone");

    one.change(&name(), |spec| spec.stopped = true).await.unwrap();
    settled(&cluster, 0).await;
    one.change(&name(), |spec| spec.stopped = false).await.unwrap();
    settled(&cluster, 1).await;

    other.remove(&name()).await.unwrap();
    let again = other.apply(spec(Count::Exactly(1), &Work::Listen)).await;
    assert_eq!(again, Err(JobChangeError::BeingRemoved(name())));
    until("it is forgotten", async || one.list().await.is_empty() && other.list().await.is_empty()).await;
    assert!(tasks(cluster.control("jobs-c1")).await.is_empty());
    assert_eq!(other.remove(&name()).await, Err(JobChangeError::NotFound(name())));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_is_started_again_and_gives_up_in_the_end() {
    let cluster = cluster(&["fail-c1"], &["fail-w1"]).await;
    let jobs = cluster.control("fail-c1").jobs();
    let mut failing = spec(Count::Exactly(1), &Work::Panic("the job trips".into()));
    failing.restart.restarts_max = Some(2);
    jobs.apply(failing).await.unwrap();
    until("it has failed for good", async || {
        let Some(job) = jobs.job(&name()).await else { return false };
        job.instances.iter().any(|one| one.state == InstanceState::Failed && one.attempt.0 == 3)
    })
    .await;
    let job = jobs.job(&name()).await.unwrap();
    let reasons: Vec<&str> = job.instances[0].ended.iter().map(|end| end.reason.as_str()).collect();
    assert!(
        reasons.len() == 3 && reasons.iter().all(|reason| reason.contains("the job trips")),
        "{reasons:?}"
    );
    jobs.apply(spec(Count::Exactly(1), &Work::Listen)).await.unwrap();
    settled(&cluster, 1).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_worker_and_a_lost_control_node_cost_a_job_nothing() {
    let controls = ["crash-c1", "crash-c2", "crash-c3"];
    let mut cluster = cluster(&controls, &["crash-w1", "crash-w2", "crash-w3"]).await;
    cluster.control("crash-c1").jobs().apply(spec(Count::Exactly(3), &Work::Listen)).await.unwrap();
    settled(&cluster, 3).await;

    // Whichever supervises it: each is taken out once but the last, and a worker with it.
    for (control, worker) in [("crash-c1", "crash-w1"), ("crash-c2", "crash-w2")] {
        let before = tasks(cluster.control("crash-c3")).await;
        drop(cluster.take_worker(worker));
        settled(&cluster, 3).await;
        let after = tasks(cluster.control("crash-c3")).await;
        for (instance, at) in &after {
            let was_lost = before[instance][0].1 == worker;
            assert_eq!(
                at[0].0,
                before[instance][0].0 + u64::from(was_lost),
                "{instance}: {before:?} {after:?}"
            );
        }
        let gone = cluster.take_control(control);
        if control == "crash-c1" {
            // A crash: it is not forgotten, and never answers again.
            drop(gone);
        } else {
            gone.shutdown().await;
        }
        add(&mut cluster, worker).await;
        settled(&cluster, 3).await;
        assert_eq!(tasks(cluster.control("crash-c3")).await, after, "its tasks go on");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_rolled_out_one_by_one_and_one_on_each_node_follows_the_nodes() {
    let mut cluster = cluster(&["roll-c1"], &["roll-w1", "roll-w2"]).await;
    let jobs = cluster.control("roll-c1").jobs();
    jobs.apply(spec(Count::PerNode, &Work::Listen)).await.unwrap();
    settled(&cluster, 2).await;
    add(&mut cluster, "roll-w3").await;
    settled(&cluster, 3).await;
    let names: Vec<String> = tasks(cluster.control("roll-c1")).await.into_keys().collect();
    assert_eq!(names, ["roll-w1", "roll-w2", "roll-w3"]);

    jobs.apply(spec(Count::PerNode, &Work::Tick(1_000))).await.unwrap();
    let mut fewest = 3;
    until("all are of the new version", async || {
        fewest = fewest.min(tasks(cluster.control("roll-c1")).await.len());
        let job = jobs.job(&name()).await.unwrap();
        job.instances
            .iter()
            .filter(|one| one.task_version == 2 && one.state == InstanceState::Running)
            .count()
            == 3
    })
    .await;
    assert!(fewest >= 2, "one at a time: {fewest} ran at the worst moment");
    cluster.shutdown().await;
}

/// A cluster that was stopped as a whole remembers its jobs by the store of any of its nodes.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_outlive_a_stop_of_the_whole_cluster() {
    use phalanx::{Environment, FileStore};
    let folder = tempfile::tempdir().unwrap();
    let secret = phalanx::Secret::generate(&phalanx::SystemEntropy::new());
    let start = async || {
        let store = FileStore::open(folder.path().join("store")).unwrap();
        let environment = Environment::real().unwrap().with_store(store);
        let builder = Control::builder("jobs", &secret).id("store-c1").listen("127.0.0.1:0");
        builder.environment(environment).job::<Probe>(tests::Prober::default()).start().await.unwrap()
    };
    let control = start().await;
    let mut anywhere = spec(Count::Exactly(2), &Work::Listen);
    anywhere.requirements = Requirements::default();
    control.jobs().apply(anywhere).await.unwrap();
    let runs =
        async |control: &Control| control.jobs().job(&name()).await.is_some_and(|job| job.running() == 2);
    until("it runs", async || runs(&control).await).await;
    let tasks_before = tasks(&control).await;
    control.shutdown().await;
    drop(control);

    let control = start().await;
    until("it runs again", async || runs(&control).await && tasks(&control).await.len() == 2).await;
    let tasks_after = tasks(&control).await;
    for (instance, at) in tasks_after {
        assert!(at[0].0 > tasks_before[&instance][0].0, "an attempt is never used twice");
    }
    control.shutdown().await;
}
