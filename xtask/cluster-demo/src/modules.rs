//! Shipped code: each worker gets one version of a module after the other, is asked to call it all the time, is switched to
//! the second one and back; and every count that it returns is compared.
//!
//! Steps may be taken twice, since a control node that is killed takes the answer with it; each of them is the same when it
//! is done again. What a worker answers next is known at any time, since it has one errand at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::errand::Failure;

/// The name of the module, and of its function.
#[cfg(feature = "wasm")]
pub(crate) const MODULE: &str = "words";
#[cfg(feature = "wasm")]
pub(crate) const FUNCTION: &str = "count";

/// Its versions.
pub(crate) const VERSIONS: [&str; 2] = ["1", "2"];

/// How many calls are compared before the next step: some seconds where many workers are called.
const CALLS_PER_STEP: u32 = 20;

/// A module that is ready to be pushed: what is announced of it, as the driver writes it, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub(crate) announced: Value,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ModuleErrand {
    Push(Signed),
    /// Count words; without a version by the default one.
    Call {
        version: Option<String>,
        text: String,
    },
    Switch(String),
    /// From this version, if it is the default, to the one before.
    RollBack(String),
    List,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ModuleOutcome {
    Pushed,
    Returned {
        version: String,
        output: Vec<u8>,
    },
    /// This is the default now.
    Default(String),
    /// The versions of the module, and the default one; empty where there is no such module.
    Listed {
        versions: Vec<String>,
        default: Option<String>,
    },
}

/// What was found, for the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ModulesFound {
    /// Calls that returned something.
    pub(crate) calls: u64,
    /// Of these, calls that returned another count, or by another version, than they should.
    pub(crate) wrong: u64,
    /// Calls and steps that failed.
    pub(crate) failed: u64,
    /// Of these, such as were under way when a node was killed or stopped, or shortly after.
    pub(crate) failed_by_kill: u64,
    pub(crate) modules_pushed: u64,
    pub(crate) switched: u64,
    pub(crate) rolled_back: u64,
    /// Workers that were looked at in the end.
    pub(crate) workers_checked: usize,
    /// Versions, and defaults, that were not there then.
    pub(crate) modules_lost: u64,
}

impl ModulesFound {
    /// Whether there was something of everything.
    pub(crate) fn is_shown(&self) -> bool {
        self.calls > 0 && self.switched > 0 && self.rolled_back > 0 && self.workers_checked > 0
    }

    pub(crate) fn is_right(&self) -> bool {
        self.wrong == 0 && self.failed == self.failed_by_kill
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Empty,
    First,
    Both,
    Switched,
    RolledBack,
}

#[derive(Debug, Default)]
struct Shelf {
    step: Step,
    calls: u32,
    has_rolled_back: bool,
    is_checked: bool,
}

/// See the module's page.
pub(crate) struct Modules {
    pub(crate) is_closing: bool,
    pub(crate) found: ModulesFound,
    signed: [Signed; 2],
    shelves: BTreeMap<String, Shelf>,
    texts: u64,
}

impl Modules {
    /// With the two versions.
    pub(crate) fn new(signed: [Signed; 2]) -> Self {
        Self { is_closing: false, found: ModulesFound::default(), signed, shelves: BTreeMap::new(), texts: 0 }
    }

    /// Whether a worker has been through every step; once closed, whether it was looked at too.
    pub(crate) fn is_done(&self, worker: &str) -> bool {
        let is_done = |shelf: &Shelf| if self.is_closing { shelf.is_checked } else { shelf.has_rolled_back };
        self.shelves.get(worker).is_some_and(is_done)
    }

    pub(crate) fn next(&mut self, worker: &str) -> Option<ModuleErrand> {
        let shelf = self.shelves.entry(worker.to_owned()).or_default();
        let is_due = self.is_closing || shelf.calls >= CALLS_PER_STEP;
        let [first, second] = VERSIONS;
        match shelf.step {
            _ if shelf.is_checked => None,
            Step::Empty => Some(ModuleErrand::Push(self.signed[0].clone())),
            Step::First if is_due => Some(ModuleErrand::Push(self.signed[1].clone())),
            _ if self.is_closing => Some(ModuleErrand::List),
            Step::Both | Step::RolledBack if is_due => Some(ModuleErrand::Switch(second.to_owned())),
            Step::Switched if is_due => Some(ModuleErrand::RollBack(second.to_owned())),
            step => {
                self.texts += 1;
                // Where both are there, each second call names the one that is not the default.
                let other = if step == Step::Switched { first } else { second };
                let names_other = step != Step::First && shelf.calls % 2 == 1;
                let version = names_other.then(|| other.to_owned());
                Some(ModuleErrand::Call { version, text: text(self.texts) })
            }
        }
    }

