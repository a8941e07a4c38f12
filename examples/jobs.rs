//! A job: three tasks that are kept at three, whatever happens to the workers and control nodes. One worker is killed, then the
//! control node that supervises the job; then the job is scaled, and a new version of it is rolled out.
//!
//! ```text
//! cargo run -p examples --bin jobs
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use phalanx::{
    Config, Control, Count, JobClass, JobHandler, JobName, JobSpec, Jobs, LostPolicy, NodeStatus, Nothing,
    Requirements, Secret, Signal, StaticPeers, SystemEntropy, TaskContext, UpdatePolicy, Worker,
};

/// The contract: a kiosk that is open until it is told to stop.
struct Kiosk;

impl JobClass for Kiosk {
    const NAME: &'static str = "kiosk";
    const VERSION: u32 = 1;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = String;
    type Output = ();
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = String;
}

/// The worker's half.
struct Keeper;

impl JobHandler<Kiosk> for Keeper {
    async fn task(&self, cx: TaskContext<Kiosk>, ware: String) -> Result<(), String> {
        cx.log(format!("sells {ware}")).await;
        loop {
            match cx.recv().await {
                Some(Signal::Stop { .. }) | None => return Ok(()),
                Some(_) => {}
            }
        }
    }
}

/// How long the program waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints where the job runs, and returns when so many tasks of it do.
async fn runs(control: &Control, name: &JobName, count: usize, what: &str) -> Result<(), Box<dyn Error>> {
    let running = async {
        loop {
            let mut at: BTreeMap<String, String> = BTreeMap::new();
            for (worker, task) in control.tasks().await.tasks {
                if let Some(instance) = task.instance.filter(|instance| instance.job() == name.as_str()) {
                    at.insert(instance.to_string(), worker.to_string());
                }
            }
            let known = control.jobs().job(name).await.map_or(0, |job| job.running());
            if at.len() == count && known == count {
                return at;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let at = tokio::time::timeout(PATIENCE, running).await.map_err(|_| format!("not {what}"))?;
    println!("{what}:");
    at.iter().for_each(|(instance, worker)| println!("    {instance} on {worker}"));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::generate(&SystemEntropy::new());
    let mut controls = Vec::<Control>::new();
    for name in ["athens", "sparta", "thebes"] {
        let peers: Vec<_> = controls.iter().map(Control::local_addr).collect();
        let builder =
            Control::builder("market", &secret).id(name).listen("127.0.0.1:0").config(Config::local());
        controls.push(builder.discover(StaticPeers::new(peers)).start().await?);
    }
    let addresses: Vec<_> = controls.iter().map(Control::local_addr).collect();
    let mut workers = Vec::new();
    for name in ["ant", "bee", "cat"] {
        let builder = Worker::builder("market", secret.worker_credential()).id(name).listen("127.0.0.1:0");
        let builder = builder.config(Config::local()).labels("stall".parse()?).job::<Kiosk>(Keeper);
        let worker = builder.discover(StaticPeers::new(addresses.clone())).start().await?;
        worker.wait_for(NodeStatus::Ready).await;
        workers.push(worker);
    }

    let name: JobName = "market/kiosk".parse()?;
    let spec = JobSpec {
        requirements: Requirements { selector: "stall".parse()?, ..Requirements::default() },
        on_lost: LostPolicy::Replace { lost_after: Duration::from_secs(1) },
        update: UpdatePolicy { healthy_after: Duration::from_millis(300), ..UpdatePolicy::default() },
        ..Jobs::spec::<Kiosk>(name.clone(), &"newspapers".to_owned(), Count::Exactly(3))?
    };
    controls[0].jobs().apply(spec.clone()).await?;
    runs(&controls[2], &name, 3, "three kiosks are open").await?;

    drop(workers.remove(0));
    runs(&controls[2], &name, 3, "ant is gone, and its kiosk is open elsewhere").await?;

    controls.remove(0).shutdown().await;
    drop(workers.remove(0));
    runs(&controls[1], &name, 3, "athens is gone, and bee with all it had").await?;

    controls[0].jobs().change(&name, |job| job.count = Count::Exactly(5)).await?;
    runs(&controls[1], &name, 5, "five are wanted").await?;

    let spec = JobSpec { count: Count::Exactly(5), body: postcard::to_stdvec("flowers")?.into(), ..spec };
    let applied = controls[1].jobs().apply(spec).await?;
    let replaced = async {
        loop {
            let job = controls[0].jobs().job(&name).await;
            let is_new = |job: &phalanx::Job| {
                job.running() == 5 && job.instances.iter().all(|one| one.task_version == applied.task_version)
            };
            if job.as_ref().is_some_and(is_new) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.map_err(|_| "the flowers do not sell")?;
    runs(&controls[1], &name, 5, "all of them sell flowers now, one after the other").await?;

    for control in controls {
        control.shutdown().await;
    }
    Ok(())
}
