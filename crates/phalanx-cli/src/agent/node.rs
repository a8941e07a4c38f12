//! The node of an agent: what the settings say, in the library's words.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use phalanx::{
    Boot, ClusterEvent, ClusterEvents, Config, Control, Credential, Environment, FileStore, MemberEvent,
    Role, StartError, Worker,
};
use phalanx_operator::Operated;
use tokio::time::timeout;

use super::jobs::{Handlers, with_jobs};
use crate::config::{Preset, Settings};
use crate::exit::Failure;

/// The file in the data folder.
const STORE: &str = "node.redb";

/// Only the owner may look into the data folder.
const FOLDER_MODE: u32 = 0o700;

/// How long the last events of a node are waited for.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// A running node, of either role.
pub(super) enum Node {
    Control(Control),
    Worker(Worker),
}

/// What both builders have in common.
macro_rules! configure {
    ($builder:expr, $settings:expr, $handlers:expr) => {{
        let mut builder = $builder
            .labels($settings.labels.clone())
            .config(config($settings))
            .environment(environment($settings.data_folder.as_deref())?);
        if let Some(node) = &$settings.node {
            builder = builder.id(node.as_str());
        }
        if let Some(listen) = $settings.listen {
            builder = builder.listen(&listen.to_string());
        }
        for address in &$settings.discover {
            builder = builder.discover(address.clone().strategy().map_err(Failure::usage)?);
        }
        with_jobs!(builder, $handlers)
    }};
}

impl Node {
    pub(super) async fn start(settings: &Settings, credential: Credential) -> Result<Self, Failure> {
        let cluster = settings.cluster.as_str();
        let handlers = Handlers::open(settings).await?;
        let started = match settings.role {
            Role::Control => {
                let mut builder = configure!(Control::builder(cluster, credential), settings, handlers)
                    .weight(settings.weight)
                    .zone(&settings.zone)
                    .expected_controls(settings.expected_controls)
                    .form_deadline(settings.form_deadline);
                if !settings.advertise.is_empty() {
                    builder = builder.advertise(settings.advertise.clone());
                }
                builder.start().await.map(Self::Control)
            }
            _ => {
                let builder = configure!(Worker::builder(cluster, credential), settings, handlers);
                builder.start().await.map(Self::Worker)
            }
        };
        started.map_err(|error| match error {
            // What the configuration says cannot be.
            StartError::Listen { .. }
            | StartError::NodeId(_)
            | StartError::Address(_)
            | StartError::AddressList(_)
            | StartError::Membership(_)
            | StartError::Role { .. } => Failure::usage(error),
            error => Failure::failed(error),
        })
    }

    pub(super) fn operated(&self, cluster: &str) -> Operated {
        match self {
            Self::Control(control) => Operated::Control(control.clone()),
            Self::Worker(worker) => Operated::Worker { worker: worker.clone(), cluster: cluster.to_owned() },
        }
    }

    pub(super) fn boot(&self) -> &Boot {
        match self {
            Self::Control(control) => control.boot(),
            Self::Worker(worker) => worker.boot(),
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        match self {
            Self::Control(control) => control.local_addr(),
            Self::Worker(worker) => worker.local_addr(),
        }
    }

    pub(super) async fn stopped(&self) {
        match self {
            Self::Control(control) => control.stopped().await,
            Self::Worker(worker) => worker.stopped().await,
        }
    }

    pub(super) async fn shutdown(&self) {
        match self {
            Self::Control(control) => control.shutdown().await,
            Self::Worker(worker) => worker.shutdown().await,
        }
    }

    /// Why a node has stopped that nobody has told to.
    pub(super) async fn reason(&self) -> &'static str {
        let events = match self {
            Self::Control(control) => control.subscribe_since(0),
            Self::Worker(worker) => worker.subscribe_since(0),
        };
        if timeout(REASON_TIMEOUT, was_expelled(events)).await == Ok(true) {
            "this node was removed from the cluster: start it anew to come back"
        } else {
            "this node has ended: it was removed, or a later start of it is known, so that only one of its name may run; \
             the log above says which"
        }
    }
}

/// Looks through the events of a node that has stopped, which end.
async fn was_expelled(mut events: ClusterEvents) -> bool {
    while let Some(event) = events.next().await {
        if event == ClusterEvent::Member(MemberEvent::Expelled) {
            return true;
        }
    }
    false
}

fn config(settings: &Settings) -> Config {
    let mut config = match settings.preset {
        Preset::Lan => Config::lan(),
        Preset::Wan => Config::wan(),
        Preset::Local => Config::local(),
    };
    config.membership.autoclean_after = settings.autoclean;
    config
}

fn environment(data_folder: Option<&Path>) -> Result<Environment, Failure> {
    let environment = Environment::real().map_err(Failure::failed)?;
    let Some(folder) = data_folder else {
        tracing::warn!(
            "no data folder is given (data-dir): a node that restarts is a new one that knows nobody"
        );
        return Ok(environment);
    };
    let wrong = |words: String| Failure::failed(format!("{}: {words}", folder.display()));
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|error| wrong(error.to_string()))?;
    let store = FileStore::open(folder.join(STORE)).map_err(|error| wrong(error.to_string()))?;
    Ok(environment.with_store(store))
}
