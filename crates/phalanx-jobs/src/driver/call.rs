//! One call from this node to any worker: find the owner, ask it, ask again where that is safe.

use std::collections::BTreeMap;
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
    call: Option<(NodeId, CallId)>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let Some((worker, id)) = self.call.take() else { return };
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
        loop {
            let until = (attempts.deadline() + DEADLINE_GRACE).into();
            let outcome = match timeout_at(until, self.locate(worker)).await {
                Err(_) => Outcome::NotExecuted(Reason::DeadlineExceeded),
                Ok(Err(reason)) => Outcome::NotExecuted(reason),
                Ok(Ok((owner, generation))) => {
                    let generation = *stamped.get_or_insert(generation);
                    let deadline = attempts.deadline();
                    let outcome = self.attempt(worker, &owner, &id, generation, verb.clone(), deadline).await;
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
        let call = Some((worker.clone(), id.clone()));
        let mut cancel = CancelOnDrop { service: self, owner, call };
        let answer = async {
            if *owner == self.0.boot.node {
                let call = ProxyCall { id: id.clone(), generation, deadline, verb };
                return self.0.local.call(worker, call).await;
            }
            let remaining = deadline.saturating_duration_since(now());
            let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
            let forward = Forward { worker: worker.clone(), id: id.clone(), generation, remaining_ms, verb };
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

    /// Who hosts the proxy of a worker, and the worker's boot. Placement is asked first, then everybody: a proxy may be
    /// on its way, or where a standby took it.
    pub(super) async fn locate(&self, worker: &NodeId) -> Result<(NodeId, Generation), Reason> {
        if self.0.peers.is_closed() {
            return Err(Reason::ShuttingDown);
        }
        if let Some(location) = self.cached_location(worker) {
            return Ok(location);
        }
        let owners = self.owners();
        let Some(acting) = owners.acting(worker) else { return Err(Reason::NotHosted) };
        let answer = self.hosting(&acting.node, worker).await;
        if let Some(Hosting::Hosted { generation, .. }) = answer {
            self.cache_location(worker, Some((acting.node.clone(), generation)));
            return Ok((acting.node, generation));
        }
        let others = owners.controls().into_iter().filter(|control| *control != acting.node);
        let asked = others.map(|control| async move {
            let hosting = self.hosting(&control, worker).await;
            (hosting, control)
        });
        let answers: Vec<(Option<Hosting>, NodeId)> =
            join_all(asked).await.into_iter().chain([(answer, acting.node)]).collect();
        match answers.iter().max() {
            Some((Some(Hosting::Hosted { generation, .. }), control)) => {
                self.cache_location(worker, Some((control.clone(), *generation)));
                return Ok((control.clone(), *generation));
            }
            Some((Some(Hosting::Between), _)) => return Err(Reason::NotHosted),
            _ => {}
        }
        // Whoever should host it and has lost it says enough. Else, while somebody is silent, nobody knows where the worker
        // is not; the acting owner is named first.
        let lost = answer == Some(Hosting::NotConnected);
        if let Some((_, silent)) = answers.iter().rev().find(|(answer, _)| answer.is_none() && !lost) {
            return Err(Reason::OwnerUnreachable(silent.clone()));
        }
        match answers.into_iter().max() {
            Some((Some(Hosting::NotConnected), _)) => Err(Reason::NotConnected),
            _ if self.knows_little() => Err(Reason::NotHosted),
            _ => Err(Reason::NotFound),
        }
    }

    /// What a control node knows of a worker; `None` when it does not answer.
    async fn hosting(&self, control: &NodeId, worker: &NodeId) -> Option<Hosting> {
        if *control == self.0.boot.node {
            return Some(self.0.local.hosting(worker).await);
        }
        let (reply, answer) = oneshot::channel();
        let input = peers::Input::Locate(control.clone(), worker.clone(), reply);
        self.0.peers.send(input).await.ok()?;
        timeout(LOCATE_TIMEOUT, answer).await.ok()?.ok()
    }
}
