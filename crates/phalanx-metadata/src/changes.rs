//! Which keys have changed, for a reader that takes its time.

use std::collections::BTreeSet;

use crate::Key;

/// How many changed keys wait for a reader. Beyond that it is told to look at everything, which costs it no more.
pub const CHANGES_MAX: usize = 4_096;

/// What has changed for readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The value under a key, be it new, another one or gone. Told once, however often it has changed meanwhile.
    Changed(Key),
    /// More keys than are told one by one: any may have changed.
    Everything,
}

#[derive(Debug, Default)]
pub(crate) struct Changes {
    keys: BTreeSet<Key>,
    everything: bool,
}

impl Changes {
    pub(crate) fn push(&mut self, key: &Key) {
        if self.everything || self.keys.contains(key) {
            return;
        }
        if self.keys.len() == CHANGES_MAX {
            self.keys.clear();
            self.everything = true;
            return;
        }
        self.keys.insert(key.clone());
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.everything) {
            return Some(Event::Everything);
        }
        self.keys.pop_first().map(Event::Changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    #[test]
    fn an_overflow_is_one_word_and_nothing_is_told_twice() {
        let key = |n: usize| Key::new(Table::new("t").unwrap(), &format!("{n}")).unwrap();
        let mut changes = Changes::default();
        (0..CHANGES_MAX).for_each(|n| changes.push(&key(n)));
        (0..CHANGES_MAX).for_each(|n| changes.push(&key(n)));
        assert_eq!(changes.keys.len(), CHANGES_MAX);
        changes.push(&key(CHANGES_MAX));
        assert_eq!((changes.pop(), changes.pop()), (Some(Event::Everything), None));
        changes.push(&key(1));
        assert_eq!(changes.pop(), Some(Event::Changed(key(1))));
    }
}
