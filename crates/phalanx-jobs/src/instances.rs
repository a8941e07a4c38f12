//! The worker's fence for instances of jobs: of each it runs one attempt at a time, and never an earlier one after a later.
//!
//! Two control nodes that take each other for dead may both start a replacement of the same thing. Call ids do not see
//! that, since these are two calls; the attempt does. What this boot of the worker has forgotten, or another worker runs,
//! is beyond this table: whoever supervises the instance orders those.

use std::collections::{BTreeMap, VecDeque};

use crate::outcome::Reason;
use crate::wire::{Instance, TaskId};

/// Of how many instances without a task the greatest attempt is remembered: as many as ended tasks are kept. When more
/// have ended, the oldest are forgotten, and a start of them that was under way all that time would begin.
pub const ENDED_INSTANCES_MAX: usize = 4_096;

/// A job and the name of one of its instances.
type Key = (String, String);

#[derive(Debug, Default)]
struct Known {
    attempt: u64,
    /// Its tasks that have not ended, the one that runs first. At most two: the second waits for the first.
    tasks: VecDeque<TaskId>,
    /// Its place among those without a task.
    ended: Option<u64>,
}

/// The table. See the module's page.
#[derive(Debug, Default)]
pub struct InstanceTable {
    known: BTreeMap<Key, Known>,
    of_task: BTreeMap<TaskId, Key>,
    /// The instances without a task, in the order in which they lost it.
    ended: BTreeMap<u64, Key>,
    ends: u64,
}

/// What a new attempt finds of its instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Predecessors {
    /// An earlier attempt that runs: the new one waits for its end.
    pub running: Option<TaskId>,
    /// One between that has not begun, and need not any more.
    pub waiting: Option<TaskId>,
}

fn key(instance: &Instance) -> Key {
    (instance.job().to_owned(), instance.name().to_owned())
}

impl InstanceTable {
    /// Whether an attempt is later than each that is remembered.
    ///
    /// # Errors
    /// [`Reason::Superseded`] where it is not.
    pub fn check(&self, instance: &Instance) -> Result<(), Reason> {
        match self.known.get(&key(instance)) {
            Some(known) if known.attempt >= instance.attempt() => Err(Reason::Superseded),
            _ => Ok(()),
        }
    }

    /// An attempt was accepted; only after [`InstanceTable::check`] has let it through. Says what it finds: the caller ends
    /// both, and begins the task when nothing runs.
    pub fn accept(&mut self, instance: &Instance, task: TaskId) -> Predecessors {
        let key = key(instance);
        let known = self.known.entry(key.clone()).or_default();
        known.attempt = instance.attempt();
        if let Some(place) = known.ended.take() {
            self.ended.remove(&place);
        }
        let found =
            Predecessors { running: known.tasks.front().cloned(), waiting: known.tasks.get(1).cloned() };
        known.tasks.push_back(task.clone());
        self.of_task.insert(task, key);
        found
    }

