//! Whether the worker can always be served in the end: from each state that can be reached, by whatever faults, a state
//! where the acting owner serves it can be reached without any further fault.
//!
//! The checker's own `eventually` does not see runs that go in circles, and would need fairness besides. So this looks at the
//! whole graph: all states forwards, and then backwards from the goals along the steps that are no faults.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};

use stateright::Model;

use crate::model::{Action, Ownership};
use crate::network::Stage;
use crate::rules::Rules;
use crate::world::{Claim, World};

/// What was found.
pub(crate) struct Reached {
    pub(crate) states: usize,
    pub(crate) goals: usize,
    /// How many states cannot reach the goal any more.
    pub(crate) stuck: usize,
    /// The shortest way to one of them.
    pub(crate) way: Vec<Action>,
}

/// The node that should serve the worker does, everything is handled, and nobody else believes to be the owner.
fn is_goal(world: &World, rules: &Rules) -> bool {
    let Some(node) = world.acting_in_truth(rules) else { return true };
    let control = world.control(node);
    let (Claim::Active(fence), Some(link)) = (&control.claim, control.link) else { return false };
    let is_present = world.worker.present() == Some((node, control.boot, link, *fence));
    let session = world.link(link).filter(|link| link.is_alive).and_then(|link| link.session);
    let is_carried = session.is_some_and(|session| session.stage == Stage::Granted(*fence));
    let is_alone = world.control(node.other()).fence().is_none();
    is_present && is_carried && is_alone && world.worker.acked == rules.events
}

/// A restart heals what a crash has done, but the cluster must do without.
fn costs(action: Action) -> bool {
    matches!(action, Action::Fault(_) | Action::Restart(_))
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// The graph of all states. States are known by their hash, as in the checker.
#[derive(Default)]
struct Graph {
    numbers: HashMap<u64, u32>,
    /// By which step each state was reached first.
    parents: Vec<Option<(u32, Action)>>,
    goals: Vec<u32>,
    /// For each step that is no fault, where it ends and where it starts.
    steps: Vec<(u32, u32)>,
}

impl Graph {
    fn explore(model: &Ownership) -> Self {
        let mut graph = Self::default();
        let mut frontier = Vec::new();
        for world in model.init_states() {
            graph.visit(model, world, None, &mut frontier);
        }
        let mut actions = Vec::new();
        while !frontier.is_empty() {
            for (from, world) in std::mem::take(&mut frontier) {
                model.actions(&world, &mut actions);
                for action in actions.drain(..) {
                    let Some(next) = model.next_state(&world, action) else { continue };
                    let to = graph.visit(model, next, Some((from, action)), &mut frontier);
                    if !costs(action) {
                        graph.steps.push((to, from));
                    }
                }
            }
        }
        graph
    }

    fn visit(
        &mut self,
        model: &Ownership,
        world: World,
        parent: Option<(u32, Action)>,
        frontier: &mut Vec<(u32, World)>,
    ) -> u32 {
        let next = u32::try_from(self.parents.len()).expect("memory ends before the numbers do");
        match self.numbers.entry(fingerprint(&world)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                new.insert(next);
                self.parents.push(parent);
                if is_goal(&world, &model.rules) {
                    self.goals.push(next);
                }
                frontier.push((next, world));
                next
            }
        }
    }

    /// Which states can reach a goal.
    fn saved(&mut self) -> Vec<bool> {
        self.steps.sort_unstable();
        let mut saved = vec![false; self.parents.len()];
        let mut frontier = self.goals.clone();
        while let Some(state) = frontier.pop() {
            if std::mem::replace(&mut saved[state as usize], true) {
                continue;
            }
            let first = self.steps.partition_point(|(to, _)| *to < state);
            let into = self.steps[first..].iter().take_while(|(to, _)| *to == state);
            frontier.extend(into.map(|(_, from)| *from).filter(|from| !saved[*from as usize]));
        }
        saved
    }

    fn way_to(&self, mut state: u32) -> Vec<Action> {
        let mut way = Vec::new();
        while let Some((parent, action)) = self.parents[state as usize] {
            way.push(action);
            state = parent;
        }
        way.reverse();
        way
    }
}

/// Looks at every state.
pub(crate) fn reach(model: &Ownership) -> Reached {
    let mut graph = Graph::explore(model);
    let saved = graph.saved();
    // States are numbered in the order of their distance.
    let first_stuck = saved.iter().position(|saved| !saved).and_then(|state| u32::try_from(state).ok());
    Reached {
        states: saved.len(),
        goals: graph.goals.len(),
        stuck: saved.iter().filter(|saved| !**saved).count(),
        way: first_stuck.map(|state| graph.way_to(state)).unwrap_or_default(),
    }
}
