//! Discovery only adds: whatever it answers, nobody who is a member is lost by it; and who was away at the start is found
//! when it comes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx::{
    Announcement, Candidate, Candidates, Control, Discover, DiscoverContext, DiscoverError, NodeStatus,
    Refresh, Secret, SystemEntropy, Worker,
};
use tests::{soon, until};

/// What a place answers that everybody can write on.
type Answer = Result<Vec<SocketAddr>, &'static str>;

/// A place where nodes are told, and tell, where they are.
#[derive(Clone)]
struct Board(Arc<Mutex<Notes>>);

struct Notes {
    answer: Answer,
    announced: Vec<String>,
    asked: usize,
}

impl Board {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Notes { answer: Ok(Vec::new()), announced: Vec::new(), asked: 0 })))
    }

    fn answer(&self, answer: Answer) {
        self.0.lock().unwrap().answer = answer;
    }

    fn announced(&self) -> Vec<String> {
        self.0.lock().unwrap().announced.clone()
    }

    /// Waits until it was asked so often from now on.
    async fn asked(&self, times: usize) {
        let enough = self.0.lock().unwrap().asked + times;
        until("discovery is asked", async || self.0.lock().unwrap().asked >= enough).await;
    }
}

impl Discover for Board {
    async fn find(&self, _: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let mut notes = self.0.lock().unwrap();
        notes.asked += 1;
        let found = notes.answer.clone().map_err(DiscoverError::other)?;
        Ok(found.into_iter().map(|socket| Candidate { address: socket.into(), socket }).collect())
    }

    async fn announce(
        &self,
        _: &DiscoverContext,
        who: &Announcement,
        withdrawn: futures_util::future::BoxFuture<'_, ()>,
    ) -> Result<(), DiscoverError> {
        let name = who.boot.node.to_string();
        self.0.lock().unwrap().announced.push(name.clone());
        withdrawn.await;
        self.0.lock().unwrap().announced.retain(|announced| *announced != name);
        Ok(())
    }

    fn refresh(&self) -> Refresh {
        Refresh::Every(Duration::from_millis(100))
    }
}

async fn control(secret: &Secret, id: &str, board: &Board) -> Control {
    let builder = Control::builder("boards", secret).id(id).listen("127.0.0.1:0").discover(board.clone());
    builder.start().await.unwrap()
}

fn sees(control: &Control, count: usize) -> bool {
    control.cluster().borrow().members.iter().filter(|member| member.liveness.is_alive()).count() == count
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_empty_and_failing_answers_disconnect_nobody() {
    let secret = Secret::generate(&SystemEntropy::new());
    // The board of the node that is watched is its own, so that it is known how often that was asked.
    let (board, others) = (Board::new(), Board::new());
    let one = control(&secret, "one", &board).await;
    others.answer(Ok(vec![one.local_addr()]));
    let (two, three) = (control(&secret, "two", &others).await, control(&secret, "three", &others).await);
    let worker = Worker::builder("boards", secret.worker_credential()).id("w").listen("127.0.0.1:0");
    let worker = worker.discover(board.clone()).start().await.unwrap();
    board.answer(Ok(vec![one.local_addr(), two.local_addr(), three.local_addr()]));
    until("three are one cluster", async || [&one, &two, &three].iter().all(|control| sees(control, 3)))
        .await;
    soon("the worker has an owner", worker.wait_for(NodeStatus::Ready)).await;
    let mut events = one.subscribe();
    for answer in [Ok(vec![two.local_addr()]), Ok(Vec::new()), Err("the board is gone")] {
        board.answer(answer);
        // A look-up is asked for seldom where all is well: a worker without an owner would ask at once.
        tokio::time::timeout(Duration::from_secs(3), board.asked(1)).await.ok();
        assert!(sees(&one, 3) && sees(&two, 3) && sees(&three, 3));
        assert_eq!(worker.status(), NodeStatus::Ready);
    }
    let told = tokio::time::timeout(Duration::from_millis(10), events.next()).await;
    assert!(
        !matches!(told, Ok(Some(phalanx::ClusterEvent::Member(phalanx::MemberEvent::Down(_))))),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_at_the_start_is_linked_when_it_can() {
    let secret = Secret::generate(&SystemEntropy::new());
    let (board, unused) = (Board::new(), Board::new());
    // An address where nobody is yet: bound and given back.
    let later = std::net::UdpSocket::bind(tests::OWN_ADDRESS).unwrap().local_addr().unwrap();
    board.answer(Ok(vec![later]));
    let one = control(&secret, "one", &board).await;
    board.asked(2).await;
    let error = |control: &Control| {
        let view = control.discovery().borrow().clone();
        view.sockets.iter().find(|known| known.socket == later).and_then(|known| known.error.clone())
    };
    until("people are told why", async || error(&one).is_some()).await;
    let two = Control::builder("boards", &secret).id("two").listen(&later.to_string());
    let two = two.discover(unused).start().await.unwrap();
    until("they are one cluster", async || sees(&one, 2) && sees(&two, 2)).await;
    until("nothing is wrong any more", async || error(&one).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_nodes_are_announced_until_they_leave_and_workers_never() {
    let secret = Secret::generate(&SystemEntropy::new());
    let board = Board::new();
    let (one, two) = (control(&secret, "one", &board).await, control(&secret, "two", &board).await);
    let worker = Worker::builder("boards", secret.worker_credential()).id("w").listen("127.0.0.1:0");
    let _worker = worker.discover(board.clone()).start().await.unwrap();
    until("both are announced", async || {
        let mut announced = board.announced();
        announced.sort();
        announced == ["one", "two"]
    })
    .await;
    one.shutdown().await;
    assert_eq!(board.announced(), ["two"], "who leaves has taken it back by then");
    drop(two);
}
