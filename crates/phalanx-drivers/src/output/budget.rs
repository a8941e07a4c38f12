//! How much output is told as events: so much in a second, and what is more is named as skipped.

/// The parts of a second in which the budget grows: small, so that what a program writes now and then is told at once.
pub(crate) const TICKS_PER_SECOND: u64 = 10;

/// What may be told now, and what was not.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: u64,
    room: u64,
    skipped: Option<(u64, u64)>,
}

impl Budget {
    /// So many bytes in a second; and as many at once after a quiet second.
    pub(crate) fn new(bytes_per_second_max: u64) -> Self {
        Self { bytes_max: bytes_per_second_max, room: bytes_per_second_max, skipped: None }
    }

    /// Whether ticks change nothing.
    pub(crate) fn is_full(&self) -> bool {
        self.room == self.bytes_max
    }

    /// A tick has passed.
    pub(crate) fn grow(&mut self) {
        let grown = self.room.saturating_add(self.bytes_max.div_ceil(TICKS_PER_SECOND));
        self.room = grown.min(self.bytes_max);
    }

    /// Whether these offsets may be told. If not, they count as skipped.
    pub(crate) fn spend(&mut self, from: u64, to: u64) -> bool {
        let length = to.saturating_sub(from);
        // Once something was skipped, wait until there is room worth going on for: else every second piece is told.
        let needed = if self.skipped.is_some() { length.max(self.bytes_max / 2) } else { length };
        if self.room >= needed {
            self.room -= length;
            return true;
        }
        let begin = self.skipped.map_or(from, |(begin, _)| begin);
        self.skipped = Some((begin, to));
        false
    }

    /// What was skipped since this was asked last.
    pub(crate) fn take_skipped(&mut self) -> Option<(u64, u64)> {
        self.skipped.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each offset is told or skipped, once and in order, and a second has no more than two budgets.
        #[test]
        fn everything_is_told_or_skipped(
            steps in prop::collection::vec((1..3_000_u64, 0..3_u64), 1..300),
            bytes_max in 3_000..20_000_u64,
        ) {
            let mut budget = Budget::new(bytes_max);
            let (mut at, mut seen, mut told, mut ticks) = (0, 0, 0, 0);
            for (length, grows) in steps {
                for _ in 0..grows {
                    budget.grow();
                }
                ticks += grows;
                let to = at + length;
                if budget.spend(at, to) {
                    if let Some((from, to)) = budget.take_skipped() {
                        prop_assert_eq!((from, to), (seen, at));
                        seen = to;
                    }
                    prop_assert_eq!(seen, at);
                    seen = to;
                    told += length;
                }
                at = to;
            }
            if let Some((from, to)) = budget.take_skipped() {
                prop_assert_eq!((from, to), (seen, at));
                seen = to;
            }
            prop_assert_eq!(seen, at);
            prop_assert!(told <= bytes_max + ticks * bytes_max.div_ceil(TICKS_PER_SECOND));
        }
    }
}
