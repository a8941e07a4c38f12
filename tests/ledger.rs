//! What workers have begun, and what was taken from them before they had ended.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use crate::wait::soon;

#[derive(Debug, Default)]
struct Books {
    numbers: u64,
    begun: BTreeMap<u64, u32>,
    dropped: BTreeSet<u64>,
}

/// The requests and tasks that workers have begun, by the number that the scenario gave them. Cheap to clone; all workers
/// of a cluster write into one.
#[derive(Debug, Clone, Default)]
pub struct Ledger(watch::Sender<Books>);

/// Held by work that has not ended; writes into the ledger when it is dropped with the work.
#[derive(Debug)]
pub(crate) struct Unfinished {
    ledger: Ledger,
    number: u64,
    finished: bool,
}

impl Ledger {
    pub(crate) fn begin(&self, number: u64) -> Unfinished {
        self.0.send_modify(|books| *books.begun.entry(number).or_default() += 1);
        Unfinished { ledger: self.clone(), number, finished: false }
    }

    /// A number that no other work of the cluster has.
    #[must_use]
    pub fn number(&self) -> u64 {
        let mut number = 0;
        self.0.send_modify(|books| {
            books.numbers += 1;
            number = books.numbers;
        });
        number
    }

    /// How often the work of this number has begun.
    #[must_use]
    pub fn begun(&self, number: u64) -> u32 {
        self.0.borrow().begun.get(&number).copied().unwrap_or_default()
    }

    /// Whether the work of this number was dropped before it had ended.
    #[must_use]
    pub fn was_dropped(&self, number: u64) -> bool {
        self.0.borrow().dropped.contains(&number)
    }

    /// The numbers of all work that has begun more than once.
    #[must_use]
    pub fn begun_twice(&self) -> Vec<u64> {
        let books = self.0.borrow();
        books.begun.iter().filter(|(_, times)| **times > 1).map(|(number, _)| *number).collect()
    }

    /// Waits until the work of this number has begun.
    pub async fn wait_begun(&self, number: u64) {
        let mut books = self.0.subscribe();
        let begun = books.wait_for(|books| books.begun.contains_key(&number));
        let _ = soon(&format!("work {number} begins"), begun).await;
    }

    /// Waits until the work of this number has been dropped.
    pub async fn wait_dropped(&self, number: u64) {
        let mut books = self.0.subscribe();
        let dropped = books.wait_for(|books| books.dropped.contains(&number));
        let _ = soon(&format!("work {number} is dropped"), dropped).await;
    }
}

impl Unfinished {
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            self.ledger.0.send_modify(|books| {
                books.dropped.insert(self.number);
            });
        }
    }
}
