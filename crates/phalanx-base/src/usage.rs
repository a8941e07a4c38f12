//! How full a worker is, as it says itself.

use serde::{Deserialize, Serialize};

/// How much of a worker is in use, each in percent from 0 (idle) to 100 (full); `None` where the worker does not say.
///
/// Whole percent, because more would be noise, and a report goes out only when one of them has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Its memory.
    pub memory_percent: Option<u8>,
    /// Its processors' time.
    pub cpu_percent: Option<u8>,
    /// The load average by processor; what is above 100 counts as 100.
    pub load_percent: Option<u8>,
    /// Its disk.
    pub disk_percent: Option<u8>,
}

impl Usage {
    /// Whether another usage is so near that it is no news: no value comes or goes, and none differs by `percent` or more.
    #[must_use]
    pub fn is_near(&self, other: &Self, percent: u8) -> bool {
        let near = |one: Option<u8>, other: Option<u8>| match (one, other) {
            (Some(one), Some(other)) => one.abs_diff(other) < percent,
            (None, None) => true,
            _ => false,
        };
        near(self.memory_percent, other.memory_percent)
            && near(self.cpu_percent, other.cpu_percent)
            && near(self.load_percent, other.load_percent)
            && near(self.disk_percent, other.disk_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_are_no_news() {
        let usage = |cpu| Usage { cpu_percent: cpu, ..Usage::default() };
        assert!(usage(Some(50)).is_near(&usage(Some(54)), 5));
        assert!(!usage(Some(50)).is_near(&usage(Some(45)), 5));
        assert!(!usage(Some(50)).is_near(&usage(None), 5));
        assert!(usage(None).is_near(&usage(None), 5));
    }
}
