//! The trait that every way to find control nodes implements.

use std::fmt;
use std::future::{pending, ready};
use std::sync::Arc;

use crate::{Announcement, BoxFuture, Candidates, DiscoverContext, Refresh, ResolveError};

/// A way to find control nodes to call.
///
/// Discovery only *adds* candidates. One that is no longer found is not thereby gone: who is dead, the failure
/// detector decides. A candidate need not be a control node either; the handshake finds out.
///
/// Only [`find`](Self::find) must be there. A strategy that hears of changes says so by [`changed`](Self::changed), one
/// with which nodes publish themselves does that in [`announce`](Self::announce).
///
/// ```
/// use phalanx_discovery::{Candidate, Candidates, Discover, DiscoverContext, DiscoverError};
///
/// /// Finds control nodes in a file with one address per line.
/// struct PeersFile(std::path::PathBuf);
///
/// impl Discover for PeersFile {
///     async fn find(&self, _: &DiscoverContext) -> Result<Candidates, DiscoverError> {
///         let text = std::fs::read_to_string(&self.0).map_err(DiscoverError::other)?;
///         let sockets = text.lines().filter_map(|line| line.trim().parse().ok());
///         Ok(sockets.map(|socket: std::net::SocketAddr| Candidate { address: socket.into(), socket }).collect())
///     }
/// }
/// ```
pub trait Discover: Send + Sync + 'static {
    /// Looks once, and answers with everything that is there *now*, best first. It is called again and again
    /// for as long as the node lives, so it keeps nothing that can grow stale; names are looked up through
    /// the context's resolver, each time anew.
    ///
    /// `Ok` with no candidates means that there are none, an error that the look-up failed. What failed in part
    /// is `Ok` with the rest. Must be cancellation safe: the caller gives up on a look-up by dropping it.
    ///
    /// # Errors
    /// [`DiscoverError`], when nothing was found because something failed. The caller keeps what it knew and
    /// tries again.
    fn find(
        &self,
        context: &DiscoverContext,
    ) -> impl Future<Output = Result<Candidates, DiscoverError>> + Send;

    /// Returns when [`find`](Self::find) may have another answer than it had when this was called; never, where the
    /// strategy cannot know. It must not return at once again and again. Must be cancellation safe.
    fn changed(&self, context: &DiscoverContext) -> impl Future<Output = ()> + Send {
        let _ = context;
        pending()
    }

    /// Publishes a control node for others to find, keeps it published until `withdrawn` ends, and takes it back then.
    /// Where the strategy is for finding only, it returns at once. Dropping the future leaves what is published to run out
    /// by itself.
    ///
    /// # Errors
    /// [`DiscoverError`] when it cannot publish now; the caller calls again.
    fn announce(
        &self,
        context: &DiscoverContext,
        who: &Announcement,
        withdrawn: BoxFuture<'_, ()>,
    ) -> impl Future<Output = Result<(), DiscoverError>> + Send {
        let _ = (context, who, withdrawn);
        ready(Ok(()))
    }

    /// How often to look while the cluster is not formed; every 5 s unless a strategy knows better.
    fn refresh(&self) -> Refresh {
        Refresh::default()
    }

    /// What people call it, in status and logs: its type's name, unless a strategy knows better.
    fn name(&self) -> &'static str {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name)
    }
}

/// Why a look-up failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// None of the names could be resolved, and there was nothing else.
    #[error("found no control node: {first}{}", others(*.failed))]
    Unresolved {
        /// The first failure.
        first: ResolveError,
        /// How many names failed.
        failed: usize,
    },
    /// The strategy's own source failed.
    #[error("found no control node: {0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DiscoverError {
    /// The failure of a strategy's own source.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}

fn others(failed: usize) -> String {
    match failed {
        0 | 1 => String::new(),
        failed => format!(" (and {} more failed)", failed - 1),
    }
}

/// Any strategy, its type forgotten: what a list of strategies holds. Cheap to clone.
#[derive(Clone)]
pub struct DynDiscover(Arc<dyn Erased>);

impl DynDiscover {
    /// Forgets the type of a strategy.
    #[must_use]
    pub fn new(strategy: impl Discover) -> Self {
        Self(Arc::new(strategy))
    }
}

impl Discover for DynDiscover {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        self.0.find_boxed(context).await
    }

    async fn changed(&self, context: &DiscoverContext) {
        self.0.changed_boxed(context).await;
    }

    async fn announce(
        &self,
        context: &DiscoverContext,
        who: &Announcement,
        withdrawn: BoxFuture<'_, ()>,
    ) -> Result<(), DiscoverError> {
        self.0.announce_boxed(context, who, withdrawn).await
    }

    fn refresh(&self) -> Refresh {
        self.0.refresh_of()
    }

    fn name(&self) -> &'static str {
        self.0.name_of()
    }
}

impl fmt::Debug for DynDiscover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynDiscover").finish_non_exhaustive()
    }
}

/// [`Discover`] in the shape that `dyn` needs.
trait Erased: Send + Sync + 'static {
    fn find_boxed<'a>(
        &'a self,
        context: &'a DiscoverContext,
    ) -> BoxFuture<'a, Result<Candidates, DiscoverError>>;
    fn changed_boxed<'a>(&'a self, context: &'a DiscoverContext) -> BoxFuture<'a, ()>;
    fn announce_boxed<'a>(
        &'a self,
        context: &'a DiscoverContext,
        who: &'a Announcement,
        withdrawn: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<(), DiscoverError>>;
    fn refresh_of(&self) -> Refresh;
    fn name_of(&self) -> &'static str;
}

impl<D: Discover> Erased for D {
    fn find_boxed<'a>(
        &'a self,
        context: &'a DiscoverContext,
    ) -> BoxFuture<'a, Result<Candidates, DiscoverError>> {
        Box::pin(self.find(context))
    }

    fn changed_boxed<'a>(&'a self, context: &'a DiscoverContext) -> BoxFuture<'a, ()> {
        Box::pin(self.changed(context))
    }

    fn announce_boxed<'a>(
        &'a self,
        context: &'a DiscoverContext,
        who: &'a Announcement,
        withdrawn: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(self.announce(context, who, withdrawn))
    }

    fn refresh_of(&self) -> Refresh {
        self.refresh()
    }

    fn name_of(&self) -> &'static str {
        self.name()
    }
}
