//! The timers that the failure detector asked for, at most one for each thing that it waits for.
//!
//! foca asks for a timer and never takes it back; it ignores those that came to nothing. Kept in a list they would
//! pile up for days (each member that flaps leaves one that fires in 72 hours), so each has a slot, and a newer timer
//! takes the slot of the one that it makes pointless.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foca::{Identity as _, TimerToken};
use phalanx_base::NodeId;

use crate::identity::Identity;

/// A timer of the failure detector.
pub(crate) type Timer = foca::Timer<Identity>;

/// What the detector waits for; in the order in which timers that are due at once must fire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    IndirectProbe,
    Probe,
    SuspectToDown(NodeId),
    Announce,
    Gossip,
    RemoveDown(NodeId),
    AnnounceDown,
}

impl Slot {
    fn of(timer: &Timer) -> Self {
        match timer {
            Timer::SendIndirectProbe { .. } => Self::IndirectProbe,
            Timer::ProbeRandomMember(_) => Self::Probe,
            Timer::ChangeSuspectToDown { member_id, .. } => Self::SuspectToDown(member_id.node().clone()),
            Timer::PeriodicAnnounce(_) => Self::Announce,
            Timer::PeriodicGossip(_) => Self::Gossip,
            Timer::RemoveDown(member) => Self::RemoveDown(member.node().clone()),
            Timer::PeriodicAnnounceDown(_) => Self::AnnounceDown,
        }
    }
}

/// The timers that are set: at most five and two for each member, however long the node runs.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeMap<Slot, (Instant, Timer)>,
}

impl Timers {
    /// Sets a timer, unless the one in its slot is worth more.
    pub(crate) fn insert(&mut self, deadline: Instant, timer: Timer) {
        let slot = Slot::of(&timer);
        match self.set.get(&slot) {
            Some((_, known)) if outlasts(known, &timer) => {}
            _ => {
                self.set.insert(slot, (deadline, timer));
            }
        }
    }

    /// Sets the timer of a suspicion, or brings the one that is set forward; it never puts it off.
    pub(crate) fn hasten(&mut self, deadline: Instant, timer: Timer) {
        match self.set.get_mut(&Slot::of(&timer)) {
            Some((known_deadline, known)) if outlasts(known, &timer) => {
                *known_deadline = deadline.min(*known_deadline);
            }
            _ => self.insert(deadline, timer),
        }
    }

    /// Lets a suspicion that runs end no sooner than this.
    pub(crate) fn put_off_suspicion(&mut self, node: &NodeId, until: Instant) {
        if let Some((deadline, _)) = self.set.get_mut(&Slot::SuspectToDown(node.clone())) {
            *deadline = until.max(*deadline);
        }
    }

    /// Time has passed in which nothing was heard: every timer keeps what it had left, and every suspicion begins anew.
    pub(crate) fn resume(&mut self, now: Instant, paused: Duration, suspicion: Duration) {
        for (slot, (deadline, _)) in &mut self.set {
            *deadline = match slot {
                Slot::SuspectToDown(_) => now + suspicion,
                _ => *deadline + paused,
            };
        }
    }

    /// The token of the timers that count now; `None` while the detector has nobody to watch.
    pub(crate) fn token(&self) -> Option<TimerToken> {
        match self.set.get(&Slot::Probe) {
            Some((_, Timer::ProbeRandomMember(token))) => Some(*token),
            _ => None,
        }
    }

    /// Drops the timers of the probe: nobody is to be probed until the detector asks for it anew.
    pub(crate) fn stop_probing(&mut self) {
        self.set.remove(&Slot::Probe);
        self.set.remove(&Slot::IndirectProbe);
    }

    /// When the next one is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.set.values().map(|(deadline, _)| *deadline).min()
    }

    /// Takes the first one that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let due = self.set.iter().filter(|(_, (deadline, _))| *deadline <= now);
        let (_, slot) = due.map(|(slot, (deadline, _))| (*deadline, slot)).min()?;
        let slot = slot.clone();
        self.set.remove(&slot).map(|(_, timer)| timer)
    }

    /// Takes the timer that would forget the member that has been down for the longest time.
    pub(crate) fn pop_oldest_down(&mut self) -> Option<Timer> {
        let down = self.set.iter().filter(|(slot, _)| matches!(slot, Slot::RemoveDown(_)));
        let (_, slot) = down.map(|(slot, (deadline, _))| (*deadline, slot)).min()?;
        let slot = slot.clone();
        self.set.remove(&slot).map(|(_, timer)| timer)
    }
}