    pub(crate) fn handle(
        &mut self,
        worker: &str,
        errand: &ModuleErrand,
        result: Result<ModuleOutcome, Failure>,
    ) {
        let shelf = self.shelves.entry(worker.to_owned()).or_default();
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(failure) => {
                self.found.failed += 1;
                self.found.failed_by_kill += u64::from(failure == Failure::ByKill);
                return;
            }
        };
        match (errand, outcome) {
            (ModuleErrand::Push(_), ModuleOutcome::Pushed) => {
                self.found.modules_pushed += 1;
                shelf.go_on(if shelf.step == Step::Empty { Step::First } else { Step::Both });
            }
            (ModuleErrand::Call { version, text }, ModuleOutcome::Returned { version: by, output }) => {
                self.found.calls += 1;
                shelf.calls += 1;
                let expected = version.as_deref().or(shelf.default());
                let is_right = expected == Some(&by) && output == count(&by, text).to_le_bytes();
                self.found.wrong += u64::from(!is_right);
            }
            (ModuleErrand::Switch(to), ModuleOutcome::Default(now)) if *to == now => {
                self.found.switched += 1;
                shelf.go_on(Step::Switched);
            }
            (ModuleErrand::RollBack(from), ModuleOutcome::Default(now)) if *from != now => {
                self.found.rolled_back += 1;
                shelf.has_rolled_back = true;
                shelf.go_on(Step::RolledBack);
            }
            (ModuleErrand::List, ModuleOutcome::Listed { versions, default }) => {
                shelf.is_checked = true;
                self.found.workers_checked += 1;
                let lost = VERSIONS.iter().filter(|version| !versions.iter().any(|there| there == *version));
                self.found.modules_lost += lost.count() as u64;
                self.found.modules_lost += u64::from(default.as_deref() != shelf.default());
            }
            // An answer that is none: a step is taken again, and the report says that something is wrong.
            _ => self.found.wrong += 1,
        }
    }
}

impl Shelf {
    fn go_on(&mut self, step: Step) {
        (self.step, self.calls) = (step, 0);
    }

    /// The version that runs where none is named.
    fn default(&self) -> Option<&'static str> {
        match self.step {
            Step::Empty => None,
            Step::First | Step::Both | Step::RolledBack => Some(VERSIONS[0]),
            Step::Switched => Some(VERSIONS[1]),
        }
    }
}

/// A text for a call, in which the two versions count differently.
fn text(number: u64) -> String {
    let line = format!("call {number} of\twords\nin  lines\n");
    line.repeat(1 + (number % 7) as usize)
}

/// What a version of the module should return: the first one knows spaces only, the second one all white space.
fn count(version: &str, text: &str) -> u32 {
    let separates = |byte: &u8| if version == VERSIONS[0] { *byte == b' ' } else { *byte <= b' ' };
    text.as_bytes().split(separates).filter(|word| !word.is_empty()).fold(0, |count, _| count + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> Modules {
        let signed = |mark: u8| Signed { announced: Value::Null, bytes: vec![mark] };
        Modules::new([signed(1), signed(2)])
    }

    /// A worker as it should be.
    #[derive(Default)]
    struct Worker {
        versions: Vec<String>,
        default: Option<String>,
    }

    impl Worker {
        fn answer(&mut self, errand: &ModuleErrand) -> ModuleOutcome {
            match errand {
                ModuleErrand::Push(signed) => {
                    let version = VERSIONS[usize::from(signed.bytes[0]) - 1].to_owned();
                    self.default.get_or_insert(version.clone());
                    if !self.versions.contains(&version) {
                        self.versions.push(version);
                    }
                    ModuleOutcome::Pushed
                }
                ModuleErrand::Call { version, text } => {
                    let version = version.clone().or(self.default.clone()).expect("something was pushed");
                    let output = count(&version, text).to_le_bytes().into();
                    ModuleOutcome::Returned { version, output }
                }
                ModuleErrand::Switch(to) => {
                    self.default = Some(to.clone());
                    ModuleOutcome::Default(to.clone())
                }
                ModuleErrand::RollBack(_) => {
                    self.default = Some(VERSIONS[0].to_owned());
                    ModuleOutcome::Default(VERSIONS[0].to_owned())
                }
                ModuleErrand::List => {
                    ModuleOutcome::Listed { versions: self.versions.clone(), default: self.default.clone() }
                }
            }
        }
    }

    fn turn(modules: &mut Modules, worker: &mut Worker) -> ModuleErrand {
        let errand = modules.next("w").expect("there is something to do");
        let outcome = worker.answer(&errand);
        modules.handle("w", &errand, Ok(outcome));
        errand
    }

    #[test]
    fn a_worker_goes_through_every_step_and_is_looked_at() {
        let (mut modules, mut worker) = (modules(), Worker::default());
        while !modules.is_done("w") {
            let errand = modules.next("w").unwrap();
            worker.answer(&errand);
            // Each answer is lost once: the same is done again.
            modules.handle("w", &errand, Err(Failure::ByKill));
            turn(&mut modules, &mut worker);
        }
        let found = &modules.found;
        assert_eq!((found.modules_pushed, found.switched, found.rolled_back), (2, 1, 1));
        assert_eq!((found.calls, found.wrong), (3 * u64::from(CALLS_PER_STEP), 0));
        assert_eq!((found.failed, found.failed_by_kill), (64, 64));
        modules.is_closing = true;
        assert_eq!(turn(&mut modules, &mut worker), ModuleErrand::List);
        assert_eq!((modules.found.modules_lost, modules.found.workers_checked), (0, 1));
        assert!(modules.is_done("w") && modules.next("w").is_none());
    }

    #[test]
    fn what_differs_and_what_is_lost_is_seen() {
        let (mut modules, mut worker) = (modules(), Worker::default());
        turn(&mut modules, &mut worker);
        worker.default = Some(VERSIONS[1].to_owned());
        turn(&mut modules, &mut worker);
        assert_eq!(modules.found.wrong, 1, "another version has answered");
        modules.is_closing = true;
        turn(&mut modules, &mut worker);
        worker.versions.pop();
        assert_eq!(turn(&mut modules, &mut worker), ModuleErrand::List);
        assert_eq!(modules.found.modules_lost, 2, "a version, and the default");
    }

    #[test]
    fn the_versions_count_differently_in_every_text() {
        assert_eq!((count("1", "a b\nc  d"), count("2", "a b\nc  d")), (3, 4));
        assert!((1..20).all(|number| count("1", &text(number)) != count("2", &text(number))));
    }
}
