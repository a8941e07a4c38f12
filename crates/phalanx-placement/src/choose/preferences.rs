//! Which of the workers that will do is the best.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{LabelPath, Metric, Selector};

/// How workers are ranked, before affinities and spreads. Each gives a number from 0 to 1, and the greatest is best.
///
/// A worker that does not report the metric counts as half full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ranking {
    /// The emptiest by this metric first: evens the load out.
    LeastLoaded(Metric),
    /// The fullest first of those that the requirements allow: keeps others empty. Give a limit of the same metric
    /// with it.
    Pack(Metric),
    /// By lot, each with a chance as its free share: as `LeastLoaded`, but many who choose at the same time by the
    /// same old reports do not all choose the same worker.
    ///
    /// Sampling with weights and without replacement (Efraimidis and Spirakis, 2006): a lot `u` of (0, 1) waits
    /// `-ln(u) ÷ free`, and the shortest wait wins. A full worker comes after all others.
    Weighted(Metric),
    /// By lot, each with the same chance.
    Random,
}

impl Default for Ranking {
    fn default() -> Self {
        Self::LeastLoaded(Metric::Mix)
    }
}

impl fmt::Display for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeastLoaded(metric) => write!(f, "free {metric}"),
            Self::Pack(metric) => write!(f, "used {metric}"),
            Self::Weighted(metric) => write!(f, "lot by free {metric}"),
            Self::Random => f.write_str("lot"),
        }
    }
}

/// Prefers workers whose labels meet a selector, or avoids them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affinity {
    /// Which workers.
    pub selector: Selector,
    /// What is added to their score, in percent of all that a [`Ranking`] gives: of two workers with weight 100
    /// between them, the one that matches wins, however loaded they are. Below zero it is taken away.
    pub weight_percent: i16,
}

/// Spreads the tasks of a job over the values of a label: the value with the fewest tasks of the job comes first,
/// whatever the score. Workers without a value together count as one more value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The label, such as `zone`.
    pub label: LabelPath,
    /// The most tasks of the job that may run at one value, the new one included; `None`: as many as must.
    pub tasks_max: Option<u32>,
}

/// Why [`Preferences`] do not take one more. They are gone; make them anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreferencesError {
    /// There are [`Preferences::AFFINITIES_MAX`] affinities.
    #[error("more than {} affinities: join some with `||`", Preferences::AFFINITIES_MAX)]
    TooManyAffinities,
    /// There are [`Preferences::SPREADS_MAX`] spreads.
    #[error("more than {} spreads: the last ones hardly decide anything", Preferences::SPREADS_MAX)]
    TooManySpreads,
}

/// Which worker is the best, of those that meet the requirements. What is read from elsewhere passes the same checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Preferences {
    ranking: Ranking,
    affinities: Vec<Affinity>,
    spreads: Vec<Spread>,
    ranked_max: usize,
}

impl Preferences {
    /// The most affinities: each is looked at for every worker.
    pub const AFFINITIES_MAX: usize = 16;
    /// The most spreads: region, zone, rack and host.
    pub const SPREADS_MAX: usize = 4;
    /// The greatest weight of an affinity, either way: ten times what load can weigh is never outweighed by it.
    pub const WEIGHT_PERCENT_MAX: i16 = 1000;
    /// The most workers that one choice ranks: whoever is refused by so many should ask anew.
    pub const RANKED_MAX: usize = 64;
    /// How many a choice ranks if nothing is said.
    pub const RANKED: usize = 3;

    /// Only this ranking.
    #[must_use]
    pub fn new(ranking: Ranking) -> Self {
        Self { ranking, affinities: Vec::new(), spreads: Vec::new(), ranked_max: Self::RANKED }
    }

