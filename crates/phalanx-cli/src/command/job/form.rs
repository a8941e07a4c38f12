//! The JSON form of a job.

use phalanx::{Count, EndedAttempt, InstanceRecord, JobSpec, Jobs, LostPolicy, RestartWhen};
use phalanx_operator::JobDetails;
use serde_json::{Value, json};

use super::super::task::name::shown;
use super::describe::Ages;
use crate::output::json as forms;

/// Everything that is known of a job.
pub(super) fn details(details: &JobDetails, ages: &Ages, waits: Option<&str>) -> Value {
    let mut form = spec(&details.spec);
    let instances = details.instances.iter().map(|record| instance(record, ages));
    let more = json!({
        "status": details.status,
        "waits": waits,
        "instances": instances.collect::<Vec<_>>(),
        "more": details.more,
    });
    forms::add(&mut form, more);
    form
}

fn spec(spec: &JobSpec) -> Value {
    let seconds = |time: std::time::Duration| time.as_secs_f64();
    let (stop_after, replace_after) = match spec.on_lost {
        LostPolicy::Keep => (None, None),
        LostPolicy::StopAfter(after) => (Some(seconds(after)), None),
        LostPolicy::Replace { lost_after } => (None, Some(seconds(lost_after))),
    };
    json!({
        "name": spec.name.as_str(),
        "version": spec.version,
        "task_version": spec.task_version,
        "class": format!("{}/{}", spec.class.name, spec.class.version),
        "count": match spec.count {
            Count::Exactly(count) => json!(count),
            Count::PerNode => json!("per-node"),
        },
        "where": spec.requirements.selector.to_string(),
        "stopped": spec.stopped,
        "stop_grace_seconds": seconds(spec.stop_grace),
        "restart": {
            "when": when(spec.restart.when),
            "pause_initial_seconds": seconds(spec.restart.pause_initial),
            "pause_max_seconds": seconds(spec.restart.pause_max),
            "restarts_max": spec.restart.restarts_max,
            "window_seconds": seconds(spec.restart.window),
        },
        "on_lost": {"stop_after_seconds": stop_after, "replace_after_seconds": replace_after},
        "update": {
            "max_parallel": spec.update.max_parallel,
            "healthy_after_seconds": seconds(spec.update.healthy_after),
            "progress_deadline_seconds": seconds(spec.update.progress_deadline),
        },
    })
}

/// A word of the file.
pub(super) fn when(when: RestartWhen) -> &'static str {
    match when {
        RestartWhen::Never => "never",
        RestartWhen::OnFailure => "on-failure",
        RestartWhen::Always => "always",
    }
}

fn instance(record: &InstanceRecord, ages: &Ages) -> Value {
    let place = record.place.as_ref();
    let task = place.zip(Jobs::task(record)).map(|(place, task)| shown(&place.node, &task));
    json!({
        "instance": record.instance.to_string(),
        "state": record.state.to_string(),
        "attempt": record.attempt.0,
        "node": place.map(|place| place.node.as_str()),
        "task": task,
        "running_ms": ages.get(&record.instance),
        "task_version": record.task_version,
        "failures": record.failures,
        "ended": record.ended.iter().map(ended).collect::<Vec<_>>(),
    })
}

fn ended(ended: &EndedAttempt) -> Value {
    json!({
        "attempt": ended.attempt.0,
        "state": ended.state.to_string(),
        "node": ended.node.as_ref().map(|node| node.as_str()),
        "task_version": ended.task_version,
        "was_asked": ended.was_asked,
        "counts": ended.counts,
        "may_run": ended.may_run,
        "reason": ended.reason,
        "last_lines": ended.last_lines,
    })
}
