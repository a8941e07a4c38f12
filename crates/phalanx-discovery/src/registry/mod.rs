//! The nodes of one machine, without a daemon: a folder with a file for each.
//!
//! As Erlang's epmd tells which nodes run on a host, but nothing has to be started before, and nothing is left when a
//! process is killed: each node holds a lock on its file, which the kernel drops with the process.

mod entry;
mod folder;
mod own;
mod scan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use phalanx_base::{Address, Entropy, Generation};
use tokio::task::spawn_blocking;

use crate::watched::{Stamp, Watched};
use crate::{
    Announcement, Attempt, BoxFuture, Candidates, Discover, DiscoverContext, DiscoverError, DynDiscover,
    Refresh, StaticPeers, StrategyAddress, StrategyError,
};

use entry::Entry;
use folder::FolderError;
use own::OwnEntry;
use scan::{Scan, scan};

/// How often [`Discover::changed`] looks at the folder: a cluster on one machine should form at once.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// How often a node that is published looks whether it still is.
const CHECK_PAUSE: Duration = Duration::from_secs(5);

/// The control nodes of this machine, which publish themselves in a folder.
///
/// Each node has a file there and holds an exclusive lock on it for as long as it is published. The lock ends with the
/// process, however that ends; whoever looks next takes the entry for dead, and removes it. Nothing is shared but the
/// folder, so that there is no daemon to start.
///
/// By default nodes are looked for in `$XDG_RUNTIME_DIR/phalanx`, `/run/phalanx` and `phalanx-<user id>` in the folder for
/// temporary files, and published in the first of these that can be written. A folder that is missing is made for this user
/// alone (mode 0700). To let the nodes of several users see each other, make it beforehand, for all to write and with the
/// sticky bit (mode 1777). A folder that belongs to somebody else, is a link, or lets everybody remove everything is
/// refused.
///
/// With a cluster in the context only its nodes are found, without one all are. Entries are not sealed: who may write to
/// the folder may write anything, as may who can run a process of this user. The handshake finds out.
///
/// As text: `phalanx://;discover=registry` or `phalanx:///path/of/folder;discover=registry`, with `refresh=` (default `5s`;
/// besides, the folder is looked at each half second for nodes that have come or gone).
///
/// ```
/// use phalanx_discovery::{Refresh, Registry};
///
/// let of_this_user = Registry::new();
/// let of_a_project = Registry::at("/tmp/my-project/nodes").refresh(Refresh::Once);
/// ```
#[derive(Debug)]
pub struct Registry {
    /// Where to look; the first that can be written is where to publish.
    folders: Vec<Watched>,
    refresh: Refresh,
}

/// No folder could be used. Why, for each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
struct NoFolder(Vec<FolderError>);

impl Registry {
    /// The registry in the default folders.
    #[must_use]
    pub fn new() -> Self {
        Self {
            folders: folder::defaults().into_iter().map(Watched::new).collect(),
            refresh: Refresh::default(),
        }
    }

