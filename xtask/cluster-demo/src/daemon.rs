//! The Docker daemon that the demo's workers use: the machine's own, or else a private one that is started for as long as the
//! demo runs. Whichever it is, nothing of the demo is left there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker as Api};
use phalanx::{Entropy, SystemEntropy};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

use crate::archive;
use crate::containers::IMAGE;
use crate::drivers::DockerAccess;

/// Where a daemon listens unless it is told otherwise.
const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// How long a daemon may take to answer: one that is there, in seconds, and one that was just started.
const ANSWER_MAX_S: u64 = 60;
const START_MAX: Duration = Duration::from_secs(60);
const START_INTERVAL: Duration = Duration::from_millis(100);

/// The labels that the driver gives to containers.
const CLUSTER_LABEL: &str = "phalanx.cluster";
const WORKER_LABEL: &str = "phalanx.worker";

/// What is missing where there is no daemon.
const ADVICE: &str = "start a Docker daemon and name its socket (DOCKER_HOST=unix://…), or run this as root with the Debian \
                      packages docker.io and busybox-static installed";

/// See the module's page.
pub(crate) struct Daemon {
    api: Api,
    access: DockerAccess,
    archive: PathBuf,
    /// It ends with this value.
    own: Option<Own>,
}

impl Daemon {
    /// Finds a daemon or starts one, and makes the image, in this folder.
    ///
    /// # Errors
    /// What is missing, and what to install.
    pub(crate) async fn find(folder: &Path) -> Result<Self, String> {
        let image = archive::make(IMAGE)?;
        let archive = folder.join("image.tar");
        fs::write(&archive, image).map_err(|error| format!("{}: {error}", archive.display()))?;
        let (api, socket, own) = match std::env::var("DOCKER_HOST") {
            Ok(host) => {
                let path = host.strip_prefix("unix://").ok_or_else(|| {
                    format!("DOCKER_HOST is {host}, and the driver needs a Unix socket: {ADVICE}")
                })?;
                let api = connect(Path::new(path)).await;
                (api.ok_or_else(|| format!("nobody answers at {host}: {ADVICE}"))?, path.into(), None)
            }
            Err(_) => match connect(Path::new(USUAL_SOCKET)).await {
                Some(api) => (api, USUAL_SOCKET.into(), None),
                None => {
                    let own = Own::start()?;
                    let (api, own) = own.answers().await?;
                    (api, own.socket(), Some(own))
                }
            },
        };
        let label = format!("demo-{:016x}", SystemEntropy::new().bits64());
        Ok(Self { api, access: DockerAccess { socket, label }, archive, own })
    }

    /// What a worker has to know.
    pub(crate) fn access(&self) -> DockerAccess {
        self.access.clone()
    }

    /// The file of the image.
    pub(crate) fn archive(&self) -> PathBuf {
        self.archive.clone()
    }

    /// Whether it was started for this demo.
    pub(crate) fn is_private(&self) -> bool {
        self.own.is_some()
    }

    /// Removes everything of this demo. Says how many containers there were, by their workers.
    ///
    /// # Errors
    /// The daemon's words; something may be left.
    pub(crate) async fn clear(&self) -> Result<BTreeMap<String, u64>, String> {
        let words = |error: bollard::errors::Error| error.to_string();
        let label = format!("{CLUSTER_LABEL}={}", self.access.label);
        let filters = [("label".to_owned(), vec![label])].into();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.api.list_containers(Some(options)).await.map_err(words)?;
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for container in listed {
            let worker = container.labels.and_then(|mut labels| labels.remove(WORKER_LABEL));
            *found.entry(worker.unwrap_or_default()).or_default() += 1;
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            self.api
                .remove_container(&container.id.unwrap_or_default(), Some(options))
                .await
                .map_err(words)?;
        }
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        match self.api.remove_image(IMAGE, Some(options), None).await {
            // It never came.
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) | Ok(_) => {
                Ok(found)
            }
            Err(error) => Err(words(error)),
        }
    }
}

/// Connects to a daemon, if one answers.
async fn connect(socket: &Path) -> Option<Api> {
    let api = Api::connect_with_unix(&socket.to_string_lossy(), ANSWER_MAX_S, API_DEFAULT_VERSION).ok()?;
    let api = api.negotiate_version().await.ok()?;
    api.ping().await.ok().map(|_| api)
}

/// A daemon of the demo's own, without networks, on a folder of its own.
struct Own {
    folder: TempDir,
    process: Child,
}

impl Own {
    fn start() -> Result<Self, String> {
        let absent =
            |error: std::io::Error| format!("no Docker daemon answers, and none starts ({error}): {ADVICE}");
        if !rustix::process::geteuid().is_root() {
            return Err(format!("no Docker daemon answers at {USUAL_SOCKET}: {ADVICE}"));
        }
        // A path of a socket has at most a hundred characters.
        let folder = tempfile::Builder::new().prefix("pd-").tempdir().map_err(absent)?;
        let path = |name: &str| folder.path().join(name);
        fs::write(path("daemon.json"), "{}").map_err(absent)?;
        let log = File::create(path("log")).map_err(absent)?;
        // The kernel ends it with the thread that starts it, the demo's first one, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "dockerd", "--bridge=none", "--iptables=false"]);
        command.args([
            "--ip6tables=false",
            "--ip-masq=false",
            "--storage-driver=vfs",
            "--shutdown-timeout=1",
        ]);
        for (option, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(path(name));
        }
        command.arg(format!("--host=unix://{}", path("docker.sock").display()));
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(absent)?).stderr(log);
        let process = command.spawn().map_err(absent)?;
        Ok(Self { folder, process })
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Waits until it answers.
    async fn answers(mut self) -> Result<(Api, Self), String> {
        let answered = timeout(START_MAX, async {
            let mut ticks = interval(START_INTERVAL);
            loop {
                ticks.tick().await;
                if let Ok(Some(_)) = self.process.try_wait() {
                    return None;
                }
                if let Some(api) = connect(&self.socket()).await {
                    return Some(api);
                }
            }
        });
        match answered.await {
            Ok(Some(api)) => Ok((api, self)),
            Ok(None) => Err(format!(
                "a Docker daemon of the demo's own does not run ({}): {ADVICE}",
                self.last_word()
            )),
            Err(_) => {
                Err(format!("a Docker daemon of the demo's own does not answer ({})", self.last_word()))
            }
        }
    }

    fn last_word(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().last().unwrap_or("it has said nothing").to_owned()
    }
}

impl Drop for Own {
    /// Waits until it has ended, which takes a second; the demo has ended by then.
    fn drop(&mut self) {
        if let Some(process) = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw)
            && let Ok(None) = self.process.try_wait()
        {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
            let _ = self.process.wait();
        }
        // A namespace of the network is left mounted, and would keep the folder.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let folder = self.folder.path().to_string_lossy();
        for mount in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if mount.starts_with(&*folder) {
                let _ = Command::new("umount").args(["--lazy", mount]).status();
            }
        }
    }
}
