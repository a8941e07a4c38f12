//! The JSON form of everything: written out by hand, so that it does not change when a type does.

use std::time::{Duration, UNIX_EPOCH};

use phalanx::{ClassName, NodeStatus, Usage};
use phalanx_operator::{
    Event, EventKind, Formation, Joined, Member, Node, NodeDetails, Part, Status, TaskTold,
};
use serde_json::{Map, Value, json};

use super::{Format, print_json};
use crate::exit::Failure;

/// Says what was done to a program; people see no news in that.
pub(crate) fn done(format: Format, form: &Value) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(form),
        Format::Table => Ok(()),
    }
}

/// A status in one word.
pub(crate) fn word(status: NodeStatus) -> String {
    status.to_string().replace(' ', "-")
}

/// A moment as RFC 3339 has it, in UTC.
pub(crate) fn time(unix_ms: u64) -> String {
    // The formatter's last year; a clock that is later than that is wrong.
    const YEAR_9999_MS: u64 = 253_402_300_799_000;
    let moment = UNIX_EPOCH + Duration::from_millis(unix_ms.min(YEAR_9999_MS));
    humantime::format_rfc3339_millis(moment).to_string()
}

pub(crate) fn status(status: &Status) -> Value {
    let mut value = json!({
        "cluster": status.cluster,
        "node": status.node.node.as_str(),
        "generation": status.node.generation.to_string(),
        "listen": status.listen.to_string(),
        "version": status.version,
        "ready": status.ready,
        "explanation": status.explanation,
    });
    let more = match &status.part {
        Part::Worker(worker) => json!({
            "role": "worker",
            "status": word(worker.status),
            "owner": worker.owner.as_ref().map(|owner| owner.as_str()),
        }),
        Part::Control(control) => json!({
            "role": "control",
            "cluster_id": control.cluster_id,
            "formation": formation(control.formation),
            "majority": control.majority,
            "hosted": control.hosted,
            "members": control.members.iter().map(member).collect::<Vec<_>>(),
            "discovery": control.discovery.iter().map(|strategy| json!({
                "name": strategy.name,
                "found": strategy.found,
                "error": strategy.error,
            })).collect::<Vec<_>>(),
            "sockets": control.sockets.iter().map(|socket| json!({
                "socket": socket.socket.to_string(),
                "node": socket.node.as_ref().map(|node| node.as_str()),
                "error": socket.error,
            })).collect::<Vec<_>>(),
        }),
    };
    add(&mut value, more);
    value
}

/// Adds the keys of an object to another one.
pub(crate) fn add(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend(more);
    }
}

fn formation(formation: Formation) -> Value {
    match formation {
        Formation::Forming { seen, expected } => {
            json!({"state": "forming", "seen": seen, "expected": expected})
        }
        Formation::Formed => json!({"state": "formed"}),
        Formation::GaveUp { seen, expected } => {
            json!({"state": "gave-up", "seen": seen, "expected": expected})
        }
    }
}

fn member(member: &Member) -> Value {
    json!({
        "node": member.node.node.as_str(),
        "generation": member.node.generation.to_string(),
        "liveness": member.liveness.as_str(),
        "state": member.state.map(|state| state.as_str()),
        "addresses": member.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "weight": member.weight,
        "zone": member.zone,
    })
}

/// One node of the cluster: how it works, and how it controls.
pub(crate) fn node(worker: Option<&Node>, as_member: Option<&Member>) -> Value {
    let name = worker.map(|node| &node.node).or(as_member.map(|member| &member.node.node));
    json!({
        "node": name.map(|name| name.as_str()),
        "role": role(as_member),
        "worker": worker.map(|node| json!({
            "generation": node.generation.to_string(),
            "status": word(node.status),
            "owner": node.owner.as_str(),
            "fence": node.fence.0,
            "tasks": node.tasks,
            "labels": node.labels.to_string(),
            "classes": node.classes,
            "usage": usage(&node.usage),
        })),
        "control": as_member.map(member),
    })
}

/// How full a worker is, in percent; null where it does not say.
pub(crate) fn usage(usage: &Usage) -> Value {
    json!({
        "memory_percent": usage.memory_percent,
        "cpu_percent": usage.cpu_percent,
        "load_percent": usage.load_percent,
        "disk_percent": usage.disk_percent,
    })
}

/// The role of a node that may be a member of the control nodes.
pub(crate) fn role(as_member: Option<&Member>) -> &'static str {
    if as_member.is_some() { "control" } else { "worker" }
}

pub(crate) fn details(details: &NodeDetails) -> Value {
    let mut value = node(details.worker.as_ref(), details.member.as_ref());
    add(
        &mut value,
        json!({
            "node": details.node.as_str(),
            "lost": details.lost.map(word),
            "version": details.version,
            "tasks": details.tasks.iter().map(|task| json!({"task": task.task, "class": task.class})).collect::<Vec<_>>(),
            "error": details.error,
        }),
    );
    value
}

