//! A control node and a worker whose configuration allows all drivers.

use std::fs;

use rustix::process::Signal;

use crate::agents::{Agent, Place, Said, eventually};

/// What the worker allows; `PLACE` is the folder of the test.
const DRIVERS: &str = r#"
cluster = "media"
role = "worker"
worker-credential-file = "worker"
labels = "core;group=a"

[drivers.kv]
enabled = true

[drivers.files]
read-write = ["box=PLACE/box"]
read = ["shelf=PLACE/shelf"]

[drivers.process]
programs = ["sh", "sleep", "cat"]
roots = ["PLACE/work"]
programs-max = 200
keep = true
"#;

/// A cluster of two.
pub(crate) struct Cluster<'a> {
    pub(crate) control: Agent<'a>,
    /// Ends with this.
    pub(crate) worker: Agent<'a>,
    /// Where the control node listens.
    pub(crate) listen: String,
}

impl<'a> Cluster<'a> {
    pub(crate) fn start(place: &'a Place) -> Self {
        for folder in ["box", "shelf", "work"] {
            fs::create_dir(place.path(folder)).unwrap();
        }
        let folder = place.path("");
        let folder = folder.to_str().unwrap().trim_end_matches('/');
        fs::write(place.path("worker.toml"), DRIVERS.replace("PLACE", folder)).unwrap();
        let control = place.agent("control-1", &[]);
        control.wait_until_ready();
        let listen = control.listen();
        let worker = another(place, "worker-1", &listen);
        let cluster = Self { control, worker, listen };
        eventually("the worker is listed", || (cluster.status() == "ready").then_some(()));
        cluster
    }

    /// Kills the worker, and starts it again.
    pub(crate) fn restart_worker(&mut self, place: &'a Place) {
        self.worker.signal(Signal::KILL);
        self.worker.end();
        self.worker = another(place, "worker-1", &self.listen);
        eventually("the worker is there again", || (self.status() == "ready").then_some(()));
    }

    /// Asks the control node.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Said {
        self.control.ask(arguments)
    }

    /// How the worker is, as the control node says.
    pub(crate) fn status(&self) -> String {
        let nodes = self.ask(&["node", "ls", "-o", "json"]).json();
        let worker =
            nodes["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "worker-1").cloned();
        let status = worker.map(|node| node["worker"]["status"].clone()).unwrap_or_default();
        status.as_str().unwrap_or_default().to_owned()
    }
}

/// Starts a worker of the same configuration, after the first one.
pub(crate) fn another<'a>(place: &'a Place, node: &str, listen: &str) -> Agent<'a> {
    let told = ["--role", "worker", "--config", "worker.toml", "--discover", listen];
    let worker = place.agent(node, &told);
    worker.wait_until_ready();
    worker
}

/// The arguments of a command to the control node, with those that follow a `--` behind them.
pub(crate) fn at_control<'a>(before: &[&'a str], behind: &[&'a str]) -> Vec<&'a str> {
    let dashes: &[&str] = if behind.is_empty() { &[] } else { &["--"] };
    [before, &["--socket", "control-1.sock"], dashes, behind].concat()
}
