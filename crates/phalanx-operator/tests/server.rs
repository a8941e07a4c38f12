//! Real nodes, asked by real clients: over the socket of the machine, and over the network.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use phalanx::{Address, Config, Control, NodeId, NodeStatus, Secret, StaticPeers, SystemEntropy, Worker};
use phalanx_operator::{
    AskError, Client, ConnectError, EventKind, FailureKind, Formation, Operated, Part, Server, Socket, Told,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    folder: tempfile::TempDir,
    secret: Secret,
    control: Control,
    server: Server,
}

impl Node {
    async fn start() -> Self {
        let secret = Secret::generate(&SystemEntropy::new());
        let builder = Control::builder("media", &secret).id("control-1").listen("127.0.0.1:0");
        let control = builder.config(Config::local()).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let server =
            Server::start(&control, Some(Socket::bind(folder.path().join("media.sock")).await.unwrap()));
        Self { folder, secret, control, server }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("media.sock")
    }

    async fn client(&self) -> Client {
        Client::connect_socket(self.socket()).await.unwrap()
    }

    fn address(&self) -> Address {
        self.control.local_addr().into()
    }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn kind(error: &AskError) -> Option<FailureKind> {
    match error {
        AskError::Failed(failure) => Some(failure.kind),
        _ => None,
    }
}

/// Asks for one thing of everything.
async fn ask_everything(client: &mut Client, node: &Node) {
    let status = client.status().await.unwrap();
    assert_eq!((status.cluster.as_str(), status.node.node.as_str()), ("media", "control-1"));
    assert_eq!(status.listen, node.control.local_addr());
    let Part::Control(control) = status.part else { panic!("it is a control node") };
    assert_eq!(control.formation, Formation::Formed);
    assert_eq!(control.members.len(), 1);

    let unknown = client.node(id("nobody")).await.unwrap_err();
    assert_eq!(kind(&unknown), Some(FailureKind::NotFound), "{unknown}");
    let removed = client.remove(id("nobody")).await.unwrap_err();
    assert_eq!(kind(&removed), Some(FailureKind::NotFound), "{removed}");
    let forgotten = client.forget(id("nobody")).await.unwrap_err();
    assert_eq!(kind(&forgotten), Some(FailureKind::NotFound), "{forgotten}");
    let joined = client.join(vec![node.address()]).await.unwrap();
    assert!(joined[0].outcome.is_err(), "a node does not join itself: {joined:?}");
    client.publish("news", Bytes::from_static(b"hello")).await.unwrap();
    let named = client.publish("", Bytes::new()).await.unwrap_err();
    assert_eq!(kind(&named), Some(FailureKind::Refused), "{named}");
}

#[tokio::test]
async fn everything_is_answered_by_the_socket_and_over_the_network() {
    let node = Node::start().await;
    ask_everything(&mut node.client().await, &node).await;
    let mut remote = Client::connect_network("media", &node.secret, &[node.address()]).await.unwrap();
    ask_everything(&mut remote, &node).await;

    let worker = Worker::builder("media", node.secret.worker_credential())
        .id("worker-1")
        .listen("127.0.0.1:0")
        .discover(StaticPeers::new([node.control.local_addr()]))
        .start()
        .await
        .unwrap();
    timeout(PATIENCE, worker.wait_for(NodeStatus::Ready)).await.unwrap();
    let nodes = remote.nodes().await.unwrap();
    assert_eq!(
        nodes.nodes.iter().map(|node| node.node.as_str()).collect::<Vec<_>>(),
        ["control-1", "worker-1"]
    );
    let details = remote.node(id("worker-1")).await.unwrap();
    assert_eq!((details.error, details.tasks.len()), (None, 0));
    assert!(details.worker.is_some() && details.version.is_some());
    let connected = remote.forget(id("worker-1")).await.unwrap_err();
    assert_eq!(kind(&connected), Some(FailureKind::Refused), "{connected}");

    let path = node.folder.path().join("worker.sock");
    let operated = Operated::Worker { worker: worker.clone(), cluster: "media".into() };
    let _server = Server::start(operated, Some(Socket::bind(&path).await.unwrap()));
    let mut client = Client::connect_socket(&path).await.unwrap();
    let status = client.status().await.unwrap();
    assert!(status.ready && status.explanation.contains("control-1"), "{}", status.explanation);
    assert_eq!(kind(&client.nodes().await.unwrap_err()), Some(FailureKind::ControlOnly));
    assert_eq!(client.status().await.unwrap().node.node.as_str(), "worker-1", "the connection goes on");
}

#[tokio::test]
async fn a_wrong_secret_is_not_let_in() {
    let node = Node::start().await;
    let stranger = Secret::generate(&SystemEntropy::new());
    let refused = Client::connect_network("media", &stranger, &[node.address()]).await;
    assert!(matches!(refused, Err(ConnectError::Network(_))));
    let nobody = Client::connect_socket(node.folder.path().join("other.sock")).await;
    assert!(matches!(nobody, Err(ConnectError::NoNode { .. })));
}

#[tokio::test]
async fn events_are_remembered_and_followed_from_any_number() {
    let node = Node::start().await;
    node.control.publish("first", Bytes::new()).unwrap();
    let name_of = |told: &Told| match told {
        Told::Event(event) => match &event.kind {
            EventKind::User { name, .. } => Some((event.number, name.clone())),
            _ => None,
        },
        Told::CaughtUp => None,
    };
    let mut events = node.client().await.events(Some(0)).await.unwrap();
    let (mut first, mut caught_up) = (None, false);
    while !caught_up {
        let told = timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        first = first.or(name_of(&told));
        caught_up = told == Told::CaughtUp;
    }
    let (number, name) = first.unwrap();
    assert_eq!(name, "first");

    node.control.publish("second", Bytes::new()).unwrap();
    let mut again = node.client().await.events(Some(number)).await.unwrap();
    for events in [&mut events, &mut again] {
        let second = loop {
            let told = timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
            assert_ne!(told, Told::CaughtUp, "what is remembered comes first");
            if let Some(found) = name_of(&told) {
                break found;
            }
        };
        assert_eq!(second.1, "second");
        assert!(second.0 > number);
    }
}

#[tokio::test]
async fn there_is_room_for_so_many_and_who_goes_makes_room() {
    let node = Node::start().await;
    let mut streams = Vec::new();
    for _ in 0..128 {
        streams.push(node.client().await.events(None).await.unwrap());
        let first = timeout(PATIENCE, streams.last_mut().unwrap().next()).await.unwrap().unwrap();
        assert_eq!(first, Some(Told::CaughtUp), "it is served");
    }
    let refused = node.client().await.status().await.unwrap_err();
    assert_eq!(kind(&refused), Some(FailureKind::Busy), "{refused}");
    streams.clear();
    let answered = async {
        loop {
            match node.client().await.status().await {
                Ok(status) => return status,
                Err(error) => assert_eq!(kind(&error), Some(FailureKind::Busy), "{error}"),
            }
        }
    };
    assert!(timeout(PATIENCE, answered).await.unwrap().ready);
}

#[tokio::test]
async fn what_is_no_question_ends_the_connection_with_words() {
    let node = Node::start().await;
    let questions =
        [(&[0, 0, 0, 2, 1, 99][..], "decode"), (&[0, 0, 0, 2, 9, 0], "version 9"), (&[0; 4], "empty")];
    for (garbage, words) in questions {
        let mut stream = UnixStream::connect(node.socket()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&answer).contains(words), "{garbage:?}: {answer:?}");
    }
    let mut stream = UnixStream::connect(node.socket()).await.unwrap();
    stream.write_all(&[255, 255, 255, 255]).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.is_empty(), "a length that is too great is not waited for");
}

#[tokio::test]
async fn who_asks_a_node_to_leave_hears_when_it_has() {
    let node = Node::start().await;
    let socket = node.socket();
    let mut client = node.client().await;
    client.leave().await.unwrap();
    timeout(PATIENCE, node.server.leave_asked()).await.unwrap();
    node.control.shutdown().await;
    let readiness = Operated::from(&node.control).readiness();
    assert!(!readiness.ready && readiness.explanation.starts_with("leaving"), "{readiness:?}");
    node.server.close().await;
    timeout(PATIENCE, client.closed()).await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn who_says_nothing_makes_room() {
    let node = Node::start().await;
    let mut silent = node.client().await;
    silent.status().await.unwrap();
    tokio::time::pause();
    timeout(Duration::from_secs(61), silent.closed()).await.expect("it is closed after a minute");
    tokio::time::resume();
    node.client().await.status().await.unwrap();
}
