//! What a row must hold.

use std::fmt;

use serde::{Serialize, Serializer};

/// A bar, on the ratio of ours to the peer's or on our value itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// The ratio is at least this.
    RatioMin(f64),
    /// The ratio is at most this.
    RatioMax(f64),
    /// Our value is at least this.
    ValueMin(f64),
    /// Our value is at most this.
    ValueMax(f64),
    /// It is told, and promised nowhere.
    Reported,
}

impl Bar {
    /// Whether a row of these values holds it.
    pub(crate) fn holds(self, ours: f64, ratio: Option<f64>) -> bool {
        match self {
            Self::RatioMin(least) => ratio.is_some_and(|ratio| ratio >= least),
            Self::RatioMax(most) => ratio.is_some_and(|ratio| ratio <= most),
            Self::ValueMin(least) => ours >= least,
            Self::ValueMax(most) => ours <= most,
            Self::Reported => true,
        }
    }

    /// Where it stands on the scale of ratios, if it is one.
    pub(crate) fn ratio(self) -> Option<f64> {
        match self {
            Self::RatioMin(ratio) | Self::RatioMax(ratio) => Some(ratio),
            Self::ValueMin(_) | Self::ValueMax(_) | Self::Reported => None,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioMin(ratio) => write!(f, "≥ {ratio} ×"),
            Self::RatioMax(ratio) => write!(f, "≤ {ratio} ×"),
            Self::ValueMin(value) => write!(f, "≥ {value}"),
            Self::ValueMax(value) => write!(f, "≤ {value}"),
            Self::Reported => f.write_str("reported"),
        }
    }
}

impl Serialize for Bar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
