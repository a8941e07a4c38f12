//! What was last reported of each member, so that a change can be told as an event, and since when who is missing.
//!
//! foca tells of some changes and not of others (a suspicion, for one), so its table is compared with what was last
//! seen of it after each input. Nothing is copied as long as nothing changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foca::State;
use phalanx_base::{Boot, NodeId};

use crate::detector::Detector;
use crate::event::{Event, EventQueue, Liveness};
use crate::record::{Record, Standing};
use crate::roster::Roster;
use crate::view::MemberView;
use crate::wire::Member;

/// What was last reported of a member, and since when it is so.
#[derive(Debug)]
struct Observation {
    view: MemberView,
    since: Instant,
    /// Until when this is kept although the detector has forgotten the member, because it began anew.
    kept_until: Option<Instant>,
}

/// How long a member that was down when the detector began anew may take to be heard of: several exchanges.
const KEEP: Duration = Duration::from_secs(60);

/// What was last reported of each member.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// Every member in the detector's table but the local one.
    seen: BTreeMap<NodeId, Observation>,
    /// The detector's table as it was compared last. Most inputs leave it as it is, and a glance shows that.
    table: Vec<Member>,
    /// Whether to compare even if the table is the same: the roster changed, or somebody is kept for a while.
    stale: bool,
    /// Every node of the roster that counts in majorities and is not alive, with the time since which it is missing.
    missing_since: BTreeMap<NodeId, Instant>,
}

impl Observations {
    /// How a member is, if the detector knows it.
    pub(crate) fn liveness(&self, node: &NodeId) -> Option<Liveness> {
        self.seen.get(node).map(|seen| seen.view.liveness)
    }

    pub(crate) fn is_alive(&self, node: &NodeId) -> bool {
        self.liveness(node).is_some_and(Liveness::is_alive)
    }

    /// Whether this boot is alive beyond doubt.
    pub(crate) fn answers(&self, boot: &Boot) -> bool {
        self.seen
            .get(&boot.node)
            .is_some_and(|seen| seen.view.boot == *boot && seen.view.liveness == Liveness::Alive)
    }

    /// Whether a member has been down or gone for longer than `age`.
    pub(crate) fn is_long_down(&self, node: &NodeId, now: Instant, age: Duration) -> bool {
        self.seen.get(node).is_some_and(|seen| {
            !seen.view.liveness.is_alive() && now.saturating_duration_since(seen.since) > age
        })
    }

    /// Compares the detector's table with what was last seen of it and tells the difference. Returns whether there
    /// was one.
    pub(crate) fn refresh_members(
        &mut self,
        now: Instant,
        detector: &Detector,
        roster: &Roster,
        events: &mut EventQueue,
    ) -> bool {
        if !self.stale && detector.members().eq(&self.table) {
            return false;
        }
        self.table.clear();
        self.table.extend(detector.members().cloned());
        let mut count = 0;
        let mut changed: Vec<MemberView> = detector
            .members()
            .filter(|member| !is_removed(member, roster))
            .inspect(|_| count += 1)
            .filter_map(|member| self.difference(member, roster))
            .collect();
        // The table's order is random; that of the events is not.
        changed.sort_unstable_by(|a, b| a.boot.cmp(&b.boot));
        let mut differs = !changed.is_empty();
        for view in changed {
            let before = self.seen.remove(&view.boot.node).map(|seen| seen.view);
            report(before.as_ref(), &view, events);
            let seen = Observation { view, since: now, kept_until: None };
            self.seen.insert(seen.view.boot.node.clone(), seen);
        }
        if count != self.seen.len() {
            self.seen.retain(|node, seen| {
                let kept = detector.member(node).is_some_and(|member| !is_removed(member, roster))
                    || seen.kept_until.is_some_and(|until| now < until);
                if !kept {
                    differs = true;
                    events.push(Event::Removed(seen.view.boot.clone()));
                }
                kept
            });
        }
        self.stale = self.seen.values().any(|seen| seen.kept_until.is_some());
        differs
    }

    /// The roster changed, and with it perhaps who counts.
    pub(crate) fn look_again(&mut self) {
        self.stale = true;
    }

    /// The detector begins anew and forgets who is down. Whoever is heard of again soon has come up, and is not new.
    pub(crate) fn keep_the_down(&mut self, now: Instant) {
        for seen in self.seen.values_mut().filter(|seen| !seen.view.liveness.is_alive()) {
            seen.kept_until = Some(now + KEEP);
            self.stale = true;
        }
    }

    /// This node slept: nobody was missing in a time in which it heard nobody.
    pub(crate) fn resume(&mut self, paused: Duration) {
        self.missing_since.values_mut().for_each(|since| *since += paused);
    }

    /// Notes since when each node of the roster is missing.
    pub(crate) fn refresh_missing(&mut self, now: Instant, roster: &Roster) {
        let mut before = std::mem::take(&mut self.missing_since);
        for record in roster.others() {
            if !record.standing.is_out() && !self.is_alive(record.node()) {
                let since = before.remove(record.node()).unwrap_or(now);
                self.missing_since.insert(record.node().clone(), since);
            }
        }
    }

    /// Who has been missing for at least this time.
    pub(crate) fn overdue(&self, now: Instant, time: Duration) -> Vec<NodeId> {
        let overdue = self.missing_since.iter().filter(|(_, since)| **since + time <= now);
        overdue.map(|(node, _)| node.clone()).collect()
    }

    /// When the next one will have been missing for one of these times.
    pub(crate) fn next_overdue(&self, now: Instant, times: [Duration; 2]) -> Option<Instant> {
        let deadlines = self.missing_since.values().flat_map(|since| times.map(|time| *since + time));
        deadlines.filter(|at| *at > now).min()
    }

