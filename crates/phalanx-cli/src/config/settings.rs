//! The configuration as values: checked, and complete.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use phalanx::{Address, Labels, NodeId, Role, StrategyAddress};
use phalanx_operator::default_socket;

use super::Mistake;
use super::drivers::Drivers;
use super::layers::{Layers, Origin};

/// Timing for a kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preset {
    Lan,
    Wan,
    Local,
}

/// What an agent is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) cluster: String,
    pub(crate) role: Role,
    pub(crate) node: Option<NodeId>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) advertise: Vec<Address>,
    pub(crate) discover: Vec<StrategyAddress>,
    pub(crate) secret_file: Option<PathBuf>,
    /// Whether the file was named by a flag, and so wins over the environment.
    pub(crate) secret_file_is_flag: bool,
    pub(crate) worker_credential_file: Option<PathBuf>,
    pub(crate) data_folder: Option<PathBuf>,
    pub(crate) expected_controls: usize,
    pub(crate) form_deadline: Duration,
    pub(crate) autoclean: Duration,
    pub(crate) zone: String,
    pub(crate) weight: u16,
    pub(crate) labels: Labels,
    pub(crate) preset: Preset,
    pub(crate) socket: PathBuf,
    pub(crate) probe: Option<SocketAddr>,
    pub(crate) log: String,
    pub(crate) drivers: Drivers,
}

impl FromStr for Preset {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "lan" => Ok(Self::Lan),
            "wan" => Ok(Self::Wan),
            "local" => Ok(Self::Local),
            _ => Err("no preset: write lan, wan or local"),
        }
    }
}

/// A role that an agent may have.
struct AgentRole(Role);

impl FromStr for AgentRole {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "control" => Ok(Self(Role::Control)),
            "worker" => Ok(Self(Role::Worker)),
            _ => Err("no role: write control or worker"),
        }
    }
}

/// A strategy that this program can make.
struct Strategy(StrategyAddress);

impl FromStr for Strategy {
    type Err = phalanx::StrategyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: StrategyAddress = text.parse()?;
        // Made once to see that it can be; it does no I/O.
        address.clone().strategy()?;
        Ok(Self(address))
    }
}

/// The name of a cluster.
struct ClusterName(String);

impl FromStr for ClusterName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The two have the same letters and the same length.
        match NodeId::new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err("no name of a cluster: give it 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'"),
        }
    }
}

/// Reads the layers, and notes what is wrong.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    pub(super) fn all<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Vec<T> {
        let Some(given) = self.layers.given(name) else { return Vec::new() };
        let mut all = Vec::new();
        for value in &given.values {
            match value.parse() {
                Ok(value) => all.push(value),
                Err(error) => {
                    let words = format!("{name} = {value:?}: {error}");
                    self.mistakes.push(Mistake { place: given.from.to_string(), words });
                }
            }
        }
        all
    }

    pub(super) fn one<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        self.all(name).pop()
    }

    pub(super) fn must<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, instead: T) -> T {
        self.one(name).unwrap_or(instead)
    }

    pub(super) fn duration(&mut self, name: &str) -> Duration {
        self.one::<humantime::Duration>(name).map(Duration::from).unwrap_or_default()
    }
}

