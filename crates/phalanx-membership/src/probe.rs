//! Whom to probe, and what came of it: the probe of SWIM (Das, Gupta, Motivala: SWIM, DSN 2002) with another choice.
//!
//! foca goes round all members in random order, and so chance decides how long nobody probes one that has just died:
//! a second on average, whatever the size of the cluster, but five seconds and more for one death in a hundred. Here
//! every other probe goes to the *neighbour*, the next member by id that nobody doubts, so that somebody looks at each
//! member in every second period. The others go round as before: they find what a neighbour misses, because its own
//! link or its health is bad. There are as many probes as before.

use foca::{Header, Incarnation, Message, ProbeNumber, State};
use phalanx_base::NodeId;

use crate::identity::Identity;
use crate::random::Random;
use crate::wire::Member;

/// What came of a probe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The member answered, by itself or through another one.
    Answered,
    /// It did not, and had this incarnation when it was asked.
    Missed(Identity, Incarnation),
}

/// A probe that is under way.
#[derive(Debug)]
struct Probe {
    target: Identity,
    incarnation: Incarnation,
    /// Who was asked to probe as well.
    helpers: Vec<Identity>,
    answered: bool,
}

/// Whom to probe, and what came of it: at most one probe at a time.
pub(crate) struct Prober {
    random: Random,
    /// Who is still to be probed in this round; at most as many as there are members.
    round: Vec<NodeId>,
    neighbour_is_next: bool,
    number: ProbeNumber,
    under_way: Option<Probe>,
}

impl Prober {
    pub(crate) fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        Self { random, round: Vec::new(), neighbour_is_next: true, number: 0, under_way: None }
    }

    /// Forgets the probe that is under way: this node has another identity now, or nobody is left.
    pub(crate) fn cancel(&mut self) {
        self.under_way = None;
    }

    /// Begins the next probe; returns to whom a ping of which number is to be sent.
    pub(crate) fn start<'a>(
        &mut self,
        own: &NodeId,
        members: impl Iterator<Item = &'a Member>,
    ) -> Option<(Identity, ProbeNumber)> {
        let mut active: Vec<&Member> = members.filter(|member| member.state() != State::Down).collect();
        active.sort_unstable_by_key(|member| member.id().node());
        let neighbour = if self.neighbour_is_next { neighbour(own, &active) } else { None };
        self.neighbour_is_next = !self.neighbour_is_next;
        let member = neighbour.or_else(|| self.next_of_round(&active))?;
        let (target, incarnation) = (member.id().clone(), member.incarnation());
        self.number = self.number.wrapping_add(1);
        self.under_way =
            Some(Probe { target: target.clone(), incarnation, helpers: Vec::new(), answered: false });
        Some((target, self.number))
    }

    /// If this member is being probed and has not answered: who is to be asked to probe it as well, and the number.
    pub(crate) fn ask_others<'a>(
        &mut self,
        probed: &Identity,
        count: usize,
        members: impl Iterator<Item = &'a Member>,
    ) -> Option<(Vec<Identity>, ProbeNumber)> {
        let unanswered = |probe: &&mut Probe| probe.target == *probed && !probe.answered;
        let probe = self.under_way.as_mut().filter(unanswered)?;
        let fit = |member: &&Member| member.state() == State::Alive && member.id() != probed;
        let mut fit: Vec<&Identity> = members.filter(fit).map(Member::id).collect();
        for _ in 0..count.min(fit.len()) {
            let helper = fit.swap_remove(self.random.below(fit.len() as u64) as usize);
            probe.helpers.push(helper.clone());
        }
        Some((probe.helpers.clone(), self.number))
    }

    /// A message to this node, which the detector took.
    pub(crate) fn hear(&mut self, header: &Header<Identity>) {
        let Some(probe) = &mut self.under_way else { return };
        probe.answered |= match &header.message {
            Message::Ack(number) => *number == self.number && header.src == probe.target,
            Message::ForwardedAck { origin, probe_number } => {
                *probe_number == self.number && *origin == probe.target && probe.helpers.contains(&header.src)
            }
            _ => false,
        };
    }

    /// The period is over: what came of its probe, if there was one.
    pub(crate) fn finish(&mut self) -> Option<Outcome> {
        let probe = self.under_way.take()?;
        Some(if probe.answered {
            Outcome::Answered
        } else {
            Outcome::Missed(probe.target, probe.incarnation)
        })
    }

    fn next_of_round<'a>(&mut self, active: &[&'a Member]) -> Option<&'a Member> {
        let find = |node: NodeId| {
            let at = active.binary_search_by_key(&&node, |member| member.id().node()).ok()?;
            active.get(at).copied()
        };
        // Who is in the round may be down by now.
        while let Some(node) = self.round.pop() {
            if let Some(member) = find(node) {
                return Some(member);
            }
        }
        self.round = active.iter().map(|member| member.id().node().clone()).collect();
        for last in (1..self.round.len()).rev() {
            self.round.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        find(self.round.pop()?)
    }
}

