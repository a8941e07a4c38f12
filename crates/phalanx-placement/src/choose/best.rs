//! The best few of many, in memory for the few: a heap with the worst of them on top.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub(super) struct Best<T> {
    count_max: usize,
    heap: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> Best<T> {
    pub(super) fn new(count_max: usize) -> Self {
        Self { count_max, heap: BinaryHeap::with_capacity(count_max) }
    }

    pub(super) fn offer(&mut self, item: T) {
        if self.heap.len() < self.count_max {
            self.heap.push(Reverse(item));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && worst.0 < item
        {
            *worst = Reverse(item);
        }
    }

    /// The best first.
    pub(super) fn into_ranked(self) -> impl Iterator<Item = T> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_keeps_what_sorting_would_put_first(items in prop::collection::vec(0..50, 0..80), count in 0..9_usize) {
            let mut best = Best::new(count);
            items.iter().for_each(|item| best.offer(*item));
            let mut sorted = items;
            sorted.sort_unstable_by_key(|item| Reverse(*item));
            sorted.truncate(count);
            prop_assert_eq!(best.into_ranked().collect::<Vec<i32>>(), sorted);
        }
    }
}
