//! What a worker lets be run: nothing, until its program says what.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::class::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX, ARGUMENTS_MAX, Limits, ProcessError, Run, WhenAgentEnds,
};
use super::log::LOG_BYTES_MIN;
use super::supervisor::Supervisor;

/// Where programs are looked for that are allowed by their names.
const SEARCH: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"];

/// Defaults, each with its reason: as many programs as a small machine runs side by side.
const PROGRAMS_MAX: u32 = 64;
/// The log of one program: a long build's output.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// All logs: some hundred of them.
const LOGS_BYTES_MAX: u64 = 1 << 30;
/// Logs of programs that have ended: as many as a day brings, and a folder of them lists quickly.
const LOGS_KEPT_MAX: usize = 1_000;
/// Output as events in a second: what a person or a build server reads; a hundred programs fit a gigabit link.
const EVENT_BYTES_PER_SECOND: u64 = 1 << 20;
/// Output taken in a second: a program that writes without end leaves the disk and the worker to others.
const OUTPUT_BYTES_PER_SECOND: u64 = 32 << 20;

/// What a worker lets be run. A new one allows nothing.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) logs: PathBuf,
    pub(super) supervisor: Supervisor,
    programs: BTreeSet<String>,
    roots: Vec<PathBuf>,
    pub(super) limits: Limits,
    pub(super) programs_max: u32,
    pub(super) log_bytes_max: u64,
    pub(super) logs_bytes_max: u64,
    pub(super) logs_kept_max: usize,
    pub(super) event_bytes_per_second_max: u64,
    pub(super) output_bytes_per_second_max: u64,
    pub(super) keeps: bool,
    pub(super) user: Option<(u32, u32)>,
    pub(super) cgroup: Option<PathBuf>,
}

/// Why a policy cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The folder for logs cannot be used.
    #[error(
        "the folder {folder} for the logs of programs cannot be used: {source}; make it, or name another one"
    )]
    Logs {
        /// Which one.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program is named neither by a bare name nor by an absolute path.
    #[error("the program {0:?} is neither a name nor an absolute path: name it in one of these ways")]
    Program(String),
    /// A root is no folder.
    #[error("the root {folder} cannot be used: {source}; make it, or name another one")]
    Root {
        /// Which one.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log of one program is too small, or larger than all logs.
    #[error(
        "the log of one program has {0} bytes: at least {LOG_BYTES_MIN}, and at most as many as all logs together"
    )]
    LogBytes(u64),
    /// The control group is not a relative path without `..`.
    #[error(
        "the control group {0} is not a path below the mount of control groups: write it as `phalanx/programs`"
    )]
    Cgroup(PathBuf),
    /// This program does not supervise.
    #[error(
        "this program cannot supervise: call `phalanx_drivers::process::supervise_if_asked()` first in its `main`, or name a program that does"
    )]
    Supervisor,
    /// The program that is to supervise is not there.
    #[error("the supervisor {0} is not a program: install `phalanx-supervise` there, or name another one")]
    NoSupervisor(PathBuf),
}

/// What a run was found to be.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) limits: Limits,
}

impl Policy {
    /// Allows nothing yet. Logs go to this folder, which is made if it is not there; it is for this worker alone.
    pub fn new(logs: impl Into<PathBuf>, supervisor: Supervisor) -> Self {
        Self {
            logs: logs.into(),
            supervisor,
            programs: BTreeSet::new(),
            roots: Vec::new(),
            limits: Limits::default(),
            programs_max: PROGRAMS_MAX,
            log_bytes_max: LOG_BYTES_MAX,
            logs_bytes_max: LOGS_BYTES_MAX,
            logs_kept_max: LOGS_KEPT_MAX,
            event_bytes_per_second_max: EVENT_BYTES_PER_SECOND,
            output_bytes_per_second_max: OUTPUT_BYTES_PER_SECOND,
            keeps: false,
            user: None,
            cgroup: None,
        }
    }

