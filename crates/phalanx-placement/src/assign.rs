//! One worker for each key, the same one for as long as it lives.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): a key ranks every worker by a hash of the two, and the greatest
//! rank wins. Nothing but the key and the one worker makes a rank; so a worker that goes gives its keys to all others
//! alike and moves none of theirs, and one that comes takes an equal share from each. The ring of partitions would move
//! others too, for the sake of its cap on shares; and there are too many workers for 512 points of each.

use phalanx_base::NodeId;

use crate::choose::standing_refusals;
use crate::hash::{assigned_rank, digest};
use crate::{Requirements, WorkerView};

/// The workers that keys are assigned to.
///
/// A value of one moment: make it anew when workers come, go, or change their labels; it does not matter in which order
/// they come. Equal workers give equal answers on every node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignees {
    /// Sorted, with the digest of each id.
    workers: Vec<(NodeId, u64)>,
}

impl Assignees {
    /// Those of the workers that have the class, the labels and a state that the requirements ask for, and are not
    /// excluded. How full they are does not count: a key must not move because its worker is busy.
    pub fn new<'w>(requirements: &Requirements, workers: impl IntoIterator<Item = WorkerView<'w>>) -> Self {
        let fits =
            |worker: &WorkerView<'w>| standing_refusals(requirements, *worker).flatten().next().is_none();
        let with_digest = |node: &NodeId| (node.clone(), digest(node.as_str().as_bytes()));
        let mut workers: Vec<_> =
            workers.into_iter().filter(fits).map(|worker| with_digest(worker.node)).collect();
        workers.sort_unstable();
        workers.dedup();
        Self { workers }
    }

    /// The worker of a key, such as the name of a device or of a call; `None` only if there is no worker.
    ///
    /// Looks at every worker, in some 20 ns for each.
    #[must_use]
    pub fn assign(&self, key: &[u8]) -> Option<&NodeId> {
        let key = digest(key);
        // Of equal ranks, the last by id.
        self.workers.iter().max_by_key(|(_, worker)| assigned_rank(key, *worker)).map(|(node, _)| node)
    }

    /// How many workers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether there is no worker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_base::{Labels, NodeStatus};
    use proptest::prelude::*;

    fn assignees(names: &[String]) -> Assignees {
        let nodes: Vec<NodeId> = names.iter().map(|name| NodeId::new(name).unwrap()).collect();
        let labels = Labels::default();
        let views = nodes.iter().map(|node| WorkerView::new(node, &labels, NodeStatus::Ready));
        Assignees::new(&Requirements::default(), views)
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("worker-{number}")).collect()
    }

    fn keys(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|number| format!("device-{number}"))
    }

    #[test]
    fn known_answers_stay() {
        let assignees = assignees(&names(10));
        let found: Vec<&str> =
            keys(8).map(|key| assignees.assign(key.as_bytes()).unwrap().as_str()).collect();
        assert_eq!(found, [8, 0, 3, 0, 9, 6, 3, 0].map(|number| format!("worker-{number}")));
    }

    #[test]
    fn only_workers_that_will_do_get_keys_and_load_does_not_count() {
        let nodes: Vec<NodeId> = ["a", "b", "c", "d"].map(|name| NodeId::new(name).unwrap()).into();
        let (gpu, none) = ("gpu".parse::<Labels>().unwrap(), Labels::default());
        let mut requirements =
            Requirements { selector: "gpu".parse().unwrap(), tasks_max: Some(1), ..Requirements::default() };
        requirements.excluded.insert(nodes[3].clone());
        let views = [
            WorkerView { tasks: 9, ..WorkerView::new(&nodes[0], &gpu, NodeStatus::Ready) },
            WorkerView::new(&nodes[1], &none, NodeStatus::Ready),
            WorkerView::new(&nodes[2], &gpu, NodeStatus::Standby),
            WorkerView::new(&nodes[3], &gpu, NodeStatus::Ready),
        ];
        let assignees = Assignees::new(&requirements, views);
        assert_eq!((assignees.len(), assignees.assign(b"key")), (1, Some(&nodes[0])));
        requirements.purpose = crate::Purpose::Request;
        assert_eq!(Assignees::new(&requirements, views).len(), 2);
        assert_eq!(Assignees::default().assign(b"key"), None);
    }

    #[test]
    fn a_hundred_workers_share_evenly_and_a_new_one_takes_its_share() {
        let (before, after) = (assignees(&names(100)), assignees(&names(101)));
        let mut shares = std::collections::BTreeMap::<&NodeId, usize>::new();
        let mut moved = 0;
        for key in keys(50_000) {
            let (old, new) = (before.assign(key.as_bytes()).unwrap(), after.assign(key.as_bytes()).unwrap());
            *shares.entry(old).or_default() += 1;
            moved += usize::from(old != new);
        }
        // Of 500 on average, five standard deviations.
        assert!(
            shares.len() == 100 && shares.values().all(|share| (388..=612).contains(share)),
            "{shares:?}"
        );
        // Of 50,000 ÷ 101.
        assert!((384..=606).contains(&moved), "{moved}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_key_moves_only_when_its_own_worker_goes_or_to_one_that_comes(
            names in prop::collection::btree_set("[a-z0-9]{1,6}", 2..40), gone in any::<prop::sample::Index>()
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let gone = gone.get(&names);
            let rest: Vec<String> = names.iter().rev().filter(|name| *name != gone).cloned().collect();
            let (with, without) = (assignees(&names), assignees(&rest));
            for key in keys(200) {
                let (more, fewer) = (with.assign(key.as_bytes()).unwrap(), without.assign(key.as_bytes()).unwrap());
                prop_assert!(more == fewer || more.as_str() == gone);
            }
        }

        #[test]
        fn the_keys_of_a_failed_worker_spread_over_all_others(count in 4..12_usize, failed in any::<prop::sample::Index>()) {
            let names = names(count);
            let failed = failed.index(count);
            let mut rest = names.clone();
            let failed = rest.remove(failed);
            let (with, without) = (assignees(&names), assignees(&rest));
            let orphans: Vec<String> =
                keys(300 * count).filter(|key| with.assign(key.as_bytes()).unwrap().as_str() == failed).collect();
            let mut heirs = std::collections::BTreeMap::<&NodeId, usize>::new();
            for key in &orphans {
                *heirs.entry(without.assign(key.as_bytes()).unwrap()).or_default() += 1;
            }
            // Each other inherits about as much as each.
            let fair = orphans.len() as f64 / rest.len() as f64;
            prop_assert_eq!(heirs.len(), rest.len());
            prop_assert!(heirs.values().all(|share| (*share as f64) < 2.5 * fair), "{:?} of {}", heirs, fair);
        }
    }
}