    /// A task has ended, whichever it was. Returns the one that has waited for it, which runs now.
    pub fn end(&mut self, task: &TaskId) -> Option<TaskId> {
        let key = self.of_task.remove(task)?;
        let known = self.known.get_mut(&key)?;
        let was_running = known.tasks.front() == Some(task);
        known.tasks.retain(|other| other != task);
        let next = known.tasks.front().cloned().filter(|_| was_running);
        if known.tasks.is_empty() {
            self.ends += 1;
            known.ended = Some(self.ends);
            self.ended.insert(self.ends, key);
        }
        if self.ended.len() > ENDED_INSTANCES_MAX
            && let Some((_, oldest)) = self.ended.pop_first()
        {
            self.known.remove(&oldest);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CallId;
    use phalanx_base::{Boot, Generation, NodeId};
    use proptest::prelude::*;

    fn task(sequence: u64) -> TaskId {
        let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
        TaskId(CallId { caller, sequence })
    }

    fn attempt(name: usize, attempt: u64) -> Instance {
        Instance::new("job", name.to_string(), attempt).unwrap()
    }

    #[test]
    fn a_later_attempt_waits_for_an_earlier_one_and_takes_the_place_of_one_between() {
        let mut table = InstanceTable::default();
        assert_eq!(table.accept(&attempt(0, 1), task(1)), Predecessors::default());
        assert_eq!(table.check(&attempt(0, 1)), Err(Reason::Superseded));
        let found = table.accept(&attempt(0, 2), task(2));
        assert_eq!(found, Predecessors { running: Some(task(1)), waiting: None });
        let found = table.accept(&attempt(0, 5), task(3));
        assert_eq!(found, Predecessors { running: Some(task(1)), waiting: Some(task(2)) });
        assert_eq!(table.end(&task(2)), None, "it never ran");
        assert_eq!(table.end(&task(1)), Some(task(3)));
        assert_eq!(table.check(&attempt(0, 4)), Err(Reason::Superseded));
        assert_eq!(table.end(&task(3)), None);
        assert_eq!(table.check(&attempt(0, 5)), Err(Reason::Superseded), "the end does not allow it again");
        assert_eq!(table.check(&attempt(1, 1)), Ok(()), "other instances are not concerned");
    }

    proptest! {
        /// Against a model that forgets nothing: attempts of an instance are accepted in a growing order, one runs at a
        /// time, and whoever waits comes next.
        #[test]
        fn one_attempt_runs_at_a_time_and_none_after_a_later_one(
            steps in prop::collection::vec((0usize..3, 0u64..8, any::<bool>()), 1..120),
        ) {
            let mut table = InstanceTable::default();
            let (mut greatest, mut alive) = ([None; 3], [(); 3].map(|()| Vec::new()));
            for (sequence, (name, number, end)) in steps.into_iter().enumerate() {
                let live: &mut Vec<TaskId> = &mut alive[name];
                if end && !live.is_empty() {
                    // The first runs; what waits may end too.
                    let at = usize::try_from(number).unwrap() % live.len();
                    let ended = live.remove(at);
                    let next = live.first().cloned().filter(|_| at == 0);
                    prop_assert_eq!(table.end(&ended), next);
                    continue;
                }
                let instance = attempt(name, number);
                let is_later = greatest[name].is_none_or(|before| number > before);
                prop_assert_eq!(table.check(&instance).is_ok(), is_later);
                if is_later {
                    greatest[name] = Some(number);
                    let new = task(u64::try_from(sequence).unwrap());
                    let found = table.accept(&instance, new.clone());
                    let expected = Predecessors { running: live.first().cloned(), waiting: live.get(1).cloned() };
                    prop_assert_eq!(&found, &expected);
                    if let Some(between) = found.waiting {
                        prop_assert_eq!(table.end(&between), None);
                        live.retain(|other| *other != between);
                    }
                    live.push(new);
                }
                prop_assert!(live.len() <= 2);
                prop_assert_eq!(table.of_task.len(), alive.iter().map(Vec::len).sum::<usize>());
            }
        }

        /// However many instances end, the table keeps to its cap, and those that run are never forgotten.
        #[test]
        fn the_table_is_bounded(again in prop::collection::vec(0usize..64, 0..40)) {
            let mut table = InstanceTable::default();
            table.accept(&attempt(usize::MAX, 9), task(0));
            let mut sequence = 0;
            for name in again.iter().copied().chain(0..ENDED_INSTANCES_MAX + 10) {
                sequence += 1;
                let instance = attempt(name, sequence);
                prop_assert!(table.check(&instance).is_ok());
                table.accept(&instance, task(sequence));
                table.end(&task(sequence));
                prop_assert!(table.ended.len() <= ENDED_INSTANCES_MAX);
                prop_assert!(table.known.len() <= ENDED_INSTANCES_MAX + 1);
            }
            prop_assert_eq!(table.check(&attempt(usize::MAX, 9)), Err(Reason::Superseded));
            prop_assert!(table.check(&attempt(5, 1)).is_ok(), "it was forgotten");
        }
    }
}
