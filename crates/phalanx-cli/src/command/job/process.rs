//! A job whose tasks run a program.

use phalanx_drivers::process::{Limits, Run};

use super::section::Section;
use crate::size::Size;

/// What each task runs, as the table `[process]` says. A code other than 0 is a failure, after which it is restarted; nobody
/// hears its output as events, which is in its log.
pub(super) fn run(section: &mut Section) -> Run {
    let program: Option<String> = section.one("program");
    if program.is_none() && !section.is_told("program") {
        section.wrong("program", "it is not given: name it as the configuration of the workers does");
    }
    let mut run = Run::new(program.unwrap_or_default())
        .arguments(section.all::<String>("arguments"))
        .limits(limits(section))
        .must_succeed()
        .without_output_events();
    run.environment.extend(section.named::<String>("environment"));
    run.folder = section.one("folder");
    if section.one("keep").unwrap_or(false) { run.keep() } else { run }
}

fn limits(section: &mut Section) -> Limits {
    Limits {
        memory_bytes: section.one::<Size>("memory").map(|size| size.0),
        processes: section.one("processes"),
        cpu_percent: section.one("cpu-percent"),
        cpu_seconds: section.one("cpu-seconds"),
        open_files: section.one("open-files"),
    }
}
