//! The command that shows everything that is known of a job.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use phalanx::{CallOptions, Count, InstanceName, InstanceRecord, JobName, JobSpec, Jobs, LostPolicy};
use phalanx_operator::{Calls, JobDetails};

use super::super::task::name::shown;
use super::form;
use super::waiting::reason;
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, print, print_json, printable};
use crate::target::Target;

/// How many tasks are asked for how long they have run: as many as anybody reads.
const ASKED_MAX: usize = 64;

/// How long a worker has to answer: one that is lost holds up nobody.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// For how many milliseconds the tasks of instances have run, as far as their workers say.
pub(super) type Ages = BTreeMap<InstanceName, u64>;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx job describe shop/web")]
pub(crate) struct Describe {
    /// The job
    job: JobName,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Describe {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (mut client, calls) = self.target.both().await?;
        let details = client.job(self.job).await?;
        let waits = reason(&mut client, &details).await?;
        let ages = ages(&calls, &details.instances).await;
        match self.format.output {
            Format::Json => print_json(&form::details(&details, &ages, waits.as_deref())),
            Format::Table => print(&text(&details, &ages, waits.as_deref())),
        }
    }
}

/// Asks the workers of instances.
async fn ages(calls: &Calls, instances: &[InstanceRecord]) -> Ages {
    let live = instances.iter().filter(|record| record.state.is_live());
    let asking = live.take(ASKED_MAX).map(|record| async {
        let (place, task) = record.place.as_ref().zip(Jobs::task(record))?;
        let options = CallOptions { deadline: ANSWER_TIMEOUT, ..CallOptions::default() };
        let details = calls.worker(&place.node).with(options).task_details(&task).await.ok()??;
        Some((record.instance.clone(), details.running_ms))
    });
    join_all(asking).await.into_iter().flatten().collect()
}

fn shown_time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

fn head(details: &JobDetails, waits: Option<&str>) -> Vec<String> {
    let spec = &details.spec;
    let mut lines = Vec::new();
    let mut say = |name: &str, value: String| lines.push(format!("{name:<10}{value}"));
    say("job", spec.name.to_string());
    say("status", details.status.clone());
    if let Some(waits) = waits {
        say("waits", waits.to_owned());
    }
    say("version", format!("{} (its tasks: {})", spec.version, spec.task_version));
    say("class", format!("{}/{}", spec.class.name, spec.class.version));
    let count = match spec.count {
        Count::Exactly(count) => count.to_string(),
        Count::PerNode => "per-node".to_owned(),
    };
    say("count", if spec.stopped { format!("{count}, stopped") } else { count });
    let place = spec.requirements.selector.to_string();
    if !place.is_empty() {
        say("where", place);
    }
    say("restart", restart(spec));
    say(
        "on lost",
        match spec.on_lost {
            LostPolicy::Keep => "keep".to_owned(),
            LostPolicy::StopAfter(after) => format!("stop after {}", shown_time(after)),
            LostPolicy::Replace { lost_after } => format!("replace after {}", shown_time(lost_after)),
        },
    );
    lines
}

fn restart(spec: &JobSpec) -> String {
    let restart = &spec.restart;
    let most = restart
        .restarts_max
        .map_or(String::new(), |most| format!(", at most {most} times in {}", shown_time(restart.window)));
    let pauses = format!("{} to {}", shown_time(restart.pause_initial), shown_time(restart.pause_max));
    format!("{}, after {pauses}{most}", form::when(restart.when))
}

fn table(instances: &[InstanceRecord], ages: &Ages) -> Table {
    let mut table = Table::new(&["INSTANCE", "STATE", "ATTEMPT", "NODE", "RAN FOR", "TASK"]);
    for record in instances {
        let node = record.place.as_ref().map(|place| place.node.to_string()).unwrap_or_default();
        let age = ages.get(&record.instance).map(|ms| shown_time(Duration::from_secs(ms / 1_000)));
        let task =
            record.place.as_ref().zip(Jobs::task(record)).map(|(place, task)| shown(&place.node, &task));
        table.row([
            record.instance.to_string(),
            record.state.to_string(),
            record.attempt.to_string(),
            node,
            age.unwrap_or_default(),
            task.unwrap_or_default(),
        ]);
    }
    table
}

/// How the last attempt of an instance ended, and what it said last.
fn last_end(record: &InstanceRecord) -> Vec<String> {
    let Some(ended) = record.ended.last() else { return Vec::new() };
    let node = ended.node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
    let reason = if ended.reason.is_empty() { String::new() } else { format!(": {}", ended.reason) };
    let head = format!("{} attempt {}{node} {}{reason}", record.instance, ended.attempt, ended.state);
    let lines = ended.last_lines.iter().map(|line| format!("    {line}"));
    [head].into_iter().chain(lines).collect()
}

fn text(details: &JobDetails, ages: &Ages, waits: Option<&str>) -> String {
    let lines = |lines: Vec<String>| lines.iter().map(|line| printable(line) + "\n").collect::<String>();
    let mut text = lines(head(details, waits));
    if !details.instances.is_empty() {
        text.push_str(&format!("\n{}", table(&details.instances, ages).render(false)));
    }
    if details.more > 0 {
        text.push_str(&format!("and {} more\n", details.more));
    }
    let ends: Vec<String> = details.instances.iter().flat_map(last_end).collect();
    if !ends.is_empty() {
        text.push_str(&format!("\n{}", lines(ends)));
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use phalanx::{Attempt, Class, EndedAttempt, InstanceState};

    use super::*;
    use crate::output::samples::id;

    fn record(index: u32, state: InstanceState, ended: Vec<EndedAttempt>) -> InstanceRecord {
        InstanceRecord {
            job: "shop/web".parse().unwrap(),
            instance: InstanceName::Index(index),
            attempt: Attempt(ended.len() as u64 + 1),
            revision: 4,
            state,
            task_version: 2,
            place: None,
            failures: 1,
            replaces_lost: false,
            ended,
        }
    }

    #[test]
    fn a_job_is_described_with_the_ends_of_its_instances() {
        let class = Class { name: "process".into(), version: 1 };
        let mut spec = JobSpec::new("shop/web".parse().unwrap(), class, Bytes::new(), Count::Exactly(2));
        spec.requirements.selector = "gpu && !spot".parse().unwrap();
        spec.restart.restarts_max = Some(5);
        spec.on_lost = LostPolicy::Replace { lost_after: Duration::from_secs(30) };
        let ended = EndedAttempt {
            attempt: Attempt(1),
            task_version: 2,
            node: Some(id("worker-1")),
            state: InstanceState::Failed,
            was_asked: false,
            counts: true,
            may_run: false,
            reason: "it has ended with an error of its class".into(),
            last_lines: vec!["out of \u{1b}[2Jpaper".into(), "exit code 7".into()],
        };
        let instances = vec![
            record(0, InstanceState::Running, Vec::new()),
            record(1, InstanceState::Pending, vec![ended]),
        ];
        let details = JobDetails { spec, status: "degraded".into(), instances, more: 7 };
        let ages = Ages::from([(InstanceName::Index(0), 61_500)]);
        let waits = Some("no worker will do: of 1 worker 1 is not ready");
        let form = form::details(&details, &ages, waits);
        insta::assert_snapshot!(format!("{}\n{form:#}", text(&details, &ages, waits)));
    }
}
