//! The keys of the configuration: one list, from which the file, the environment and the flags are read.

/// How many values a key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    One,
    Many,
}

/// One key: `some-key` in the file, `PHALANX_SOME_KEY` in the environment, `--some-key` on the command line. A dot stands
/// for a table of the file: `drivers.kv.enabled` is `enabled` below `[drivers.kv]`, `PHALANX_DRIVERS_KV_ENABLED`, and
/// `--drivers.kv.enabled`.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) count: Count,
    /// What stands for a value in the help.
    pub(crate) value: &'static str,
    pub(crate) default: Option<&'static str>,
    pub(crate) help: &'static str,
}

const fn one(
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Key {
    Key { name, count: Count::One, value, default, help }
}

const fn many(name: &'static str, value: &'static str, help: &'static str) -> Key {
    Key { name, count: Count::Many, value, default: None, help }
}

/// Every key, in the order in which people are shown them.
pub(crate) const KEYS: &[Key] = &[
    one("cluster", "NAME", None, "The name of the cluster; must be given"),
    one("role", "ROLE", Some("control"), "What the node is for: control or worker"),
    one("node", "ID", None, "The node's name; without it a random one, kept in the data folder"),
    one(
        "listen",
        "IP:PORT",
        None,
        "Where to listen; a control node at 0.0.0.0:7000, a worker at any free port",
    ),
    many("advertise", "HOST:PORT", "Where others reach the node, best first; without it, where it listens"),
    many("discover", "ADDRESS", "How to find control nodes, such as phalanx://control-1:7000"),
    one("secret-file", "PATH", None, "A file with the cluster's secret; or set PHALANX_SECRET"),
    one("worker-credential-file", "PATH", None, "A file with a worker's credential, instead of the secret"),
    one("data-dir", "PATH", None, "What outlives a restart; without it, nothing does"),
    one("expected-controls", "NUMBER", Some("1"), "For how many control nodes the first start waits"),
    one("form-deadline", "DURATION", Some("60s"), "How long it waits for them, before it ends with code 4"),
    one("autoclean", "DURATION", Some("24h"), "How long a control node is down before it is removed"),
    one("zone", "NAME", None, "The failure zone of the node, such as a rack"),
    one("weight", "NUMBER", Some("1"), "How many shares of the workers a control node takes"),
    one("labels", "LABELS", None, "What the node is labelled with: core;group=a,gpu"),
    one("preset", "PRESET", Some("lan"), "Timing, the same for all nodes of a cluster: lan, wan or local"),
    one("socket", "PATH", None, "Where operators reach it; $XDG_RUNTIME_DIR/phalanx/NAME.sock, or in /run"),
    one(
        "probe",
        "IP:PORT",
        None,
        "Where to answer GET /live, /ready and /status over HTTP; nowhere unless given",
    ),
    one("log", "FILTER", Some("info"), "What to log, such as info or phalanx=debug"),
    one("drivers.kv.enabled", "BOOL", Some("false"), "Keep small data for others: true or false"),
    one("drivers.kv.keys-max", "NUMBER", Some("10000"), "How many keys it keeps"),
    one("drivers.kv.value-bytes-max", "BYTES", Some("64KiB"), "How large a value may be"),
    one("drivers.kv.bytes-max", "BYTES", Some("16MiB"), "How large all keys and values may be together"),
    many("drivers.files.read", "NAME=PATH", "A folder out of which files may be got, and the name of it"),
    many("drivers.files.write", "NAME=PATH", "A folder into which files may be sent, and the name of it"),
    many("drivers.files.read-write", "NAME=PATH", "A folder for both, and the name of it"),
    one("drivers.files.file-bytes-max", "BYTES", None, "How large a file may be; any size unless given"),
    one("drivers.files.transfers-max", "NUMBER", Some("16"), "How many files are copied at one time"),
    many(
        "drivers.process.programs",
        "PROGRAM",
        "A program that may be run: a name, or an absolute path. A shell allows everything",
    ),
    many(
        "drivers.process.roots",
        "PATH",
        "A folder in which and below which programs may work; the first is the usual one",
    ),
    one(
        "drivers.process.logs",
        "PATH",
        None,
        "Where the output of programs is kept; programs in the data folder",
    ),
    one("drivers.process.programs-max", "NUMBER", Some("64"), "How many programs run at one time"),
    one("drivers.process.log-bytes-max", "BYTES", Some("8MiB"), "How much output of one program is kept"),
    one("drivers.process.logs-bytes-max", "BYTES", Some("1GiB"), "How much output of all programs is kept"),
    one("drivers.process.memory-max", "BYTES", None, "The memory that one program may use"),
    one("drivers.process.processes-max", "NUMBER", None, "How many processes one program may have"),
    one(
        "drivers.process.cpu-percent-max",
        "NUMBER",
        None,
        "The processor that one program may use; 100 is one core",
    ),
    one("drivers.process.cpu-seconds-max", "NUMBER", None, "The processor time of one process, in seconds"),
    one("drivers.process.open-files-max", "NUMBER", None, "How many files one process may have open"),
    one(
        "drivers.process.keep",
        "BOOL",
        Some("false"),
        "Whether programs that are to be kept go on when the agent's process ends: true or false",
    ),
    one("drivers.process.user", "USER", None, "As whom programs run: a name, or UID:GID; needs root"),
    one(
        "drivers.process.cgroup",
        "PATH",
        None,
        "The control group below which programs get theirs, such as phalanx/programs",
    ),
    many(
        "drivers.docker.images",
        "PATTERN",
        "Which images containers may be of, such as busybox, team/app:3.* or *; needs node",
    ),
    one(
        "drivers.docker.socket",
        "PATH",
        Some("/var/run/docker.sock"),
        "The socket of the machine's Docker daemon; whoever can open it has the machine",
    ),
    one("drivers.docker.pull", "BOOL", Some("false"), "Pull these images from registries: true or false"),
    one(
        "drivers.docker.archive-bytes-max",
        "BYTES",
        None,
        "How large image archives may be that are sent here; none are taken unless given",
    ),
    one("drivers.docker.memory-max", "BYTES", None, "The memory that one container may use"),
    one(
        "drivers.docker.cpu-percent-max",
        "NUMBER",
        None,
        "The processor that one container may use; 100 is one core",
    ),
    one("drivers.docker.processes-max", "NUMBER", Some("1024"), "How many processes one container may have"),
    many("drivers.docker.networks", "NETWORK", "A network that containers may have; without one, none"),
    one(
        "drivers.docker.ports",
        "IP:FIRST-LAST",
        None,
        "Which ports of the machine containers may publish, and at which address",
    ),
    many("drivers.docker.read", "PATH", "A folder that containers may mount to read it"),
    many("drivers.docker.read-write", "PATH", "A folder that containers may mount, as root of the machine"),
    many("drivers.docker.volumes-read", "VOLUME", "A volume that containers may mount to read it"),
    many("drivers.docker.volumes-read-write", "VOLUME", "A volume that containers may mount"),
    one("drivers.docker.exec", "BOOL", Some("false"), "Run commands in containers that run: true or false"),
    one(
        "drivers.docker.privileged",
        "BOOL",
        Some("false"),
        "Containers that have the machine, as root: true or false",
    ),
    one("drivers.docker.kept-max", "NUMBER", Some("0"), "How many containers may be kept after their end"),
    one("drivers.docker.containers-max", "NUMBER", Some("16"), "How many containers run at one time"),
    one("drivers.docker.log-bytes-max", "BYTES", Some("10MiB"), "The daemon's own log of one container"),
    one(
        "drivers.docker.daemon-away-max",
        "DURATION",
        Some("30s"),
        "How long the daemon may be away while a container runs",
    ),
    one(
        "drivers.docker.orphans",
        "WORD",
        Some("remove"),
        "What becomes of containers of an earlier start: remove or report",
    ),
    many(
        "drivers.wasm.signers",
        "NAME=KEY",
        "Whose code may be shipped here: a name for it, and the public key that phalanx class keygen prints",
    ),
    one("drivers.wasm.folder", "PATH", None, "Where shipped code is kept; modules in the data folder"),
    many("drivers.wasm.grants", "GRANT", "What shipped code may use: log, emit, commands or data"),
    one("drivers.wasm.module-bytes-max", "BYTES", Some("4MiB"), "How large a module may be"),
    one("drivers.wasm.modules-max", "NUMBER", Some("32"), "How many modules there may be"),
    one(
        "drivers.wasm.memory-max",
        "BYTES",
        Some("16MiB"),
        "The memory that one call or task of them may use",
    ),
    one("drivers.wasm.turn-time", "DURATION", Some("500ms"), "How long a call may take"),
    one("drivers.wasm.task-time", "DURATION", Some("1h"), "How long a task may take"),
    one("drivers.wasm.calls-max", "NUMBER", Some("8"), "How many calls run at one time"),
    one("drivers.wasm.tasks-max", "NUMBER", Some("8"), "How many tasks run at one time"),
];

impl Key {
    /// Its name in the environment.
    pub(crate) fn variable(&self) -> String {
        format!("PHALANX_{}", self.name.to_ascii_uppercase().replace(['-', '.'], "_"))
    }

    /// Where it stands in the help of the command line.
    pub(crate) fn heading(&self) -> &'static str {
        if self.name.starts_with("drivers.") {
            "What others may do with this node (nothing, unless given)"
        } else {
            "Configuration"
        }
    }
}

/// The key of a name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Of these words, the one that is meant most likely.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().min_by_key(|known| distance(word, known))
}

/// How many letters must be put in, left out or exchanged to make one word of the other (Levenshtein, 1966).
pub(crate) fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (place, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (at, other) in to.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = exchanged.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_kebab_case_and_told_apart() {
        for (place, key) in KEYS.iter().enumerate() {
            let is_letter = |byte: u8| byte.is_ascii_lowercase() || b"-.".contains(&byte);
            assert!(key.name.bytes().all(is_letter), "{}", key.name);
            assert!(KEYS[..place].iter().all(|other| other.name != key.name), "{}", key.name);
        }
        assert_eq!(find("data-dir").unwrap().variable(), "PHALANX_DATA_DIR");
        assert_eq!(find("drivers.kv.keys-max").unwrap().variable(), "PHALANX_DRIVERS_KV_KEYS_MAX");
    }

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        assert_eq!((distance("", "ab"), distance("kitten", "sitting"), distance("a", "a")), (2, 3, 0));
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("listn", names()), Some("listen"));
        assert_eq!(nearest("expected_controls", names()), Some("expected-controls"));
        assert_eq!(nearest("data-directory", names()), Some("data-dir"));
    }
}