    /// Allows a program: by an absolute path, or by a name, which is looked for in `/usr/local/bin`, `/usr/bin`, `/bin` and
    /// `/usr/sbin`. It must be asked for in the same way. Whoever allows a shell allows everything.
    #[must_use]
    pub fn allow_program(mut self, program: impl Into<String>) -> Self {
        self.programs.insert(program.into());
        self
    }

    /// Allows programs to work in this folder and all below it. It does not keep them from opening files elsewhere.
    #[must_use]
    pub fn allow_root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.roots.push(folder.into());
        self
    }

    /// What a program may use at most. Default: no limit.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many programs run at one time. Default: 64.
    #[must_use]
    pub fn programs_max(mut self, programs_max: u32) -> Self {
        self.programs_max = programs_max;
        self
    }

    /// The bytes of the log of one program, of which the oldest eighth goes when it is full (default: 8 MiB, at least 2
    /// MiB), and of all logs together (default: 1 GiB).
    #[must_use]
    pub fn log_bytes_max(mut self, one: u64, all: u64) -> Self {
        (self.log_bytes_max, self.logs_bytes_max) = (one, all);
        self
    }

    /// How many logs of programs that have ended are kept. Default: 1,000.
    #[must_use]
    pub fn logs_kept_max(mut self, logs: usize) -> Self {
        self.logs_kept_max = logs;
        self
    }

    /// How many bytes of output of one program are told as events in a second. Default: 1 MiB. The rest is in the log, and
    /// its offsets are told.
    #[must_use]
    pub fn event_bytes_per_second_max(mut self, bytes: u64) -> Self {
        self.event_bytes_per_second_max = bytes;
        self
    }

    /// How many bytes of each stream of one program are taken in a second; a program that writes more has to wait. Default:
    /// 32 MiB.
    #[must_use]
    pub fn output_bytes_per_second_max(mut self, bytes: u64) -> Self {
        self.output_bytes_per_second_max = bytes;
        self
    }

    /// Allows programs to go on when the worker's process ends, where they are asked to: see
    /// [`WhenAgentEnds::Keep`]. Default: none does.
    #[must_use]
    pub fn allow_keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Runs programs as this user and group, without further groups. The worker must be root.
    #[must_use]
    pub fn run_as(mut self, user: u32, group: u32) -> Self {
        self.user = Some((user, group));
        self
    }

    /// Makes a control group for each program that has limits, below this one: a path such as `phalanx/programs` below
    /// `/sys/fs/cgroup` (version 2), or below each controller there (version 1). The worker must be allowed to write there;
    /// what it cannot set is left to resource limits, and [`Said::Started`](super::Said::Started) says so. Default: none.
    #[must_use]
    pub fn cgroup(mut self, parent: impl Into<PathBuf>) -> Self {
        self.cgroup = Some(parent.into());
        self
    }

    /// Checks the policy against the machine, and makes the folder for logs.
    pub(super) fn in_force(mut self) -> Result<Self, PolicyError> {
        self.supervisor.check()?;
        if let Some(program) = self.programs.iter().find(|name| !is_name(name) && !is_absolute(name)) {
            return Err(PolicyError::Program(program.clone()));
        }
        if !(LOG_BYTES_MIN..=self.logs_bytes_max).contains(&self.log_bytes_max) {
            return Err(PolicyError::LogBytes(self.log_bytes_max));
        }
        if let Some(parent) = &self.cgroup
            && !parent.components().all(|part| matches!(part, std::path::Component::Normal(_)))
        {
            return Err(PolicyError::Cgroup(parent.clone()));
        }
        for root in &mut self.roots {
            *root = real_folder(root).map_err(|source| PolicyError::Root { folder: root.clone(), source })?;
        }
        self.logs = make_logs(&self.logs)
            .map_err(|source| PolicyError::Logs { folder: self.logs.clone(), source })?;
        Ok(self)
    }

    pub(super) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Looks whether this may be run here. Looks at the disk.
    pub(super) fn check(&self, run: &Run) -> Result<Permit, ProcessError> {
        check_words(run)?;
        if run.when_agent_ends == WhenAgentEnds::Keep && !self.keeps {
            return Err(ProcessError::KeepNotAllowed);
        }
        let not_allowed = || ProcessError::ProgramNotAllowed(run.program.clone());
        let named = self.programs.get(&run.program).ok_or_else(not_allowed)?;
        let program = find(named).ok_or_else(|| {
            ProcessError::CannotStart(format!("the worker's machine has no program {named:?}"))
        })?;
        let no_folder = || ProcessError::FolderNotAllowed(run.folder.clone().unwrap_or_default());
        let asked = match &run.folder {
            Some(folder) if is_absolute(folder) => Path::new(folder),
            Some(_) => return Err(no_folder()),
            None => self.roots.first().ok_or_else(no_folder)?,
        };
        let folder = real_folder(asked).map_err(|_| no_folder())?;
        if !self.roots.iter().any(|root| folder.starts_with(root)) {
            return Err(no_folder());
        }
        Ok(Permit { program, folder, limits: self.limits.min(run.limits) })
    }
}

