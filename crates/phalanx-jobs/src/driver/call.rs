//! One call from this node to any worker: find the owner, ask it, ask again where that is safe.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use phalanx_base::{Generation, NodeId, planted};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout, timeout_at};

use super::control::ControlService;
use super::{now, peers};
use crate::attempts::{Attempts, Next};
use crate::control::ProxyCall;
use crate::outcome::{Outcome, Reason};
use crate::wire::{CallId, Forward, ForwardCancel, Hosting, Verb};

/// How long another control node may take to say whether it hosts a worker.
const LOCATE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long after the deadline the owner's own word about it is waited for.
const DEADLINE_GRACE: Duration = Duration::from_millis(800);

/// How many locations a node remembers. Beyond it the cache starts anew: a miss costs one question.
const LOCATIONS_MAX: usize = 65_536;

/// Who was last seen to host a worker, and the worker's boot then.
#[derive(Debug, Default)]
pub(super) struct Locations(BTreeMap<NodeId, (NodeId, Generation)>);

impl Locations {
    pub(super) fn find(&self, worker: &NodeId) -> Option<(NodeId, Generation)> {
        self.0.get(worker).cloned()
    }

    pub(super) fn keep(&mut self, worker: &NodeId, location: Option<(NodeId, Generation)>) {
        match location {
            Some(location) => {
                if self.0.len() >= LOCATIONS_MAX && !self.0.contains_key(worker) {
                    self.0.clear();
                }
                self.0.insert(worker.clone(), location);
            }
            None => drop(self.0.remove(worker)),
        }
    }
}

/// How a call ended, and as what it was made.
pub(super) struct Called {
    pub(super) id: CallId,
    pub(super) generation: Option<Generation>,
    pub(super) outcome: Outcome,
}

/// Cancels a call whose caller goes away before its outcome is there.
struct CancelOnDrop<'a> {
    service: &'a ControlService,
    owner: &'a NodeId,
    call: Option<(&'a NodeId, &'a CallId)>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let Some((worker, id)) = self.call.take() else { return };
        let (worker, id) = (worker.clone(), id.clone());
        if *self.owner == self.service.0.boot.node {
            self.service.0.local.cancel(worker, id);
        } else {
            let cancel = peers::Input::Cancel(self.owner.clone(), ForwardCancel { worker, id });
            // One that finds the inbox full is left to the deadline.
            let _ = self.service.0.peers.try_send(cancel);
        }
    }
}

impl ControlService {
    /// Makes a call that goes on from what earlier ones have learnt. `bound` is the boot of the worker that it is bound to, as a
    /// command to a task is. Dropping the future cancels the call.
    pub(super) async fn call_in(
        &self,
        worker: &NodeId,
        verb: Verb,
        bound: Option<Generation>,
        attempts: &mut Attempts,
    ) -> Called {
        let (mut id, mut stamped) = (self.new_id(), bound);
        let mut looked_again = false;
        // Who was asked last.
        let mut tried = None;
        loop {
            let until = attempts.deadline() + DEADLINE_GRACE;
            let outcome = match self.locate_by(until, worker, tried.as_ref()).await {
                Err(reason) => Outcome::NotExecuted(reason),
                Ok((owner, generation)) => {
                    let generation = *stamped.get_or_insert(generation);
                    let deadline = attempts.deadline();
                    let outcome = self.attempt(worker, &owner, &id, generation, verb.clone(), deadline).await;
                    tried = Some(owner);
                    if outcome == Outcome::NotExecuted(Reason::NotConnected) && !looked_again {
                        // It has lost a worker that it was known to host: another one may have it by now.
                        looked_again = true;
                        self.cache_location(worker, None);
                        continue;
                    }
                    outcome
                }
            };
            match attempts.handle(now(), outcome) {
                Next::Finish(outcome) => {
                    if !matches!(outcome, Outcome::Done(_) | Outcome::Failed(_) | Outcome::Aborted(_)) {
                        self.cache_location(worker, None);
                    }
                    return Called { id, generation: stamped, outcome };
                }
                Next::Again { pause } => {
                    self.cache_location(worker, None);
                    sleep(pause).await;
                }
                Next::Afresh => {
                    self.cache_location(worker, None);
                    (id, stamped) = (self.new_id(), bound);
                }
            }
        }
    }

    async fn attempt(
        &self,
        worker: &NodeId,
        owner: &NodeId,
        id: &CallId,
        generation: Generation,
        verb: Verb,
        deadline: Instant,
    ) -> Outcome {
        let mut cancel = CancelOnDrop { service: self, owner, call: Some((worker, id)) };
        let mut call = ProxyCall { id: id.clone(), generation, deadline, verb };
        let is_here = *owner == self.0.boot.node;
        if is_here {
            match self.0.local.begin_call(worker, call) {
                Ok(answer) => {
                    // A proxy answers in time, whatever the worker does: there is no need to watch the clock here too.
                    let outcome = answer.await.unwrap_or(Outcome::Unknown(Reason::ShuttingDown));
                    cancel.call = None;
                    return outcome;
                }
                Err(refused) => call = *refused,
            }
        }
        let answer = async {
            if is_here {
                return self.0.local.call(worker, call).await;
            }
            let ProxyCall { id, generation, verb, .. } = call;
            let remaining = deadline.saturating_duration_since(now());
            let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
            let forward = Forward { worker: worker.clone(), id, generation, remaining_ms, verb };
            let (reply, answer) = oneshot::channel();
            let input = peers::Input::Forward(owner.clone(), forward, reply);
            if self.0.peers.send(input).await.is_err() {
                return Outcome::NotExecuted(Reason::ShuttingDown);
            }
            answer.await.unwrap_or(Outcome::Unknown(Reason::ShuttingDown))
        };
        let grace = if planted!("late-deadline") { Duration::from_secs(60) } else { DEADLINE_GRACE };
        let outcome = timeout_at((deadline + grace).into(), answer).await;
        if outcome.is_ok() {
            cancel.call = None;
        }
        outcome.unwrap_or(Outcome::Unknown(Reason::DeadlineExceeded))
    }

