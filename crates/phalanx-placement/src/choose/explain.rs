//! Takes notes while a worker is chosen.

use std::fmt;

use phalanx_base::NodeId;

use super::{
    Audience, Choice, NeverPlaceable, Preferences, Refusal, Requirements, Score, WorkerView, decide,
};

/// What was said of a worker.
#[derive(Debug, Clone)]
pub enum Verdict<'r> {
    /// It will not do, for these reasons: at least one.
    Refused(Vec<Refusal<'r>>),
    /// It will do.
    Fits(Score<'r>),
}

/// A choice, with what was said of each worker; as a text one line for each.
#[derive(Debug, Clone)]
pub struct Explanation<'r> {
    /// What was decided.
    pub decision: Result<Choice<'r>, NeverPlaceable>,
    /// What was said, in the order in which the workers came; of the first [`WORKERS_MAX`](Self::WORKERS_MAX).
    pub verdicts: Vec<(NodeId, Verdict<'r>)>,
    /// How many more workers there were, which took part in the decision like the others.
    pub omitted: usize,
}

impl Explanation<'_> {
    /// Of how many workers the notes are kept: as many as a cluster is made for, in some ten megabytes.
    pub const WORKERS_MAX: usize = 100_000;
}

/// Chooses as [`choose`](super::choose) does, and keeps what was said of each worker: every reason why it is refused,
/// or its score with its parts.
pub fn explain<'r, 'w>(
    requirements: &'r Requirements,
    preferences: &'r Preferences,
    workers: impl IntoIterator<Item = WorkerView<'w>, IntoIter: Clone>,
    seed: u64,
) -> Explanation<'r> {
    let mut notes = Notes { verdicts: Vec::new(), omitted: 0 };
    let decision = decide(requirements, preferences, workers.into_iter(), seed, &mut notes);
    Explanation { decision, verdicts: notes.verdicts, omitted: notes.omitted }
}

struct Notes<'r> {
    verdicts: Vec<(NodeId, Verdict<'r>)>,
    omitted: usize,
}

impl<'r> Notes<'r> {
    fn take(&mut self, node: &NodeId, verdict: impl FnOnce() -> Verdict<'r>) {
        if self.verdicts.len() < Explanation::WORKERS_MAX {
            self.verdicts.push((node.clone(), verdict()));
        } else {
            self.omitted += 1;
        }
    }
}

impl<'r> Audience<'r> for Notes<'r> {
    fn refused(&mut self, node: &NodeId, refusals: impl Iterator<Item = Refusal<'r>>) {
        self.take(node, || Verdict::Refused(refusals.collect()));
    }

    fn fits(&mut self, node: &NodeId, score: Score<'r>) {
        self.take(node, || Verdict::Fits(score));
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits(score) => write!(f, "fits, {score}"),
            Self::Refused(refusals) => {
                for (place, refusal) in refusals.iter().enumerate() {
                    write!(f, "{}{refusal}", if place > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Ok(choice) => write!(f, "chosen: {}", choice.best())?,
            Err(never) => write!(f, "not placeable: {never}")?,
        }
        for (node, verdict) in &self.verdicts {
            write!(f, "\n{node} {verdict}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more workers", self.omitted)?;
        }
        Ok(())
    }
}
