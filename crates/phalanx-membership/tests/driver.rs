//! Drivers on tokio's paused clock, over sockets that are channels: the real thing but for the network.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Boot, Generation, NodeId, RosterState};
use phalanx_membership::driver::{DatagramSocket, Incoming, MembershipHandle, RemoveFailed, Stopped, drive};
use phalanx_membership::{
    Channel, ClusterView, Config, Event, LinkLoss, Liveness, LocalMember, Membership, RemoveError,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Inboxes = Arc<Mutex<BTreeMap<NodeId, mpsc::Sender<Incoming>>>>;

/// Hands messages to the inbox of the node they are for.
struct ChannelSocket {
    node: NodeId,
    inboxes: Inboxes,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Incoming>>,
}

impl DatagramSocket for ChannelSocket {
    fn send(&self, to: &NodeId, channel: Channel, bytes: Bytes) {
        let from = self.node.clone();
        let incoming = match channel {
            Channel::Datagram => Incoming::Datagram { from, bytes },
            Channel::Sync => Incoming::Sync { from, bytes },
        };
        if let Some(inbox) = self.inboxes.lock().unwrap().get(to) {
            let _ = inbox.try_send(incoming);
        }
    }

    async fn recv(&self) -> Option<Incoming> {
        self.inbox.lock().await.recv().await
    }
}

fn boot(name: &str) -> Boot {
    Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) }
}

fn start(name: &str, inboxes: &Inboxes) -> (MembershipHandle, JoinHandle<()>) {
    let local = LocalMember::new(boot(name), format!("{name}:7000").parse().unwrap());
    let core = Membership::new(Config::lan(), local, 7, Instant::now().into_std()).unwrap();
    let (sender, inbox) = mpsc::channel(1_024);
    inboxes.lock().unwrap().insert(boot(name).node, sender);
    let socket = ChannelSocket {
        node: boot(name).node,
        inboxes: inboxes.clone(),
        inbox: tokio::sync::Mutex::new(inbox),
    };
    let (handle, driver) = drive(core, socket);
    (handle, tokio::spawn(driver))
}

fn link(a: &str, b: &str, inboxes: &Inboxes) {
    for (here, there) in [(a, b), (b, a)] {
        let inbox = inboxes.lock().unwrap()[&boot(here).node].clone();
        inbox.try_send(Incoming::Reachable { peer: boot(there), address: None }).unwrap();
    }
}

async fn until(handle: &MembershipHandle, done: impl FnMut(&Arc<ClusterView>) -> bool) {
    let mut view = handle.view();
    tokio::time::timeout(Duration::from_secs(60), view.wait_for(done))
        .await
        .expect("in time")
        .expect("it runs");
}

fn paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

#[test]
fn three_drivers_meet_notice_a_death_and_see_a_leave() {
    paused(async {
        let inboxes = Inboxes::default();
        let (a, a_task) = start("a", &inboxes);
        let (b, b_task) = start("b", &inboxes);
        let (c, c_task) = start("c", &inboxes);
        let mut events = a.subscribe();
        for handle in [&a, &b, &c] {
            handle.activate().await.unwrap();
        }
        link("a", "b", &inboxes);
        link("b", "c", &inboxes);
        for handle in [&a, &b, &c] {
            until(handle, |view| {
                view.members.iter().filter(|member| member.liveness.is_alive()).count() == 3
                    && view.roster.active().count() == 3
            })
            .await;
        }
        assert!(a.view().borrow().is_alive(&boot("a").node), "a node is alive to itself");

        c_task.abort();
        until(&a, |view| !view.is_alive(&boot("c").node)).await;
        b.drain().await.unwrap();
        until(&a, |view| {
            view.roster.entry(&boot("b").node).is_some_and(|entry| entry.state == RosterState::Draining)
        })
        .await;

        let before = Instant::now();
        b.leave().await.unwrap();
        assert!(before.elapsed() <= Duration::from_secs(1));
        b_task.await.unwrap();
        assert_eq!(b.leave().await, Err(Stopped));
        assert_eq!(b.subscribe().next().await, None);
        until(&a, |view| {
            view.member(&boot("b").node).is_some_and(|member| member.liveness == Liveness::Left)
        })
        .await;

        a_task.abort();
        let _ = a_task.await;
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            seen.push(event);
        }
        let down =
            seen.iter().position(|event| *event == Event::Down(boot("c"))).expect("the death was told");
        let suspect =
            seen.iter().position(|event| *event == Event::Suspect(boot("c"))).expect("and the doubt");
        assert!(suspect < down);
        assert!(seen.contains(&Event::Left(boot("b"))) && !seen.contains(&Event::Down(boot("b"))));
    });
}

#[test]
fn a_node_is_removed_through_the_handle_of_another() {
    paused(async {
        let inboxes = Inboxes::default();
        let (a, _a_task) = start("a", &inboxes);
        let (b, b_task) = start("b", &inboxes);
        link("a", "b", &inboxes);
        until(&a, |view| view.is_alive(&boot("b").node)).await;
        let unknown = RemoveError::Unknown { node: boot("x").node };
        assert_eq!(a.remove(boot("x").node).await, Err(RemoveFailed::Refused(unknown)));
        let mut events = b.subscribe();
        a.remove(boot("b").node).await.unwrap();
        until(&a, |view| view.member(&boot("b").node).is_none()).await;
        b_task.await.unwrap();
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            told.push(event);
        }
        assert!(told.contains(&Event::Expelled), "{told:?}");
        assert_eq!(b.remove(boot("a").node).await, Err(RemoveFailed::Stopped(Stopped)));
    });
}

#[test]
fn junk_and_dropped_handles_stop_nothing_and_a_closed_socket_ends_the_driver() {
    paused(async {
        let inboxes = Inboxes::default();
        let (a, task) = start("a", &inboxes);
        let inbox = inboxes.lock().unwrap().remove(&boot("a").node).unwrap();
        let from = boot("x").node;
        let bytes = Bytes::from_static(b"\x01junk");
        inbox.send(Incoming::Datagram { from: from.clone(), bytes: bytes.clone() }).await.unwrap();
        inbox.send(Incoming::Sync { from: from.clone(), bytes }).await.unwrap();
        inbox.send(Incoming::Unreachable { node: from, cause: LinkLoss::ProcessGone }).await.unwrap();
        let view = a.view();
        drop(a);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!task.is_finished());
        assert_eq!(view.borrow().members.len(), 1);
        drop(inbox);
        task.await.unwrap();
    });
}

#[test]
fn a_leave_that_cannot_end_says_so() {
    paused(async {
        let inboxes = Inboxes::default();
        let (a, a_task) = start("a", &inboxes);
        let (b, _b_task) = start("b", &inboxes);
        link("a", "b", &inboxes);
        until(&a, |view| view.is_alive(&boot("b").node)).await;
        inboxes.lock().unwrap().clear();
        // The socket of `a` closes while it is telling that it leaves.
        assert_eq!(a.leave().await, Err(Stopped));
        a_task.await.unwrap();
        drop(b);
    });
}
