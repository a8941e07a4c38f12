//! A stretch of network that can be cut: passes datagrams on, but for those of whom it is told to drop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The longest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 1 << 16;

#[derive(Default)]
struct State {
    /// Where the node is now; nowhere before it has started.
    target: Option<SocketAddr>,
    cut: BTreeSet<SocketAddr>,
}

/// A relay in front of one node, where all others reach it. Its address stays when the node starts anew.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    passing: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let passing = tokio::spawn(pass(socket.clone(), state.clone()));
        Self { address: socket.local_addr().unwrap(), state, passing }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The node is here now.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.state().target = Some(target);
    }

    /// Nothing of or for whoever sends from this address gets through.
    pub(crate) fn cut(&self, other: SocketAddr) {
        self.state().cut.insert(other);
    }

    /// Everything gets through again.
    pub(crate) fn mend(&self) {
        self.state().cut.clear();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// Each sender gets a socket of its own on the other side, as behind a translator of addresses.
async fn pass(socket: Arc<UdpSocket>, state: Arc<Mutex<State>>) {
    let mut onward: BTreeMap<(SocketAddr, SocketAddr), (Arc<UdpSocket>, Back)> = BTreeMap::new();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // Whoever is gone says so by an error here, which concerns nobody else.
        let Ok((bytes, from)) = socket.recv_from(&mut datagram).await else { continue };
        let target = {
            let state = state.lock().unwrap();
            state.target.filter(|_| !state.cut.contains(&from))
        };
        let Some(target) = target else { continue };
        let entry = match onward.entry((from, target)) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let out = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                out.connect(target).await.unwrap();
                let out = Arc::new(out);
                let back = back(out.clone(), socket.clone(), from, state.clone());
                entry.insert((out, Back(tokio::spawn(back))))
            }
        };
        let _ = entry.0.send(&datagram[..bytes]).await;
    }
}

struct Back(JoinHandle<()>);

impl Drop for Back {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn back(from: Arc<UdpSocket>, to: Arc<UdpSocket>, address: SocketAddr, state: Arc<Mutex<State>>) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok(bytes) = from.recv(&mut datagram).await else {
            // Nobody listens there now.
            tokio::task::yield_now().await;
            continue;
        };
        if !state.lock().unwrap().cut.contains(&address) {
            let _ = to.send_to(&datagram[..bytes], address).await;
        }
    }
}