/// The next member by id that nobody doubts, of these that are sorted by it. What a suspect is will turn out anyhow.
fn neighbour<'a>(own: &NodeId, active: &[&'a Member]) -> Option<&'a Member> {
    let (before, after) = active.split_at(active.partition_point(|member| member.id().node() < own));
    after.iter().chain(before).find(|member| member.state() == State::Alive).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{Boot, Generation};
    use std::collections::BTreeSet;

    fn identity(name: &str) -> Identity {
        let node = NodeId::new(name).unwrap();
        Identity::new(Boot { node, generation: Generation::from_u64(1) }, None)
    }

    fn members(states: &[(&str, State)]) -> Vec<Member> {
        states.iter().map(|(name, state)| Member::new(identity(name), 7, *state)).collect()
    }

    /// Whom the next probes go to.
    fn targets(prober: &mut Prober, own: &str, members: &[Member], count: usize) -> Vec<String> {
        let own = NodeId::new(own).unwrap();
        let next = |_| prober.start(&own, members.iter()).unwrap().0.node().to_string();
        (0..count).map(next).collect()
    }

    #[test]
    fn every_other_probe_goes_to_the_next_by_id_that_is_not_doubted() {
        use State::{Alive, Down, Suspect};
        let members = members(&[("e", Suspect), ("b", Alive), ("a", Alive), ("d", Down), ("f", Alive)]);
        for (own, neighbour) in [("c", "f"), ("g", "a"), ("A", "a")] {
            let mut prober = Prober::new(1);
            let targets = targets(&mut prober, own, &members, 8);
            assert!(targets.iter().step_by(2).all(|target| target == neighbour), "{targets:?}");
            let round: BTreeSet<&str> = targets.iter().skip(1).step_by(2).map(String::as_str).collect();
            assert_eq!(round, ["a", "b", "e", "f"].into(), "everybody who is not down, once in a round");
        }
    }

    #[test]
    fn where_everybody_is_doubted_they_are_probed_in_turn() {
        let members = members(&[("a", State::Suspect), ("b", State::Suspect)]);
        let targets = targets(&mut Prober::new(3), "c", &members, 4);
        assert_eq!(targets[..2].iter().collect::<BTreeSet<_>>().len(), 2, "{targets:?}");
        assert!(Prober::new(1).start(&NodeId::new("c").unwrap(), [].into_iter()).is_none());
    }

    #[test]
    fn only_the_right_answer_counts() {
        let members = members(&[("a", State::Alive), ("b", State::Alive), ("d", State::Down)]);
        let own = NodeId::new("c").unwrap();
        let mut prober = Prober::new(1);
        let header = |src: &str, message| Header {
            src: identity(src),
            src_incarnation: 0,
            dst: identity("c"),
            message,
        };
        let mut answered_by = |src: &str, message: fn(ProbeNumber) -> Message<Identity>| {
            let (target, number) = prober.start(&own, members.iter()).unwrap();
            if target != identity("a") {
                prober.cancel();
                return None;
            }
            let (helpers, asked) = prober.ask_others(&target, 3, members.iter()).unwrap();
            assert_eq!((helpers, asked), (vec![identity("b")], number));
            prober.hear(&header(src, message(number)));
            assert_eq!(prober.ask_others(&identity("b"), 3, members.iter()), None);
            Some(prober.finish().unwrap() == Outcome::Answered)
        };
        let mut answered = |src: &str, message: fn(ProbeNumber) -> Message<Identity>| {
            std::iter::repeat_with(|| answered_by(src, message)).find_map(|answered| answered).unwrap()
        };
        assert!(answered("a", Message::Ack));
        assert!(!answered("b", Message::Ack));
        assert!(!answered("a", |number| Message::Ack(number.wrapping_sub(1))));
        assert!(!answered("a", Message::Ping));
        assert!(answered("b", |probe_number| Message::ForwardedAck { origin: identity("a"), probe_number }));
        assert!(!answered("d", |probe_number| Message::ForwardedAck { origin: identity("a"), probe_number }));
        assert!(!answered("b", |probe_number| Message::ForwardedAck { origin: identity("b"), probe_number }));
        assert_eq!(prober.finish(), None);
    }
}