    /// As [`locate`](Self::locate), until then. Most of the time it is known, and no timer is needed.
    async fn locate_by(
        &self,
        until: Instant,
        worker: &NodeId,
        tried: Option<&NodeId>,
    ) -> Result<(NodeId, Generation), Reason> {
        if let Some(location) = self.cached_location(worker).filter(|_| !self.0.peers.is_closed()) {
            return Ok(location);
        }
        let located = timeout_at(until.into(), self.locate(worker, tried)).await;
        located.unwrap_or(Err(Reason::DeadlineExceeded))
    }

    /// Who hosts the proxy of a worker, and the worker's boot. Whom the directory names is asked first, unless it is the one
    /// that was `tried` and could not serve; then whom placement names; then everybody: a proxy may be on its way, or where
    /// a standby took it.
    pub(super) async fn locate(
        &self,
        worker: &NodeId,
        tried: Option<&NodeId>,
    ) -> Result<(NodeId, Generation), Reason> {
        if self.0.peers.is_closed() {
            return Err(Reason::ShuttingDown);
        }
        if let Some(location) = self.cached_location(worker) {
            return Ok(location);
        }
        let owners = self.owners();
        let Some(acting) = owners.acting(worker) else { return Err(Reason::NotHosted) };
        let named = self.0.directory.location(worker).filter(|named| {
            // One that is down would not answer, and the time that takes is the caller's.
            Some(named) != tried && *named != acting.node && !owners.is_down(named)
        });
        let mut answers = Vec::new();
        for control in named.into_iter().chain([acting.node]) {
            let answer = self.hosting(&control, worker).await;
            if let Some(Hosting::Hosted { generation, .. }) = answer {
                self.cache_location(worker, Some((control.clone(), generation)));
                return Ok((control, generation));
            }
            answers.push((answer, control));
        }
        self.locate_anywhere(worker, &owners.controls(), answers).await
    }

    /// Asks everybody who is not among those that have `answered`, the last of whom is the acting owner.
    async fn locate_anywhere(
        &self,
        worker: &NodeId,
        controls: &[NodeId],
        answered: Vec<(Option<Hosting>, NodeId)>,
    ) -> Result<(NodeId, Generation), Reason> {
        // Whoever should host it and has lost it says enough.
        let lost = answered.last().is_some_and(|(answer, _)| *answer == Some(Hosting::NotConnected));
        let others = controls.iter().filter(|control| answered.iter().all(|(_, asked)| asked != *control));
        let asked =
            others.map(|control| async move { (self.hosting(control, worker).await, control.clone()) });
        let answers: Vec<(Option<Hosting>, NodeId)> =
            join_all(asked).await.into_iter().chain(answered).collect();
        match answers.iter().max() {
            Some((Some(Hosting::Hosted { generation, .. }), control)) => {
                self.cache_location(worker, Some((control.clone(), *generation)));
                return Ok((control.clone(), *generation));
            }
            Some((Some(Hosting::Between), _)) => return Err(Reason::NotHosted),
            _ => {}
        }
        // While somebody is silent, nobody knows where the worker is not; the acting owner is named first.
        if let Some((_, silent)) = answers.iter().rev().find(|(answer, _)| answer.is_none() && !lost) {
            return Err(Reason::OwnerUnreachable(silent.clone()));
        }
        match answers.into_iter().max() {
            Some((Some(Hosting::NotConnected), _)) => Err(Reason::NotConnected),
            _ if self.knows_little() => Err(Reason::NotHosted),
            _ => Err(Reason::NotFound),
        }
    }

    /// Whether any control node hosts the proxy of a worker now; `None` where nobody can know that, as while one of them
    /// does not answer, or the worker moves.
    pub async fn is_hosted(&self, worker: &NodeId) -> Option<bool> {
        self.cache_location(worker, None);
        match self.locate(worker, None).await {
            Ok(_) => Some(true),
            Err(Reason::NotConnected | Reason::NotFound) => Some(false),
            Err(_) => None,
        }
    }

    /// What a control node knows of a worker; `None` when it does not answer.
    async fn hosting(&self, control: &NodeId, worker: &NodeId) -> Option<Hosting> {
        if *control == self.0.boot.node {
            return Some(self.0.local.hosting(worker).await);
        }
        self.0.locations_asked.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let input = peers::Input::Locate(control.clone(), worker.clone(), reply);
        self.0.peers.send(input).await.ok()?;
        timeout(LOCATE_TIMEOUT, answer).await.ok()?.ok()
    }
}