/// Whether the suspicion that is `known` makes a new timer pointless: a suspicion runs from when it was raised, and a
/// timer of an older incarnation or identity cannot bring the member down any more.
fn outlasts(known: &Timer, new: &Timer) -> bool {
    match (known, new) {
        (
            Timer::ChangeSuspectToDown {
                member_id: known,
                incarnation: known_incarnation,
                token: known_token,
            },
            Timer::ChangeSuspectToDown { member_id: new, incarnation, token },
        ) => {
            known_token == token
                && (known.win_addr_conflict(new) || known == new && known_incarnation >= incarnation)
        }
        (Timer::RemoveDown(known), Timer::RemoveDown(new)) => known.win_addr_conflict(new),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{Boot, Generation};
    use std::time::Duration;

    fn identity(name: &str, generation: u64) -> Identity {
        let node = NodeId::new(name).unwrap();
        Identity::new(Boot { node, generation: Generation::from_u64(generation) }, None)
    }

    fn suspicion(name: &str, generation: u64, incarnation: u16) -> Timer {
        Timer::ChangeSuspectToDown { member_id: identity(name, generation), incarnation, token: 1 }
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for manual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn after(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn timers_fire_by_deadline_and_then_in_the_detectors_order() {
        let start = origin();
        let mut timers = Timers::default();
        timers.insert(start + after(20), Timer::PeriodicGossip(0));
        timers.insert(start + after(20), Timer::ProbeRandomMember(0));
        timers.insert(start + after(20), Timer::SendIndirectProbe { probed_id: identity("a", 1), token: 0 });
        timers.insert(start + after(10), Timer::PeriodicAnnounceDown(0));
        assert_eq!(timers.next_deadline(), Some(start + after(10)));
        assert_eq!(timers.pop_due(start), None);
        let fired: Vec<Slot> =
            std::iter::from_fn(|| timers.pop_due(start + after(20))).map(|timer| Slot::of(&timer)).collect();
        assert_eq!(fired, [Slot::AnnounceDown, Slot::IndirectProbe, Slot::Probe, Slot::Gossip]);
    }

    #[test]
    fn a_suspicion_runs_from_its_start_and_a_newer_one_replaces_it() {
        let start = origin();
        let mut timers = Timers::default();
        timers.insert(start, suspicion("a", 2, 3));
        timers.insert(start + after(5), suspicion("a", 2, 3));
        timers.insert(start + after(6), suspicion("a", 2, 2));
        timers.insert(start + after(7), suspicion("a", 1, 9));
        assert_eq!(timers.next_deadline(), Some(start), "a second failed probe does not prolong it");
        timers.insert(start + after(8), suspicion("a", 2, 4));
        assert_eq!(timers.next_deadline(), Some(start + after(8)));
        assert_eq!(timers.pop_due(start + after(8)), Some(suspicion("a", 2, 4)));
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn evidence_brings_a_suspicion_forward_and_a_link_puts_it_off() {
        let start = origin();
        let mut timers = Timers::default();
        timers.hasten(start + after(50), suspicion("a", 1, 0));
        timers.hasten(start + after(20), suspicion("a", 1, 0));
        timers.hasten(start + after(90), suspicion("a", 1, 0));
        assert_eq!(timers.next_deadline(), Some(start + after(20)));
        timers.put_off_suspicion(identity("a", 1).node(), start + after(70));
        timers.put_off_suspicion(identity("b", 1).node(), start + after(70));
        timers.put_off_suspicion(identity("a", 1).node(), start + after(30));
        assert_eq!(timers.next_deadline(), Some(start + after(70)));
        assert_eq!(timers.set.len(), 1);
    }

    #[test]
    fn after_a_pause_all_go_on_and_suspicions_begin_anew() {
        let start = origin();
        let mut timers = Timers::default();
        timers.insert(start + after(10), Timer::ProbeRandomMember(3));
        timers.insert(start + after(5), suspicion("a", 1, 0));
        assert_eq!(timers.token(), Some(3));
        timers.resume(start + after(2_000), after(1_990), after(4_000));
        assert_eq!(timers.pop_due(start + after(2_000)), Some(Timer::ProbeRandomMember(3)));
        assert_eq!(timers.next_deadline(), Some(start + after(6_000)));
        assert_eq!(timers.token(), None);
    }

    #[test]
    fn one_timer_for_each_member_however_often_it_flaps() {
        let start = origin();
        let mut timers = Timers::default();
        for generation in 0..1_000 {
            timers.insert(start + after(generation), Timer::RemoveDown(identity("a", generation)));
            timers.insert(start + after(generation), suspicion("a", generation, 0));
        }
        timers.insert(start, Timer::RemoveDown(identity("b", 1)));
        assert_eq!(timers.set.len(), 3);
        assert_eq!(timers.pop_oldest_down(), Some(Timer::RemoveDown(identity("b", 1))));
        assert_eq!(timers.pop_oldest_down(), Some(Timer::RemoveDown(identity("a", 999))));
        assert_eq!(timers.pop_oldest_down(), None);
    }
}
