//! What a container may use.

use serde::{Deserialize, Serialize};

/// What a container may use. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory, all of its processes together; it gets no swap beside it.
    pub memory_bytes: Option<u64>,
    /// Hundredths of one core: 150 is one and a half.
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u32>,
}

impl Limits {
    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            }
        }
        Self {
            memory_bytes: smaller(self.memory_bytes, other.memory_bytes),
            cpu_percent: smaller(self.cpu_percent, other.cpu_percent),
            processes: smaller(self.processes, other.processes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_is_in_force() {
        let policy = Limits { memory_bytes: Some(10), processes: Some(5), cpu_percent: None };
        let asked = Limits { memory_bytes: Some(20), processes: Some(3), cpu_percent: Some(50) };
        let both = Limits { memory_bytes: Some(10), processes: Some(3), cpu_percent: Some(50) };
        assert_eq!(policy.min(asked), both);
        assert_eq!(asked.min(policy), both);
    }
}
