//! A job whose tasks run a container.

use phalanx_drivers::docker::{Limits, Run};

use super::super::docker::{MountWord, PortWord, PullWord};
use super::section::Section;
use crate::size::Size;

/// What each task runs, as the table `[docker]` says. A code other than 0 is a failure, after which it is restarted; nobody
/// hears its output as events.
pub(super) fn run(section: &mut Section) -> Run {
    let image: Option<String> = section.one("image");
    if image.is_none() && !section.is_told("image") {
        section.wrong("image", "it is not given: name one that the configuration of the workers allows");
    }
    let mut run =
        Run::new(image.unwrap_or_default()).limits(limits(section)).must_succeed().without_output_events();
    run.pull = section.one::<PullWord>("pull").map_or(run.pull, |word| word.0);
    run.entrypoint = words(section, "entrypoint");
    run.command = words(section, "command");
    run.environment.extend(section.named::<String>("environment"));
    run.folder = section.one("folder");
    run.user = section.one("user");
    run.network = section.one("network").unwrap_or(run.network);
    run.ports = section.all::<PortWord>("ports").into_iter().map(|word| word.0).collect();
    run.mounts = section.all::<MountWord>("mounts").into_iter().map(|word| word.0).collect();
    let mut is = |key| section.one(key).unwrap_or(false);
    run.read_only = is("read-only");
    run.init = is("init");
    run.privileged = is("privileged");
    run
}

/// Words of the file; what the image says where there are none.
fn words(section: &mut Section, key: &'static str) -> Option<Vec<String>> {
    let words = section.all::<String>(key);
    (!words.is_empty()).then_some(words)
}

fn limits(section: &mut Section) -> Limits {
    Limits {
        memory_bytes: section.one::<Size>("memory").map(|size| size.0),
        cpu_percent: section.one("cpu-percent"),
        processes: section.one("processes"),
    }
}
