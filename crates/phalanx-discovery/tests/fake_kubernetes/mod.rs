//! A fake of the Kubernetes API server, since a real one does not fit into a test: HTTPS with a CA of its own, bearer
//! tokens, lists with label selectors and pages, watches with resource versions and bookmarks, and `Status` objects for
//! everything that is refused, in the shape of the API reference. It can be told to misbehave.

mod serving;
mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use phalanx_discovery::Kubernetes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::certificates::Authority;

pub(crate) use store::Store;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// A page of a list.
    List,
    /// A watch.
    Watch,
}

/// How a request goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A `Status` object, with seconds to wait.
    Status(u16, Option<u64>),
    /// A status with a page of a proxy's.
    ProxyPage(u16),
    /// It is read, and never answered.
    BlackHole,
    /// The connection ends without an answer.
    Cut,
    /// The head comes, and a part of the body, and the end.
    HalfBody,
    /// A good head, and this body.
    Body(String),
    /// A good head, and letters without an end.
    EndlessLine,
    /// A watch that begins with an event of type ERROR with this code.
    ErrorEvent(u16),
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) token: String,
}

/// What the tasks of the fake share with the test.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Counts changes of the objects.
    changes: watch::Sender<u64>,
    /// Counts how often all watches were cut.
    cuts: watch::Sender<u64>,
    /// How many bytes of endless lines were taken by clients.
    endless_bytes: watch::Sender<u64>,
}

/// What the fake knows.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) tokens: BTreeSet<String>,
    pub(crate) faults: VecDeque<(Verb, Fault)>,
    pub(crate) requests: Vec<Request>,
    /// The namespace of the objects; there are none elsewhere.
    pub(crate) namespace: String,
    /// A watch from a version that was forgotten: refused by HTTP, or by an event.
    pub(crate) gone_as_event: bool,
}

/// A running fake. It ends when it is dropped.
pub(crate) struct FakeKubernetes {
    pub(crate) port: u16,
    folder: TempDir,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }
}

impl FakeKubernetes {
    /// Starts one on a free port, with the token `first`.
    pub(crate) async fn start() -> Self {
        let authority = Authority::new();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        let state = State {
            store: Store::default(),
            tokens: BTreeSet::from(["first".to_owned()]),
            faults: VecDeque::new(),
            requests: Vec::new(),
            namespace: "prod".to_owned(),
            gone_as_event: true,
        };
        let count = || watch::Sender::new(0);
        let shared =
            Shared { state: Mutex::new(state), changes: count(), cuts: count(), endless_bytes: count() };
        let shared = Arc::new(shared);
        let (port, server) = serving::start(shared.clone(), &authority).await;
        let fake = Self { port, folder, shared, server };
        fake.write_token("first");
        fake
    }

    /// The file of the CA.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The file of the token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Rotates the token that the client has.
    pub(crate) fn write_token(&self, token: &str) {
        std::fs::write(self.token_file(), format!("{token}\n")).unwrap();
    }

    /// Rotates the tokens that the server knows.
    pub(crate) fn accept_only(&self, token: &str) {
        self.state().tokens = BTreeSet::from([token.to_owned()]);
    }

    /// The strategy for it, in namespace `prod`.
    pub(crate) fn reach(&self, strategy: Kubernetes) -> Kubernetes {
        strategy
            .server(&format!("https://127.0.0.1:{}", self.port))
            .unwrap()
            .namespace("prod")
            .unwrap()
            .ca_file(self.ca_file())
            .token_file(self.token_file())
            .request_time_max(Duration::from_secs(2))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Creates or replaces an object of `endpointslices` or `pods`.
    pub(crate) fn put(&self, plural: &str, object: Value) {
        self.state().store.put(plural, object);
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, plural: &str, name: &str) {
        self.state().store.delete(plural, name);
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// Moves the version on without a change of these objects, so that watches get a bookmark.
    pub(crate) fn bookmark(&self) {
        self.state().store.advance();
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// The next request of this kind goes wrong.
    pub(crate) fn fail(&self, verb: Verb, fault: Fault) {
        self.state().faults.push_back((verb, fault));
    }

    /// Cuts all watches that are under way.
    pub(crate) fn cut_watches(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// How many bytes of endless lines were taken by clients.
    pub(crate) fn endless_bytes(&self) -> u64 {
        *self.shared.endless_bytes.borrow()
    }

    /// The requests that came, of one kind.
    pub(crate) fn requests(&self, verb: Verb) -> Vec<Request> {
        self.state().requests.iter().filter(|request| request.verb == verb).cloned().collect()
    }

    /// Waits until so many requests of a kind have come.
    pub(crate) async fn wait_for(&self, verb: Verb, count: usize) {
        let waiting = async {
            while self.requests(verb).len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        came.unwrap_or_else(|_| panic!("there are not {count} of {verb:?}: {:?}", self.requests(verb)));
    }
}
