//! What the demo's job runs: a task that holds its post until it is told to stop, on workers only, since control nodes do not
//! register it.

use std::time::Duration;

use phalanx::{
    Control, Count, JobClass, JobHandler, JobSpec, Jobs, LostPolicy, Nothing, RestartPolicy, Signal,
    TaskContext,
};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use crate::demo::AnyError;
use crate::digest::tell;
use crate::protocol::Notice;

/// The job's name.
const JOB: &str = "demo/post";

/// How long a lost worker may stay away before its instances are started elsewhere.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// How long a task that is told to stop has; it needs none of it.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How often each control node tells what runs.
const TELL_INTERVAL: Duration = Duration::from_millis(500);

/// The contract.
pub(crate) struct Post;

impl JobClass for Post {
    const NAME: &'static str = "post";
    const VERSION: u32 = 1;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = ();
    type Output = ();
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = String;
}

/// The worker's half.
pub(crate) struct Keeper;

impl JobHandler<Post> for Keeper {
    async fn task(&self, cx: TaskContext<Post>, (): ()) -> Result<(), String> {
        while let Some(signal) = cx.recv().await {
            if matches!(signal, Signal::Stop { .. }) {
                break;
            }
        }
        Ok(())
    }
}

/// An attempt at an instance, that some worker says it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) instance: String,
    pub(crate) attempt: u64,
    pub(crate) worker: String,
}

/// The job as a control node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobSeen {
    /// By what is written down.
    pub(crate) running: usize,
    /// By what the workers say.
    pub(crate) held: Vec<Held>,
}

/// Asks for so many instances.
pub(crate) async fn apply(control: &Control, count: u32) -> Result<(), AnyError> {
    let spec = Jobs::spec::<Post>(JOB.parse()?, &(), Count::Exactly(count))?;
    let restart = RestartPolicy { pause_initial: Duration::from_millis(100), ..RestartPolicy::default() };
    let on_lost = LostPolicy::Replace { lost_after: LOST_AFTER };
    let spec = JobSpec { restart, on_lost, stop_grace: STOP_GRACE, ..spec };
    Ok(control.jobs().apply(spec).await.map(drop)?)
}

/// Tells the parent all the time how the job is, once there is one. Ends when it is aborted.
pub(crate) async fn tell_job(control: Control) {
    let Ok(name) = JOB.parse() else { return };
    let mut ticks = interval(TELL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(job) = control.jobs().job(&name).await else { continue };
        let all = control.tasks().await.tasks.into_iter();
        let held = all.filter_map(|(worker, task)| {
            let instance = task.instance.filter(|instance| instance.job() == JOB)?;
            let (name, attempt) = (instance.name().to_owned(), instance.attempt());
            Some(Held { instance: name, attempt, worker: worker.to_string() })
        });
        tell(&Notice::Job(JobSeen { running: job.running(), held: held.collect() }));
    }
}
