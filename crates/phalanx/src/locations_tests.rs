//! Real control nodes, and a worker that is not where placement says.

use super::*;
use crate::{Config, Control, Secret, StaticPeers, SystemEntropy, Worker};
use phalanx_base::{Labels, NodeStatus, Usage};
use phalanx_jobs::NodeSummary;
use tokio::time::{Duration, sleep, timeout};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

struct Cluster {
    secret: Secret,
    controls: BTreeMap<String, Control>,
    worker: Worker,
}

impl Cluster {
    async fn start(count: usize) -> Self {
        let secret = Secret::generate(&SystemEntropy::new());
        let mut controls: BTreeMap<String, Control> = BTreeMap::new();
        for number in 0..count {
            let (name, peers) = (format!("c{number}"), addresses(&controls));
            controls.insert(name.clone(), control(&secret, &name, peers, count).await);
        }
        until("the control nodes form", async || {
            controls.values().all(|control| control.cluster().borrow().roster.active().count() == count)
        })
        .await;
        let worker = Worker::builder("places", secret.worker_credential()).id("w").listen("127.0.0.1:0");
        let worker = worker.discover(StaticPeers::new(addresses(&controls))).start().await.unwrap();
        worker.wait_for(NodeStatus::Ready).await;
        Self { secret, controls, worker }
    }

    /// Kills the owner of the worker, and starts it again while a standby has the worker. Returns both.
    async fn put_at_standby(&mut self) -> (String, String) {
        let owner = self.host_after("nobody").await;
        drop(self.controls.remove(&owner));
        let standby = self.host_after(&owner).await;
        let again = control(&self.secret, &owner, addresses(&self.controls), 1).await;
        self.controls.insert(owner.clone(), again);
        until("the owner is back for everybody", async || {
            let is_owner = |control: &Control| control.ownership().borrow().acting_owner(&id("w"));
            self.controls.values().all(|control| is_owner(control) == Some(id(&owner)))
        })
        .await;
        assert_eq!(self.host_after(&owner).await, standby, "nothing has settled yet");
        (owner, standby)
    }

    /// Who hosts the worker after somebody else did, and is known to by the directory of everybody.
    async fn host_after(&self, former: &str) -> String {
        let mut host = None;
        until("everybody knows who hosts the worker", async || {
            let Some(owner) = self.worker.owner().filter(|owner| owner.as_str() != former) else {
                return false;
            };
            let is_known = |control: &Control| directory_of(control) == Some(owner.clone());
            let known = self.controls.values().all(is_known);
            host = Some(owner.to_string());
            known
        })
        .await;
        host.unwrap()
    }

    /// Those who have not called the worker yet.
    fn bystanders(&self, not: [&String; 2]) -> Vec<&Control> {
        self.controls.iter().filter(|(name, _)| !not.contains(name)).map(|(_, control)| control).collect()
    }
}

fn addresses(controls: &BTreeMap<String, Control>) -> Vec<std::net::SocketAddr> {
    controls.values().map(Control::local_addr).collect()
}

async fn control(secret: &Secret, name: &str, peers: Vec<std::net::SocketAddr>, expected: usize) -> Control {
    let mut config = Config::local();
    // Longer than the test: a worker stays where it is for as long as somebody lives who hosts it.
    config.jobs.settle = Duration::from_secs(600);
    let builder = Control::builder("places", secret).id(name).listen("127.0.0.1:0").config(config);
    builder.discover(StaticPeers::new(peers)).expected_controls(expected).start().await.unwrap()
}

fn directory_of(control: &Control) -> Option<NodeId> {
    control.location_of(id("w"))
}

/// Asks the worker something, and says how many control nodes were asked where it is.
async fn questions(control: &Control) -> u64 {
    let before = control.service.locations_asked();
    let info = control.worker(id("w")).info().await.unwrap();
    assert_eq!(info.boot.node, id("w"));
    control.service.locations_asked() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_at_a_standby_is_found_with_one_question_and_a_lie_costs_little() {
    let mut cluster = Cluster::start(5).await;
    let (owner, standby) = cluster.put_at_standby().await;
    let bystanders = cluster.bystanders([&owner, &standby]);
    let [honest, liar, deceived] = bystanders[..] else { panic!("three are left") };
    assert_eq!(questions(honest).await, 1, "the standby is asked at once");
    assert_eq!(questions(honest).await, 0, "and remembered");

    // Somebody pretends to host the worker in a boot that nobody can outrank.
    let lie = Ordered { key: key_of(&id("w")), order: Order(u64::MAX, u64::MAX), value: Some(Bytes::new()) };
    liar.node.control.as_ref().unwrap().metadata.write_ordered(vec![lie]).await.unwrap();
    until("the lie is believed", async || directory_of(deceived) == Some(liar.id().clone())).await;
    assert_eq!(questions(deceived).await, 4, "the liar, the owner, and then everybody");
    let at_owner = &cluster.controls[&owner];
    assert!(questions(at_owner).await <= 4, "the owner itself finds the worker too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_moves_is_found_where_it_is() {
    let mut cluster = Cluster::start(3).await;
    let first = cluster.host_after("nobody").await;
    let mover = cluster.controls.remove(&first).unwrap();
    mover.shutdown().await;
    drop(mover);
    cluster.host_after(&first).await;
    for control in cluster.controls.values() {
        assert!(questions(control).await <= 1);
    }
}

fn summary(name: &str, fence: u64) -> NodeSummary {
    NodeSummary {
        node: id(name),
        generation: Generation::from_u64(7),
        owner: id("c"),
        fence: Fence(fence),
        status: NodeStatus::Ready,
        tasks: 0,
        labels: Labels::default(),
        classes: Vec::new(),
        usage: Usage::default(),
    }
}

#[test]
fn a_record_is_taken_back_when_its_worker_stays_away_and_not_before() {
    let (start, mut records) = (Instant::now(), Records::default());
    let wrote = |writes: &[Ordered]| -> Vec<(String, u64, bool)> {
        let each = |write: &Ordered| (write.key.name().to_owned(), write.order.1, write.value.is_some());
        writes.iter().map(each).collect()
    };
    let began =
        records.take(start, vec![HostedChange::Began(summary("a", 3)), HostedChange::Began(summary("b", 1))]);
    assert_eq!(wrote(&began), [("a".to_owned(), 3, true), ("b".to_owned(), 1, true)]);
    assert_eq!(records.remove_at(), None);
    let ended = HostedChange::Ended(id("a"), Generation::from_u64(7), Fence(3));
    assert!(records.take(start, vec![ended]).is_empty(), "whoever has it now says so");
    let kept_until = start + LOST_PROXY_KEPT;
    assert_eq!(records.remove_at(), Some(kept_until));
    assert!(records.removals(kept_until - Duration::from_millis(1)).is_empty());
    assert_eq!(wrote(&records.removals(kept_until)), [("a".to_owned(), 3, false)]);
    assert_eq!(records.remove_at(), None);
}

#[test]
fn no_more_lost_workers_wait_than_are_allowed() {
    let mut records = Records::default();
    let lost =
        |number: usize| HostedChange::Ended(id(&format!("w{number}")), Generation::from_u64(7), Fence(1));
    records.take(Instant::now(), (0..=LOST_MAX).map(lost).collect());
    assert_eq!(records.lost.len(), LOST_MAX);
    assert_eq!(records.lost[0].worker, id("w1"), "the oldest goes");
}