    /// The registry in this folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folders: vec![Watched::new(folder.into())], refresh: Refresh::default() }
    }

    /// How often to look while the cluster is not formed.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// Looks into one folder, and writes down what it saw.
    async fn look(&self, folder: &Watched, context: &DiscoverContext) -> Result<Vec<Entry>, FolderError> {
        let path = folder.path().to_owned();
        let looked = spawn_blocking(move || (Stamp::of(&path), look(&path))).await;
        let ended = |error| FolderError::Io(folder.path().to_owned(), std::io::Error::other(error));
        let (stamp, looked) = looked.map_err(ended)?;
        folder.note(stamp);
        let cluster = context.cluster.as_ref().map(|cluster| cluster.id.as_str());
        let is_ours = |entry: &Entry| cluster.is_none_or(|id| entry.cluster.as_deref() == Some(id));
        context.tried(|| Attempt {
            kind: "registry",
            name: folder.path().display().to_string(),
            outcome: match &looked {
                Ok(scan) => Ok(lines(scan, is_ours)),
                Err(error) => Err(error.to_string()),
            },
        });
        Ok(looked?.living.into_iter().filter(is_ours).collect())
    }

    /// Publishes in the first folder that can be written.
    async fn publish(&self, entry: &Entry, entropy: &Arc<dyn Entropy>) -> Result<OwnEntry, DiscoverError> {
        let folders: Vec<_> = self.folders.iter().map(|folder| folder.path().to_owned()).collect();
        let (entry, entropy) = (entry.clone(), entropy.clone());
        let published = spawn_blocking(move || {
            let mut refused = Vec::new();
            for folder in folders {
                match publish(&folder, &entry, entropy.as_ref()) {
                    Ok(own) => return Ok(own),
                    Err(error) => refused.push(error),
                }
            }
            Err(NoFolder(refused))
        });
        published.await.map_err(DiscoverError::other)?.map_err(DiscoverError::other)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

fn publish(folder: &Path, entry: &Entry, entropy: &dyn Entropy) -> Result<OwnEntry, FolderError> {
    folder::make(folder)?;
    OwnEntry::publish(folder, entry, entropy).map_err(|error| FolderError::Io(folder.to_owned(), error))
}

/// Nothing where there is no folder: then nobody has published anything yet.
fn look(folder: &Path) -> Result<Scan, FolderError> {
    match folder::check(folder)? {
        false => Ok(Scan::default()),
        true => scan(folder).map_err(|error| FolderError::Io(folder.to_owned(), error)),
    }
}

/// What was seen, for people to read.
fn lines(scan: &Scan, is_ours: impl Fn(&Entry) -> bool) -> Vec<String> {
    let living = scan.living.iter().map(|entry| {
        let stranger = if is_ours(entry) { "" } else { " (another cluster)" };
        format!("{} at {}, process {}{stranger}", entry.boot, entry.addresses, entry.process)
    });
    living.chain(scan.passed_over.iter().cloned()).collect()
}

/// The addresses of the nodes, by their names. Where two boots of one node run, the later one has taken over.
fn addresses(entries: Vec<Entry>) -> Vec<Address> {
    let mut nodes: BTreeMap<_, (Generation, Vec<Address>)> = BTreeMap::new();
    for entry in entries {
        let generation = entry.boot.generation;
        let node = nodes.entry((entry.boot.node, entry.cluster)).or_insert((generation, Vec::new()));
        if node.0 < generation {
            *node = (generation, Vec::new());
        }
        if node.0 == generation {
            node.1.extend(entry.addresses);
        }
    }
    nodes.into_values().flat_map(|(_, addresses)| addresses).collect()
}

impl Discover for Registry {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let (mut entries, mut refused) = (Vec::new(), Vec::new());
        for folder in &self.folders {
            match self.look(folder, context).await {
                Ok(found) => entries.extend(found),
                Err(error) => refused.push(error),
            }
        }
        if refused.len() == self.folders.len() {
            return Err(DiscoverError::other(NoFolder(refused)));
        }
        // Some are names, which are looked up as those of any peer.
        let mut found = addresses(entries);
        found.truncate(StaticPeers::PEERS_MAX);
        StaticPeers::new(found).find(context).await
    }

    async fn changed(&self, _: &DiscoverContext) {
        let folders = self.folders.iter().map(|folder| Box::pin(folder.changed(LOOK_PAUSE)));
        futures_util::future::select_all(folders).await;
    }

    async fn announce(
        &self,
        context: &DiscoverContext,
        who: &Announcement,
        mut withdrawn: BoxFuture<'_, ()>,
    ) -> Result<(), DiscoverError> {
        let entry = Entry::new(context.cluster.as_ref().map(|cluster| cluster.id.clone()), who);
        let mut own = self.publish(&entry, &context.entropy).await?;
        loop {
            tokio::select! {
                biased;
                () = &mut withdrawn => break,
                () = tokio::time::sleep(CHECK_PAUSE) => {}
            }
            let (kept, is_there) = spawn_blocking(move || {
                let is_there = own.is_there();
                (own, is_there)
            })
            .await
            .map_err(DiscoverError::other)?;
            own = if is_there { kept } else { self.publish(&entry, &context.entropy).await? };
        }
        spawn_blocking(move || own.remove()).await.map_err(DiscoverError::other)
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}

/// The strategy of an address.
pub(crate) fn from_address(address: &mut StrategyAddress) -> Result<DynDiscover, StrategyError> {
    let registry = match (address.hosts(), address.path()) {
        ([], None | Some("/")) => Registry::new(),
        ([], Some(path)) => Registry::at(path),
        _ => {
            let example = "phalanx://;discover=registry or phalanx:///path;discover=registry";
            return Err(address.wrong(format!("the registry is of this machine and has no host: {example}")));
        }
    };
    Ok(DynDiscover::new(registry.refresh(address.take_refresh()?)))
}