/// Whether all the texts can be given to a program.
fn check_words(run: &Run) -> Result<(), ProcessError> {
    let invalid = |why: &str| Err(ProcessError::Invalid(why.to_owned()));
    if run.arguments.len() > ARGUMENTS_MAX || run.environment.len() > ARGUMENTS_MAX {
        return invalid("more arguments or variables than a program gets");
    }
    if run.environment.keys().any(|name| name.is_empty() || name.contains('=')) {
        return invalid("the name of a variable is empty or has a `=`");
    }
    let variables = run.environment.iter().flat_map(|(name, value)| [name, value]);
    let (mut sum, words) = (0, run.arguments.iter().chain(variables).chain(&run.folder));
    for word in words.chain([&run.program]) {
        if word.contains('\0') {
            return invalid("a text with a NUL");
        }
        if word.len() > ARGUMENT_BYTES_MAX {
            return invalid("a text that is longer than one argument may be");
        }
        sum += word.len();
    }
    if sum > ARGUMENTS_BYTES_MAX {
        return invalid("more bytes of arguments and variables than a program gets");
    }
    Ok(())
}

fn is_name(program: &str) -> bool {
    !program.is_empty() && !program.contains('/') && !program.contains('\0')
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0')
}

fn find(program: &str) -> Option<PathBuf> {
    if is_absolute(program) {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    SEARCH.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// The path of a folder with all links followed.
fn real_folder(folder: &Path) -> std::io::Result<PathBuf> {
    let real = fs::canonicalize(folder)?;
    // A path that is no UTF-8 cannot be told to the supervisor.
    match fs::metadata(&real)?.is_dir() && real.to_str().is_some() {
        true => Ok(real),
        false => Err(std::io::ErrorKind::NotADirectory.into()),
    }
}

fn make_logs(folder: &Path) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    real_folder(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn policy(folder: &Path) -> Policy {
        let supervisor = Supervisor::Program("/bin/sh".into());
        Policy::new(folder.join("logs"), supervisor)
    }

    #[test]
    fn a_new_policy_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let policy = policy(folder.path()).in_force().unwrap();
        assert_eq!(policy.check(&Run::new("sh")).unwrap_err(), ProcessError::ProgramNotAllowed("sh".into()));
    }

    #[test]
    fn nothing_is_kept_that_may_not_be() {
        let folder = tempfile::tempdir().unwrap();
        let policy = policy(folder.path()).allow_root(folder.path()).allow_program("cat");
        let run = Run::new("cat").keep();
        let careful = policy.clone().in_force().unwrap();
        assert_eq!(careful.check(&run).unwrap_err(), ProcessError::KeepNotAllowed);
        assert!(careful.check(&Run::new("cat")).is_ok());
        assert!(policy.allow_keeping().in_force().unwrap().check(&run).is_ok());
    }

    #[test]
    fn programs_are_named_as_the_policy_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let policy =
            policy(folder.path()).allow_root(folder.path()).allow_program("cat").allow_program("/bin/sh");
        let policy = policy.in_force().unwrap();
        assert!(policy.check(&Run::new("cat")).unwrap().program.ends_with("bin/cat"));
        assert_eq!(policy.check(&Run::new("/bin/sh")).unwrap().program, Path::new("/bin/sh"));
        for other in ["sh", "/bin/cat", "/usr/bin/cat", "./cat", "../bin/sh", "/bin/../bin/sh", "", "cat\0"] {
            let refused = policy.check(&Run::new(other)).unwrap_err();
            let expected = matches!(refused, ProcessError::ProgramNotAllowed(_) | ProcessError::Invalid(_));
            assert!(expected, "{other:?}: {refused:?}");
        }
    }

    #[test]
    fn folders_are_below_a_root_with_all_links_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("rooted"));
        fs::create_dir_all(root.join("inner")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(root.join("file"), "").unwrap();
        symlink(&outside, root.join("link")).unwrap();
        symlink(root.join("inner"), outside.join("back")).unwrap();
        let policy = policy(folder.path()).allow_root(&root).allow_program("cat").in_force().unwrap();
        let check = |folder: &str| policy.check(&Run::new("cat").folder(folder)).map(|permit| permit.folder);
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        assert_eq!(check(&text(root.clone())).unwrap(), fs::canonicalize(&root).unwrap());
        assert_eq!(check(&text(root.join("inner/.."))).unwrap(), fs::canonicalize(&root).unwrap());
        assert!(check(&text(outside.join("back"))).unwrap().ends_with("root/inner"));
        for wrong in [
            text(outside.clone()),
            text(root.join("link")),
            text(root.join("..")),
            text(root.join("file")),
            text(root.join("absent")),
            "inner".to_owned(),
            String::new(),
        ] {
            assert_eq!(check(&wrong).unwrap_err(), ProcessError::FolderNotAllowed(wrong));
        }
    }

    #[test]
    fn what_no_program_can_be_given_is_refused_first() {
        let folder = tempfile::tempdir().unwrap();
        let policy = policy(folder.path()).allow_root(folder.path()).allow_program("cat").in_force().unwrap();
        let long = "x".repeat(ARGUMENT_BYTES_MAX);
        policy.check(&Run::new("cat").argument(long.clone())).unwrap();
        for run in [
            Run::new("cat").argument("a\0b"),
            Run::new("cat").environment("A=B", "c"),
            Run::new("cat").environment("", "c"),
            Run::new("cat").argument(format!("{long}x")),
            Run::new("cat").arguments(vec![long.clone(); 5]),
            Run::new("cat").arguments(vec![""; ARGUMENTS_MAX + 1]),
        ] {
            assert!(matches!(policy.check(&run), Err(ProcessError::Invalid(_))));
        }
    }

    #[test]
    fn a_policy_that_cannot_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let new = || policy(folder.path());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for (wrong, word) in [
            (new().allow_program("bin/sh"), "bin/sh"),
            (new().allow_root(folder.path().join("absent")), "absent"),
            (new().allow_root(&file), "file"),
            (new().log_bytes_max(1, 1 << 30), "the log of one program"),
            (new().log_bytes_max(1 << 20, 1 << 19), "the log of one program"),
            (new().cgroup("/phalanx"), "/phalanx"),
            (new().cgroup("a/../b"), "a/../b"),
            (Policy::new(&file, Supervisor::Program("/bin/sh".into())), "file"),
            (Policy::new(folder.path(), Supervisor::Program(folder.path().join("no-program"))), "no-program"),
            (Policy::new(folder.path(), Supervisor::ThisProgram), "supervise_if_asked"),
        ] {
            let error = wrong.in_force().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_smaller_limit_is_in_force() {
        let limits = Limits { memory_bytes: Some(10), open_files: Some(5), ..Limits::default() };
        let asked = Limits { memory_bytes: Some(20), processes: Some(3), ..Limits::default() };
        let both =
            Limits { memory_bytes: Some(10), processes: Some(3), open_files: Some(5), ..Limits::default() };
        assert_eq!(limits.min(asked), both);
    }
}
