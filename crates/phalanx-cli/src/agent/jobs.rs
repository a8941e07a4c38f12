//! The job classes that an agent runs: each one is a line here.

/// Adds the job classes of an agent to the builder of a node, whichever kind it is.
macro_rules! with_jobs {
    ($builder:expr) => {
        // One line a class: `.job::<Class>(Handler::new())`.
        $builder
    };
}
pub(super) use with_jobs;