pub(crate) fn joined(joined: &Joined) -> Value {
    let (node, error) = match &joined.outcome {
        Ok(node) => (Some(node.as_str()), None),
        Err(error) => (None, Some(error)),
    };
    json!({"address": joined.address.to_string(), "node": node, "error": error})
}

/// One event, on one line.
pub(crate) fn event(event: &Event) -> Value {
    let mut value = json!({
        "number": event.number,
        "time": time(event.unix_ms),
        "event": event_name(&event.kind),
    });
    let boot =
        |boot: &phalanx::Boot| json!({"node": boot.node.as_str(), "generation": boot.generation.to_string()});
    let more = match &event.kind {
        EventKind::Joined { node, address } => {
            let mut joined = boot(node);
            add(&mut joined, json!({"address": address.as_ref().map(ToString::to_string)}));
            joined
        }
        EventKind::Up(node)
        | EventKind::Suspect(node)
        | EventKind::Down(node)
        | EventKind::Left(node)
        | EventKind::Removed(node) => boot(node),
        EventKind::RosterUpdated { version } => json!({"version": version}),
        EventKind::Worker { node, status, hosted } => json!({
            "node": node.as_str(), "status": word(*status), "hosted": hosted.map(|fence| fence.0),
        }),
        EventKind::Labelled { node } => json!({"node": node.as_str()}),
        EventKind::Redelivered { count } | EventKind::Missed { count } => json!({"count": count}),
        EventKind::MassFailure { lost, known } => json!({"lost": lost, "known": known}),
        EventKind::User { from, name, payload } => {
            let mut user = json!({"from": from.as_str(), "name": name});
            add(
                &mut user,
                json!({ "payload": std::str::from_utf8(payload).ok(), "payload_hex": hex(payload) }),
            );
            user
        }
        EventKind::Gap { after } => json!({"after": after}),
        EventKind::PartitionSuspected { away } => {
            json!({"away": away.iter().map(|node| node.as_str()).collect::<Vec<_>>()})
        }
        EventKind::Job { job, attempt, node, what, reason } => json!({
            "job": job,
            "attempt": attempt,
            "node": node.as_ref().map(|node| node.as_str()),
            "what": what,
            "reason": reason,
        }),
        EventKind::TaskStarted(task) => task_told(task),
        EventKind::TaskStopped { task, state, reason } => {
            let mut stopped = task_told(task);
            add(&mut stopped, json!({"state": state.as_str(), "reason": reason}));
            stopped
        }
        EventKind::Expelled
        | EventKind::PartitionOccurred
        | EventKind::PartitionHealed
        | EventKind::PartitionEnded
        | EventKind::MassFailureEnded => Value::Object(Map::new()),
    };
    add(&mut value, more);
    value
}

fn task_told(task: &TaskTold) -> Value {
    json!({
        "node": task.node.as_str(),
        "task": task.task,
        "class": task.class,
        "instance": task.instance.as_ref().map(|instance| json!({
            "job": instance.job(), "name": instance.name(), "attempt": instance.attempt(),
        })),
    })
}

pub(crate) fn event_name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Joined { .. } => "joined",
        EventKind::Up(_) => "up",
        EventKind::Suspect(_) => "suspect",
        EventKind::Down(_) => "down",
        EventKind::Left(_) => "left",
        EventKind::Removed(_) => "removed",
        EventKind::Expelled => "expelled",
        EventKind::PartitionOccurred => "partition-occurred",
        EventKind::PartitionHealed => "partition-healed",
        EventKind::PartitionSuspected { .. } => "partition-suspected",
        EventKind::PartitionEnded => "partition-ended",
        EventKind::RosterUpdated { .. } => "roster-updated",
        EventKind::Worker { .. } => "worker",
        EventKind::Labelled { .. } => "labelled",
        EventKind::Redelivered { .. } => "redelivered",
        EventKind::MassFailure { .. } => "mass-failure",
        EventKind::MassFailureEnded => "mass-failure-ended",
        EventKind::User { .. } => "user",
        EventKind::Missed { .. } => "missed",
        EventKind::Gap { .. } => "gap",
        EventKind::Job { .. } => "job",
        EventKind::TaskStarted(_) => "task-started",
        EventKind::TaskStopped { .. } => "task-stopped",
    }
}

/// Bytes that are no text, for programs.
pub(crate) fn hex(bytes: &[u8]) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(_) => None,
        Err(_) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

/// A job class, as `name/version`.
pub(crate) fn class(class: &ClassName) -> String {
    format!("{}/{}", class.name, class.version)
}