    /// One more affinity. A weight beyond [`WEIGHT_PERCENT_MAX`](Self::WEIGHT_PERCENT_MAX) counts as that.
    ///
    /// # Errors
    /// [`PreferencesError::TooManyAffinities`].
    pub fn prefer(mut self, selector: Selector, weight_percent: i16) -> Result<Self, PreferencesError> {
        if self.affinities.len() == Self::AFFINITIES_MAX {
            return Err(PreferencesError::TooManyAffinities);
        }
        let weight_percent = weight_percent.clamp(-Self::WEIGHT_PERCENT_MAX, Self::WEIGHT_PERCENT_MAX);
        self.affinities.push(Affinity { selector, weight_percent });
        Ok(self)
    }

    /// One more spread, which decides where those before it leave two workers equal.
    ///
    /// # Errors
    /// [`PreferencesError::TooManySpreads`].
    pub fn spread_over(mut self, label: LabelPath, tasks_max: Option<u32>) -> Result<Self, PreferencesError> {
        if self.spreads.len() == Self::SPREADS_MAX {
            return Err(PreferencesError::TooManySpreads);
        }
        self.spreads.push(Spread { label, tasks_max });
        Ok(self)
    }

    /// How many workers a choice ranks: at least 1, at most [`RANKED_MAX`](Self::RANKED_MAX).
    #[must_use]
    pub fn ranked(self, count: usize) -> Self {
        Self { ranked_max: count.clamp(1, Self::RANKED_MAX), ..self }
    }

    /// How workers are ranked.
    #[must_use]
    pub fn ranking(&self) -> Ranking {
        self.ranking
    }

    /// Every affinity.
    #[must_use]
    pub fn affinities(&self) -> &[Affinity] {
        &self.affinities
    }

    /// Every spread, the most important first.
    #[must_use]
    pub fn spreads(&self) -> &[Spread] {
        &self.spreads
    }

    /// How many workers a choice ranks.
    #[must_use]
    pub fn ranked_max(&self) -> usize {
        self.ranked_max
    }
}

impl Default for Preferences {
    fn default() -> Self {
        Self::new(Ranking::default())
    }
}

/// Preferences as they are written down, before they are checked.
#[derive(Serialize, Deserialize)]
struct Unchecked {
    ranking: Ranking,
    affinities: Vec<Affinity>,
    spreads: Vec<Spread>,
    ranked_max: usize,
}

impl From<Preferences> for Unchecked {
    fn from(preferences: Preferences) -> Self {
        let Preferences { ranking, affinities, spreads, ranked_max } = preferences;
        Self { ranking, affinities, spreads, ranked_max }
    }
}

impl TryFrom<Unchecked> for Preferences {
    type Error = PreferencesError;
    fn try_from(unchecked: Unchecked) -> Result<Self, PreferencesError> {
        let mut checked = Self::new(unchecked.ranking).ranked(unchecked.ranked_max);
        for Affinity { selector, weight_percent } in unchecked.affinities {
            checked = checked.prefer(selector, weight_percent)?;
        }
        for Spread { label, tasks_max } in unchecked.spreads {
            checked = checked.spread_over(label, tasks_max)?;
        }
        Ok(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_checked_like_what_is_made() {
        let zone: LabelPath = "zone".parse().unwrap();
        let made = Preferences::new(Ranking::Pack(Metric::Cpu)).prefer("gpu && !spot".parse().unwrap(), 40);
        let made = made.unwrap().spread_over(zone.clone(), Some(3)).unwrap().ranked(7);
        let bytes = postcard::to_stdvec(&made).unwrap();
        assert_eq!(postcard::from_bytes::<Preferences>(&bytes), Ok(made));

        let spreads = vec![Spread { label: zone, tasks_max: None }; Preferences::SPREADS_MAX + 1];
        let (ranking, affinities) = (Ranking::Random, Vec::new());
        let unchecked = Unchecked { ranking, affinities, spreads, ranked_max: 1 };
        let bytes = postcard::to_stdvec(&unchecked).unwrap();
        assert!(postcard::from_bytes::<Preferences>(&bytes).is_err());
    }
}
