//! A Docker daemon of a scenario's own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tests::until;

/// What to do where it does not start.
const NEEDS: &str = "these tests start Docker daemons: run them as root, with the Debian packages docker.io and \
                     busybox-static, or leave out the test binary `docker`";

/// How often it is started before a scenario gives up.
const STARTS_MAX: u32 = 3;

/// A daemon, which ends with this value, and with the test's process however that ends.
pub(crate) struct Daemon {
    folder: TempDir,
    process: Option<Child>,
}

impl Daemon {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start() -> Self {
        // A path of a socket has at most a hundred characters.
        let folder = tempfile::Builder::new().prefix("pd-").tempdir_in("/tmp").unwrap();
        let mut daemon = Self { folder, process: None };
        fs::write(daemon.path("daemon.json"), "{}").unwrap();
        daemon.begin(&[]).await;
        daemon
    }

    /// Starts it again after its end, with further options; and once more where it gives up, as init systems do: one that
    /// was killed finds the number of a containerd that is gone, and waits for it in vain.
    pub(crate) async fn begin(&mut self, options: &[&str]) {
        let mut starts = 1;
        self.spawn(options);
        until("the daemon answers", async || {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                assert!(starts < STARTS_MAX, "the daemon has ended ({status}); {NEEDS}:\n{}", self.log());
                starts += 1;
                self.spawn(options);
            }
            self.answers()
        })
        .await;
    }

    fn spawn(&mut self, options: &[&str]) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        // The kernel ends it with the thread that has started it: that of the scenario.
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "TERM",
            "dockerd",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
        ]);
        command.args(["--ip-masq=false", "--storage-driver=vfs", "--shutdown-timeout=1"]);
        for (option, path) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(self.path(path));
        }
        command.arg(format!("--host=unix://{}", self.socket().display())).args(options);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("setpriv: {error}; {NEEDS}"));
        self.process = Some(process);
    }

    fn answers(&self) -> bool {
        use std::io::{Read, Write};
        let Ok(mut stream) = std::os::unix::net::UnixStream::connect(self.socket()) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut answer = [0; 12];
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer.ends_with(b"200")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Ends it as an administrator does.
    pub(crate) async fn stop(&mut self) {
        self.signal("TERM").await;
    }

    /// Ends it without a word.
    pub(crate) async fn kill(&mut self) {
        self.signal("KILL").await;
    }

    async fn signal(&mut self, signal: &str) {
        let mut process = self.process.take().unwrap();
        kill(signal, process.id());
        until("the daemon ends", async || process.try_wait().unwrap().is_some()).await;
    }

    /// The names of all of its containers, whether they run or not, as its own program lists them.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.docker(&["ps", "--all", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
    }

    /// Runs its own program.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("docker");
        command.arg(format!("--host=unix://{}", self.socket().display())).args(arguments);
        let output = command.output().unwrap_or_else(|error| panic!("docker: {error}; {NEEDS}"));
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Sends a process a signal.
pub(crate) fn kill(signal: &str, process: u32) {
    let _ = Command::new("kill").args(["-s", signal, &process.to_string()]).status();
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Containers first: a daemon waits for them when it ends.
        let mut list = Command::new("docker");
        let host = format!("--host=unix://{}", self.socket().display());
        let listed = list.arg(&host).args(["ps", "--all", "--quiet"]).output();
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let containers: Vec<String> = listed.unwrap_or_default().lines().map(str::to_owned).collect();
        if !containers.is_empty() {
            let _ = Command::new("docker").arg(&host).args(["rm", "--force"]).args(containers).output();
        }
        kill("TERM", process.id());
        let _ = process.wait();
        // A namespace of the host's network is left mounted, and would keep the folder.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let folder = self.folder.path().to_string_lossy();
        for mount in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if mount.starts_with(&*folder) {
                let _ = Command::new("umount").args(["--lazy", mount]).status();
            }
        }
    }
}
