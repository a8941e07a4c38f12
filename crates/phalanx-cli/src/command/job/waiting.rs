//! What a job waits for, and how far it is.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use phalanx::{Count, InstanceRecord, InstanceState, JobName, JobSpec, Requirements};
use phalanx_operator::{AskError, Client, FailureKind, JobDetails};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::super::choosing::Workers;
use crate::exit::Failure;
use crate::output::{Format, print, printable};

/// How often a job is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// How many instances of each state there are.
fn counted(details: &JobDetails) -> String {
    let mut counts: BTreeMap<InstanceState, usize> = BTreeMap::new();
    details.instances.iter().for_each(|record| *counts.entry(record.state).or_default() += 1);
    let counts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if counts.is_empty() { "no instance".to_owned() } else { counts.join(", ") }
}

/// Whether the present version of each task that is to run runs, or has succeeded.
pub(super) fn is_settled(details: &JobDetails) -> bool {
    let spec = &details.spec;
    let is_done = |record: &&InstanceRecord| {
        let does = matches!(record.state, InstanceState::Running | InstanceState::Succeeded);
        does && record.task_version == spec.task_version
    };
    let done = details.instances.iter().filter(is_done).count();
    let live = details.instances.iter().filter(|record| record.state.is_live()).count();
    match spec.count {
        _ if spec.stopped => live == 0,
        // Of a list that was cut nobody can count, and the node itself has.
        _ if details.more > 0 => matches!(details.status.as_str(), "placed" | "complete"),
        Count::Exactly(count) => done >= count as usize && live <= count as usize,
        Count::PerNode => done > 0 && done == details.instances.len(),
    }
}

/// An instance that is not started any more, whatever one waits.
fn given_up(details: &JobDetails) -> Option<&InstanceRecord> {
    details.instances.iter().find(|record| record.state == InstanceState::Failed)
}

/// Whether fewer instances are written down than there are to be: those that wait for their first worker.
fn is_short(details: &JobDetails) -> bool {
    let known = details.instances.len() + details.more as usize;
    match details.spec.count {
        _ if details.spec.stopped => false,
        Count::Exactly(count) => known < count as usize,
        Count::PerNode => known == 0,
    }
}

/// Why an instance waits, if one does.
pub(super) async fn reason(client: &mut Client, details: &JobDetails) -> Result<Option<String>, Failure> {
    let record = details.instances.iter().find(|record| record.state == InstanceState::Pending);
    if record.is_none() && !is_short(details) {
        return Ok(None);
    }
    let JobSpec { class, requirements, preferences, .. } = &details.spec;
    let requirements = Requirements { class: Some(class.clone()), ..requirements.clone() };
    let workers = Workers::new(client.nodes().await?);
    let explanation = workers.explain(&requirements, preferences);
    Ok(Some(match (explanation.decision, record) {
        (Err(never), _) => format!("no worker will do: {never}"),
        (Ok(_), Some(record)) if record.replaces_lost => {
            "the worker of the attempt before is lost".to_owned()
        }
        (Ok(_), Some(record)) if record.failures > 0 => {
            let last = record.ended.last().map(|ended| ended.reason.as_str()).unwrap_or_default();
            let failures = record.failures;
            format!("{failures} failures in a row, the last one: {last}; it is started again after a pause")
        }
        (Ok(_), _) => "it is about to be started".to_owned(),
    }))
}

/// Looks at a job until it is as it is to be, and says meanwhile how far it is.
pub(super) async fn until_settled(
    client: &mut Client,
    name: &JobName,
    patience: Duration,
    format: Format,
) -> Result<JobDetails, Failure> {
    let mut said = String::new();
    let watching = async {
        loop {
            let details = client.job(name.clone()).await?;
            let why = reason(client, &details).await?;
            let words = match &why {
                Some(why) => format!("{name}: {}: {why}", counted(&details)),
                None => format!("{name}: {}", counted(&details)),
            };
            tell(format, &details, why.as_deref(), &words, &mut said)?;
            if is_settled(&details) {
                return Ok(details);
            }
            if let Some(record) = given_up(&details) {
                let why = record.end().map(|end| end.reason.clone()).unwrap_or_default();
                let words = format!("{}: it has failed and is not started again: {why}", record.tag());
                return Err(Failure::failed(words));
            }
            sleep(PAUSE).await;
        }
    };
    match timeout(patience, watching).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::failed(format!(
            "{said}; it was waited for {}, and the cluster goes on: see `phalanx job describe {name}`",
            humantime::format_duration(patience)
        ))),
    }
}

/// Looks until a job that was removed is gone.
pub(super) async fn until_gone(
    client: &mut Client,
    name: &JobName,
    patience: Duration,
) -> Result<(), Failure> {
    let mut left = String::new();
    let watching = async {
        loop {
            match client.job(name.clone()).await {
                Err(AskError::Failed(failure)) if failure.kind == FailureKind::NotFound => return Ok(()),
                looked => left = what_is_left(&looked?),
            }
            sleep(PAUSE).await;
        }
    };
    match timeout(patience, watching).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::failed(format!("{name}: {left}"))),
    }
}

/// What keeps a job that was removed from being gone.
fn what_is_left(details: &JobDetails) -> String {
    let ended = details.instances.iter().flat_map(|record| &record.ended).filter(|ended| ended.may_run);
    match ended.filter_map(|ended| ended.node.as_ref()).next() {
        Some(node) => format!(
            "a task of it may run on {node}, which is lost: bring it back, or `phalanx node forget {node}` if it will not come back"
        ),
        None => format!("tasks of it still end: {}", counted(details)),
    }
}

/// Says how far it is, unless that was said last.
fn tell(
    format: Format,
    details: &JobDetails,
    why: Option<&str>,
    words: &str,
    said: &mut String,
) -> Result<(), Failure> {
    if said == words {
        return Ok(());
    }
    words.clone_into(said);
    match format {
        Format::Json => {
            let running = details.instances.iter().filter(|record| record.state == InstanceState::Running);
            let form = json!({"name": details.spec.name.as_str(), "status": details.status, "running": running.count(), "waits": why});
            print(&format!("{form}\n"))
        }
        Format::Table => {
            // One line that changes for a person who watches, and lines for a log.
            let is_watched = std::io::stderr().is_terminal();
            let (clear, end) = if is_watched { ("\r\u{1b}[K", "") } else { ("", "\n") };
            let end = if is_settled(details) { "\n" } else { end };
            eprint!("{clear}{}{end}", printable(words));
            Ok(())
        }
    }
}
