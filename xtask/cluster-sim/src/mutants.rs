//! Mistakes that are planted in the framework, one at a time, to see that the simulator finds them.
//!
//! They are in the code behind `--cfg phalanx_planted` and chosen by name when a process starts, so that one build has all
//! of them, and no other build has any.

use crate::farm;
use crate::options::Options;
use crate::outcome::MutantResult;

/// A mistake.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// In which scenario it is looked for.
    pub(crate) scenario: &'static str,
}

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "equal-fence",
        what: "a worker grants the fence that it has granted before",
        scenario: "soak",
    },
    Mutant { name: "no-fence-check", what: "a worker runs what comes under any fence", scenario: "soak" },
    Mutant {
        name: "no-generation-check",
        what: "a worker runs what was meant for an earlier boot",
        scenario: "soak",
    },
    Mutant {
        name: "forgotten-calls",
        what: "a worker does not know which calls it has answered",
        scenario: "soak",
    },
    Mutant {
        name: "forgotten-outbox",
        what: "a worker takes events that it has sent for handled when it gets an owner",
        scenario: "soak",
    },
    Mutant {
        name: "checkpoint-lost",
        what: "a worker does not tell the next owner the state of the last one",
        scenario: "soak",
    },
    Mutant { name: "gap-not-told", what: "an owner does not tell the handler of a gap", scenario: "soak" },
    Mutant {
        name: "changing-end",
        what: "a worker tells another end of a task when it is asked again",
        scenario: "soak",
    },
    Mutant {
        name: "token-without-cursors",
        what: "a worker takes a handover token whatever it has acknowledged since",
        scenario: "soak",
    },
    Mutant {
        name: "one-round",
        what: "a worker looks for its owner once, and then no more",
        scenario: "soak",
    },
    Mutant {
        name: "ack-before-handler",
        what: "an owner acknowledges an event before its handler has returned",
        scenario: "soak",
    },
    Mutant {
        name: "lost-cursor",
        what: "an owner does not take over how far events were handled",
        scenario: "soak",
    },
    Mutant {
        name: "closing-state-lost",
        what: "an owner forgets a handler's state when the worker starts anew",
        scenario: "restarts",
    },
    Mutant {
        name: "offer-while-busy",
        what: "an owner offers a worker while a handler has its events in hand",
        scenario: "soak",
    },
    Mutant {
        name: "never-gives",
        what: "an owner keeps a worker that belongs to another one",
        scenario: "soak",
    },
    Mutant {
        name: "panic-on-loss",
        what: "an owner panics when a link is lost while calls are under way",
        scenario: "soak",
    },
    Mutant {
        name: "lost-is-not-executed",
        what: "an owner says that calls were not executed when their link is lost",
        scenario: "soak",
    },
    Mutant {
        name: "forgotten-doubt",
        what: "a caller forgets that nobody knows whether an earlier attempt ran",
        scenario: "soak",
    },
    Mutant {
        name: "late-deadline",
        what: "a caller waits a minute more than its deadline allows",
        scenario: "soak",
    },
    Mutant { name: "dropped-chunk", what: "a transfer comes without its last chunk", scenario: "soak" },
    Mutant {
        name: "no-redial",
        what: "a control node never dials one that it has held down",
        scenario: "soak",
    },
    Mutant {
        name: "same-generation",
        what: "a node that starts anew takes the generation that it had",
        scenario: "soak",
    },
    Mutant {
        name: "counted-twice",
        what: "a control node takes itself for two when it computes who owns what",
        scenario: "soak",
    },
    Mutant {
        name: "unsorted",
        what: "tasks are served in an order that is another one in each process",
        scenario: "soak",
    },
];

/// How many seeds may be spent on one mistake.
const SEEDS_MAX: u64 = 300;

/// Plants each mistake, and runs seeds until one finds it.
pub(crate) fn run(options: &Options) -> Result<Vec<MutantResult>, String> {
    if !cfg!(phalanx_planted) {
        return Err("this program was built without mistakes: use cargo xtask sim --mutants".to_owned());
    }
    let wanted =
        |mutant: &&Mutant| options.mutant.is_empty() || options.mutant.iter().any(|name| name == mutant.name);
    MUTANTS.iter().filter(wanted).map(|mutant| look_for(options, mutant)).collect()
}

fn look_for(options: &Options, mutant: &Mutant) -> Result<MutantResult, String> {
    let options = Options { scenario: mutant.scenario.to_owned(), ..options.clone() };
    let (mut seeds_needed, mut property) = (0, None);
    if mutant.name == UNSORTED {
        return compare(&options, mutant);
    }
    farm::run(&options, Some(mutant.name), options.first..options.first + SEEDS_MAX, |result| {
        seeds_needed += 1;
        property = result.property;
        property.is_none()
    })?;
    let found = property.is_some();
    let shown = property.as_deref().unwrap_or("NOT FOUND");
    eprintln!("{:28} {seeds_needed:4} seeds  {shown}", mutant.name);
    Ok(MutantResult { name: mutant.name.to_owned(), found, seeds_needed, property })
}

/// A mistake that breaks no promise of the cluster, but that of the simulator: one seed is one run.
const UNSORTED: &str = "unsorted";

/// Runs each seed in two processes, until they differ.
fn compare(options: &Options, mutant: &Mutant) -> Result<MutantResult, String> {
    let options = Options { jobs: 2, ..options.clone() };
    for seeds_needed in 1..=SEEDS_MAX {
        let seed = options.first + seeds_needed - 1;
        let mut hashes = Vec::new();
        farm::run(&options, Some(mutant.name), [seed, seed].into_iter(), |result| {
            hashes.push(result.hash);
            true
        })?;
        if hashes.windows(2).any(|pair| pair[0] != pair[1]) {
            let property = Some("one seed is one run, whatever process it is in".to_owned());
            eprintln!("{:28} {seeds_needed:4} seeds  the hashes of two processes differ", mutant.name);
            return Ok(MutantResult { name: mutant.name.to_owned(), found: true, seeds_needed, property });
        }
    }
    Ok(MutantResult { name: mutant.name.to_owned(), found: false, seeds_needed: SEEDS_MAX, property: None })
}

/// What people read.
pub(crate) fn summary(mutants: &[MutantResult]) -> String {
    let found: Vec<u64> = {
        let mut needed: Vec<u64> =
            mutants.iter().filter(|mutant| mutant.found).map(|mutant| mutant.seeds_needed).collect();
        needed.sort_unstable();
        needed
    };
    let median = found.get(found.len() / 2).copied().unwrap_or_default();
    format!(
        "{} of {} planted mistakes were found, after {median} seeds in the middle\n",
        found.len(),
        mutants.len()
    )
}
