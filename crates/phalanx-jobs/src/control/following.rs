//! The proxy's part in the event logs of its worker: what it follows, what its handlers have, what it acknowledges.

use std::time::Instant;

use phalanx_base::{Fence, Generation, planted};

use super::events::{Followed, Handled};
use super::proxy::{Claim, Proxy};
use super::{ControlEvent, Effects};
use crate::ownership::Stage;
use crate::wire::{Ack, Event, TaskId};

/// How many earlier boots of a worker are remembered whose handlers have not returned: each restart adds one at most.
const CLOSING_BOOTS_MAX: usize = 4;

/// Whether handlers may be given events: not once another node is about to begin where this one ends.
pub(super) fn serves_events(claim: &Claim) -> bool {
    match claim {
        Claim::Active(_) => true,
        Claim::Giving(_, giving) => giving.stage() == Stage::Calling,
        Claim::None | Claim::SentOn | Claim::Attaching { .. } => false,
    }
}

impl Proxy {
    /// Whether the events of a task of that boot are followed, if only to tell its handler that it is lost. Of one that goes on
    /// in the present boot only those are.
    pub(crate) fn follows(&self, generation: Generation, task: &TaskId) -> bool {
        let goes_on = self.followed.as_ref().is_some_and(|followed| followed.contains(task));
        let closing = self.closing.iter().filter(|_| !goes_on && !planted!("closing-state-lost"));
        let mut all = self.followed.iter().chain(closing);
        all.any(|followed| followed.generation() == generation && followed.contains(task))
    }

    /// The worker has started anew: the handlers of what it ran before will be told that it is lost, once it has said what of
    /// it goes on.
    pub(super) fn close_logs(&mut self, now: Instant, generation: Generation, fx: &mut Effects) {
        let next = Followed::new(self.worker.clone(), generation);
        let Some(mut last) = self.followed.replace(next) else { return };
        last.lose();
        self.closing.push_back(last);
        self.closing.retain(|closing| !closing.is_done());
        if self.closing.len() > CLOSING_BOOTS_MAX
            && let Some(mut oldest) = self.closing.pop_front()
        {
            oldest.close(now, |_| false, fx);
        }
    }

    /// The handlers of earlier boots are told which tasks are lost: all but those that the present boot has named.
    pub(super) fn tell_lost(&mut self, now: Instant, fx: &mut Effects) {
        let present = self.followed.as_ref();
        for closing in &mut self.closing {
            closing.close(now, |task| present.is_some_and(|present| present.contains(task)), fx);
        }
        self.closing.retain(|closing| !closing.is_done());
    }

    /// Another node follows the events now: what is known here will soon be old.
    pub(super) fn follow_anew(&mut self, generation: Generation, fx: &mut Effects) {
        self.followed = Some(Followed::new(self.worker.clone(), generation));
        fx.event(ControlEvent::Forgotten(self.worker.clone()));
    }

    /// A handler has returned, for a batch of that boot.
    pub(crate) fn handle_handled(
        &mut self,
        now: Instant,
        generation: Generation,
        task: &TaskId,
        through: u64,
        checkpoint: Option<bytes::Bytes>,
        fx: &mut Effects,
    ) {
        if self.generation() != Some(generation) {
            return self.handle_closed(now, generation, task, through, fx);
        }
        let Some(followed) = &mut self.followed else { return };
        let Some(handled) = followed.handled(task, through, checkpoint) else { return };
        if serves_events(&self.claim) {
            followed.dispatch(now, task, fx);
        }
        if let Some(fence) = self.fence() {
            self.ack(fence, handled, fx);
            self.offer_when_quiet(now, fx);
        }
    }

    fn handle_closed(
        &mut self,
        now: Instant,
        generation: Generation,
        task: &TaskId,
        through: u64,
        fx: &mut Effects,
    ) {
        for closing in self.closing.iter_mut().filter(|closing| closing.generation() == generation) {
            if closing.handled(task, through, None).is_some() {
                closing.dispatch(now, task, fx);
            }
        }
        self.closing.retain(|closing| !closing.is_done());
    }

    /// The mistake of an owner that takes an event for handled when it has arrived.
    pub(super) fn ack_too_early(&self, event: &Event, fx: &mut Effects) {
        if let (true, Some(link)) = (planted!("ack-before-handler"), &self.link) {
            let (fence, through, task) = (event.fence, event.sequence, event.task.clone());
            fx.send(link.link, Ack { fence, task, through, checkpoint: None });
        }
    }

    pub(super) fn ack(&mut self, fence: Fence, handled: Handled, fx: &mut Effects) {
        if let Some(link) = &self.link {
            self.followed.iter_mut().for_each(|followed| followed.acknowledge(&handled));
            let Handled { task, through, checkpoint, .. } = handled;
            fx.send(link.link, Ack { fence, task, through, checkpoint });
        }
    }
}