impl Settings {
    /// What the layers say.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub(crate) fn read(layers: &Layers, runtime_folder: Option<&Path>) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader { layers, mistakes: Vec::new() };
        if layers.given("cluster").is_none() {
            let words = "cluster is not given: say which cluster the node belongs to".to_owned();
            reader.mistakes.push(Mistake { place: "configuration".to_owned(), words });
        }
        let cluster = reader.must("cluster", ClusterName(String::new())).0;
        let socket = reader.one("socket").unwrap_or_else(|| default_socket(runtime_folder, &cluster));
        let secret_file_is_flag = layers.given("secret-file").is_some_and(|given| given.from == Origin::Flag);
        let data_folder: Option<PathBuf> = reader.one("data-dir");
        let drivers = Drivers::read(&mut reader, data_folder.as_deref());
        let settings = Self {
            socket,
            drivers,
            data_folder,
            cluster,
            role: reader.must("role", AgentRole(Role::Control)).0,
            node: reader.one("node"),
            listen: reader.one("listen"),
            advertise: reader.all("advertise"),
            discover: reader.all::<Strategy>("discover").into_iter().map(|strategy| strategy.0).collect(),
            secret_file: reader.one("secret-file"),
            secret_file_is_flag,
            worker_credential_file: reader.one("worker-credential-file"),
            expected_controls: reader.must("expected-controls", 1),
            form_deadline: reader.duration("form-deadline"),
            autoclean: reader.duration("autoclean"),
            zone: reader.must("zone", String::new()),
            weight: reader.must("weight", 1),
            labels: reader.must("labels", Labels::default()),
            preset: reader.must("preset", Preset::Lan),
            probe: reader.one("probe"),
            log: reader.must("log", String::new()),
        };
        if reader.mistakes.is_empty() { Ok(settings) } else { Err(reader.mistakes) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Settings, Vec<Mistake>> {
        let mut layers = Layers::defaults();
        for (name, value) in values {
            let values = value.split_whitespace().map(str::to_owned).collect();
            layers.set(key::find(name).unwrap(), values, Origin::Flag);
        }
        Settings::read(&layers, Some(Path::new("/run/user/7")))
    }

    #[test]
    fn the_name_of_the_cluster_is_enough() {
        let settings = read(&[("cluster", "media")]).unwrap();
        assert_eq!((settings.role, settings.preset), (Role::Control, Preset::Lan));
        assert_eq!(settings.socket, Path::new("/run/user/7/phalanx/media.sock"));
        assert_eq!((settings.form_deadline.as_secs(), settings.autoclean.as_secs()), (60, 86_400));
        assert_eq!((settings.expected_controls, settings.weight, settings.log.as_str()), (1, 1, "info"));
        assert_eq!((settings.listen, settings.data_folder), (None, None));
        let mistakes = read(&[]).unwrap_err();
        assert!(mistakes[0].to_string().contains("cluster is not given"), "{}", mistakes[0]);
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let wrong = [
            ("cluster", "a/b"),
            ("role", "operator"),
            ("node", "a/b"),
            ("listen", "control-1:7000"),
            ("advertise", "10.0.0.1:0x"),
            ("discover", "phalanx://;discover=pigeon"),
            ("expected-controls", "-1"),
            ("form-deadline", "soon"),
            ("autoclean", "1"),
            ("weight", "65536"),
            ("labels", "=a"),
            ("preset", "moon"),
            ("probe", "7080"),
        ];
        let mistakes = read(&wrong).unwrap_err();
        for (name, value) in wrong {
            let told =
                mistakes.iter().any(|mistake| mistake.words.starts_with(&format!("{name} = {value:?}: ")));
            assert!(told, "{name}: {mistakes:?}");
        }
        assert_eq!(mistakes.len(), wrong.len());
    }

    #[test]
    fn drivers_are_off_unless_given() {
        let drivers = read(&[("cluster", "m")]).unwrap().drivers;
        assert!(drivers.kv.is_none() && drivers.files.is_none() && drivers.process.is_none());
        assert!(drivers.wasm.is_none() && drivers.docker.is_none());
        let given = [
            ("cluster", "m"),
            ("data-dir", "/d"),
            ("drivers.kv.enabled", "true"),
            ("drivers.files.read", "logs=/var/log a=/a=b"),
            ("drivers.files.read-write", "models=/srv"),
            ("drivers.process.programs", "rsync /bin/true"),
            ("drivers.process.roots", "/srv /tmp"),
            ("drivers.process.memory-max", "1GiB"),
        ];
        let drivers = read(&given).unwrap().drivers;
        let kv = drivers.kv.unwrap();
        assert_eq!((kv.keys_max, kv.value_bytes_max, kv.bytes_max), (10_000, 64 << 10, 16 << 20));
        let roots: Vec<String> =
            drivers.files.unwrap().roots.into_iter().map(|root| format!("{root:?}")).collect();
        assert_eq!(
            roots,
            [
                r#"("a", ("/a=b", Read))"#,
                r#"("logs", ("/var/log", Read))"#,
                r#"("models", ("/srv", ReadWrite))"#
            ]
        );
        let process = drivers.process.unwrap();
        assert_eq!((process.programs.len(), process.roots.len(), process.logs), (2, 2, "/d/programs".into()));
        assert_eq!((process.memory_bytes_max, process.programs_max, process.user), (Some(1 << 30), 64, None));
    }

    #[cfg(feature = "docker")]
    #[test]
    fn containers_are_of_the_images_that_the_configuration_names() {
        let given = [
            ("cluster", "m"),
            ("node", "w"),
            ("drivers.docker.images", "busybox team/*"),
            ("drivers.docker.ports", "127.0.0.1:8000-8010"),
            ("drivers.docker.read", "/srv /data"),
            ("drivers.docker.volumes-read-write", "cache"),
        ];
        let docker = read(&given).unwrap().drivers.docker.unwrap();
        assert_eq!((docker.images.len(), docker.folders.len(), docker.volumes.len()), (2, 2, 1));
        assert_eq!(docker.ports.unwrap().ports, 8_000..=8_010);
        assert_eq!(docker.socket, Path::new("/var/run/docker.sock"));
        assert_eq!((docker.processes_max, docker.containers_max, docker.kept_max), (1_024, 16, 0));
        assert!(!(docker.pull || docker.exec || docker.privileged || docker.reports_orphans));
        assert_eq!((docker.archive_bytes_max, docker.networks.len()), (None, 0));
        let nameless = read(&[("cluster", "m"), ("drivers.docker.images", "*")]).unwrap_err();
        assert!(nameless[0].to_string().contains("give node"), "{nameless:?}");
    }

    #[cfg(feature = "wasm")]
    #[test]
    fn code_is_shipped_by_whom_the_configuration_names() {
        let signer = format!("build={}", "0a".repeat(32));
        let given = [
            ("cluster", "m"),
            ("data-dir", "/d"),
            ("drivers.wasm.signers", &signer),
            ("drivers.wasm.grants", "log data"),
        ];
        let wasm = read(&given).unwrap().drivers.wasm.unwrap();
        assert_eq!((wasm.signers[0].0.as_str(), wasm.grants.len()), ("build", 2));
        assert_eq!((wasm.folder, wasm.memory_bytes_max), (Some("/d/modules".into()), 16 << 20));
        assert_eq!((wasm.turn_time.as_millis(), wasm.task_time.as_secs()), (500, 3_600));
    }

    #[test]
    fn what_drivers_lack_is_told() {
        let words = |values: &[(&str, &str)]| {
            let mistakes = read(values).unwrap_err();
            mistakes.iter().map(|mistake| mistake.words.clone()).collect::<Vec<_>>().join("\n")
        };
        let programs = words(&[("cluster", "m"), ("drivers.process.programs", "true")]);
        assert!(programs.contains("drivers.process.roots") && programs.contains("data-dir"), "{programs}");
        let twice = [("cluster", "m"), ("drivers.files.read", "a=/a"), ("drivers.files.write", "a=/b")];
        assert!(words(&twice).contains("\"a\" is given twice"));
        let wrong = [
            ("cluster", "m"),
            ("drivers.kv.enabled", "yes"),
            ("drivers.kv.bytes-max", "1GB"),
            ("drivers.files.read", "logs"),
            ("drivers.files.write", "a/b=/c"),
            ("drivers.files.read-write", "a=b"),
            ("drivers.process.roots", "srv"),
            ("drivers.process.memory-max", "much"),
            ("drivers.docker.socket", "docker.sock"),
            ("drivers.docker.pull", "yes"),
            ("drivers.docker.ports", "8000-9000"),
            ("drivers.docker.read", "srv"),
            ("drivers.docker.orphans", "keep"),
            ("drivers.wasm.signers", "build=0123"),
            ("drivers.wasm.grants", "files"),
            ("drivers.wasm.turn-time", "soon"),
        ];
        let told = words(&wrong);
        for (name, value) in &wrong[1..] {
            assert!(told.contains(&format!("{name} = {value:?}: ")), "{name}: {told}");
        }
    }

    #[test]
    fn lists_keep_their_order() {
        let settings = read(&[("cluster", "m"), ("discover", "a:1 b:2"), ("advertise", "c:3 d:4")]).unwrap();
        let advertised: Vec<String> = settings.advertise.iter().map(ToString::to_string).collect();
        assert_eq!(advertised, ["phalanx://c:3", "phalanx://d:4"]);
        assert_eq!(settings.discover.len(), 2);
    }
}