    /// Everybody whom the detector or the roster knows, but the local node, sorted by node.
    pub(crate) fn members(&self, roster: &Roster) -> BTreeMap<NodeId, MemberView> {
        let mut members: BTreeMap<NodeId, MemberView> = roster
            .others()
            .filter(|record| !self.seen.contains_key(record.node()) && !record.standing.is_tombstone())
            .map(|record| (record.node().clone(), unseen(record)))
            .collect();
        for (node, seen) in &self.seen {
            let mut view = seen.view.clone();
            if view.address.is_none() {
                view.address = roster.record(node).and_then(first_address);
            }
            members.insert(node.clone(), view);
        }
        members
    }

    fn difference(&self, member: &Member, roster: &Roster) -> Option<MemberView> {
        let identity = member.id();
        let liveness = liveness(member, roster);
        let same = self
            .seen
            .get(identity.node())
            .is_some_and(|seen| seen.view.boot == *identity.boot() && seen.view.liveness == liveness);
        (!same).then(|| MemberView {
            boot: identity.boot().clone(),
            address: identity.address().cloned(),
            role: identity.role(),
            liveness,
        })
    }
}

/// Whether the roster keeps this boot out. The detector may remember it for longer.
pub(crate) fn is_removed(member: &Member, roster: &Roster) -> bool {
    roster.record(member.id().node()).is_some_and(|record| {
        record.standing.is_tombstone() && record.generation() >= member.id().boot().generation
    })
}

fn liveness(member: &Member, roster: &Roster) -> Liveness {
    let left = |record: &Record| {
        record.standing == Standing::Left && record.generation() >= member.id().boot().generation
    };
    match member.state() {
        State::Alive => Liveness::Alive,
        State::Suspect => Liveness::Suspect,
        State::Down if roster.record(member.id().node()).is_some_and(left) => Liveness::Left,
        State::Down => Liveness::Down,
    }
}

/// A node that is in the roster and was never met by the detector.
fn unseen(record: &Record) -> MemberView {
    MemberView {
        boot: record.boot.clone(),
        address: first_address(record),
        role: phalanx_base::Role::Control,
        liveness: if record.standing == Standing::Left { Liveness::Left } else { Liveness::Down },
    }
}

pub(crate) fn first_address(record: &Record) -> Option<phalanx_base::Address> {
    record.addresses.iter().next().cloned()
}

fn report(before: Option<&MemberView>, after: &MemberView, events: &mut EventQueue) {
    let was_alive = before.is_some_and(|before| before.liveness.is_alive());
    let same_boot = before.is_some_and(|before| before.boot == after.boot);
    if after.liveness.is_alive() {
        match (same_boot, was_alive) {
            (false, _) => events.push(Event::Joined(after.clone())),
            (true, true) if after.liveness == Liveness::Suspect => {}
            (true, _) => events.push(Event::Up(after.boot.clone())),
        }
    }
    match after.liveness {
        Liveness::Alive => {}
        Liveness::Suspect => events.push(Event::Suspect(after.boot.clone())),
        // Who was not known alive before is old news from before this node's time.
        Liveness::Down if was_alive => events.push(Event::Down(after.boot.clone())),
        Liveness::Left if was_alive || same_boot => events.push(Event::Left(after.boot.clone())),
        Liveness::Down | Liveness::Left => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{Generation, Role};

    fn view(generation: u64, liveness: Liveness) -> MemberView {
        let boot = Boot { node: NodeId::new("a").unwrap(), generation: Generation::from_u64(generation) };
        MemberView { boot, address: None, role: Role::Control, liveness }
    }

    fn reported(before: Option<&MemberView>, after: &MemberView) -> Vec<Event> {
        let mut events = EventQueue::default();
        report(before, after, &mut events);
        std::iter::from_fn(|| events.pop()).collect()
    }

    #[test]
    fn each_change_is_told_once_and_by_its_name() {
        use Liveness::{Alive, Down, Left, Suspect};
        let at = |liveness| view(1, liveness);
        let boot = at(Alive).boot;
        assert_eq!(reported(None, &at(Alive)), [Event::Joined(at(Alive))]);
        assert_eq!(reported(None, &at(Suspect)), [Event::Joined(at(Suspect)), Event::Suspect(boot.clone())]);
        assert_eq!(reported(None, &at(Down)), []);
        assert_eq!(reported(None, &at(Left)), []);
        assert_eq!(reported(Some(&at(Alive)), &at(Suspect)), [Event::Suspect(boot.clone())]);
        assert_eq!(reported(Some(&at(Suspect)), &at(Alive)), [Event::Up(boot.clone())]);
        assert_eq!(reported(Some(&at(Suspect)), &at(Down)), [Event::Down(boot.clone())]);
        assert_eq!(reported(Some(&at(Down)), &at(Alive)), [Event::Up(boot.clone())]);
        let both = [Event::Up(boot.clone()), Event::Suspect(boot.clone())];
        assert_eq!(reported(Some(&at(Down)), &at(Suspect)), both);
        assert_eq!(reported(Some(&at(Alive)), &at(Left)), [Event::Left(boot.clone())]);
        assert_eq!(reported(Some(&at(Down)), &at(Left)), [Event::Left(boot)]);
        assert_eq!(reported(Some(&at(Down)), &view(2, Alive)), [Event::Joined(view(2, Alive))]);
        assert_eq!(reported(Some(&at(Alive)), &view(2, Down)), [Event::Down(view(2, Down).boot)]);
    }
}
