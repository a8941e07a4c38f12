//! The network of a simulation: every datagram of every node, in memory, delayed and lost as the seed and the script say.

mod condition;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::{Network, UdpSocket};
use tokio::sync::Notify;
use tokio::time::sleep_until;

pub(crate) use condition::Condition;
pub use condition::Effect;
use condition::fate;
use socket::{Port, SimSocket};

use crate::trace::Trace;
use crate::world::clock::Clock;

/// How many datagrams are on their way before more are lost, as in the queues of routers.
const UNDER_WAY_MAX: usize = 65_536;

/// What is on its way.
#[derive(Debug, Clone)]
enum Packet {
    Datagram(Bytes),
    /// A host says that nobody listens at this address (ICMP).
    Unreachable(SocketAddr),
}

#[derive(Debug)]
struct UnderWay {
    from: SocketAddr,
    to: SocketAddr,
    packet: Packet,
}

struct State {
    random: fastrand::Rng,
    ports: BTreeMap<SocketAddr, Arc<Port>>,
    /// Machines that are off: they answer nothing.
    off: BTreeSet<IpAddr>,
    conditions: BTreeMap<u64, Condition>,
    under_way: BTreeMap<(Duration, u64), UnderWay>,
    sent: u64,
    bytes: u64,
}

/// The network of one simulation.
pub(crate) struct Wire {
    state: Mutex<State>,
    clock: Clock,
    trace: Arc<Trace>,
    /// Something is on its way that arrives before everything else.
    sooner: Notify,
}

impl Wire {
    pub(crate) fn new(random: fastrand::Rng, clock: Clock, trace: Arc<Trace>) -> Arc<Self> {
        let state = State {
            random,
            ports: BTreeMap::new(),
            off: BTreeSet::new(),
            conditions: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            bytes: 0,
        };
        Arc::new(Self { state: Mutex::new(state), clock, trace, sooner: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a condition hold until it is [ended](Self::end) by the same number.
    pub(crate) fn begin(&self, number: u64, condition: Condition) {
        self.lock().conditions.insert(number, condition);
    }

    pub(crate) fn end(&self, number: u64) {
        self.lock().conditions.remove(&number);
    }

    /// Switches a machine on or off.
    pub(crate) fn switch(&self, ip: IpAddr, on: bool) {
        let mut state = self.lock();
        if on {
            state.off.remove(&ip);
        } else {
            state.off.insert(ip);
        }
    }

    /// Takes the sockets of a process that has died.
    pub(crate) fn unbind(&self, ip: IpAddr) {
        self.lock().ports.retain(|address, port| {
            let stays = address.ip() != ip;
            if !stays {
                port.close();
            }
            stays
        });
    }

    /// How many datagrams and bytes were sent.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let state = self.lock();
        (state.sent, state.bytes)
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, packet: &Packet) {
        let now = self.clock.elapsed();
        let mut state = self.lock();
        let state = &mut *state;
        let fate = fate(state.conditions.values(), from.ip(), to.ip(), &mut state.random);
        if let Packet::Datagram(contents) = packet {
            let hash = blake3::hash(contents);
            let arrives = fate.arrives.map_or(0, |delay| delay.as_micros());
            let length = contents.len();
            self.trace.add(now, format_args!("{from} {to} {length} {arrives} {}", &hash.to_hex()[..12]));
            state.bytes += length as u64;
        }
        let first = state.under_way.first_key_value().map(|(key, _)| *key);
        for delay in [fate.arrives, fate.again].into_iter().flatten() {
            if state.under_way.len() < UNDER_WAY_MAX {
                state.sent += 1;
                let key = (now + delay, state.sent);
                state.under_way.insert(key, UnderWay { from, to, packet: packet.clone() });
            }
        }
        if state.under_way.first_key_value().map(|(key, _)| *key) != first {
            self.sooner.notify_one();
        }
    }

    /// Brings every datagram where it belongs, for as long as the simulation runs.
    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            let next = self.lock().under_way.first_key_value().map(|(key, _)| *key);
            let Some((at, _)) = next else {
                self.sooner.notified().await;
                continue;
            };
            if self.clock.elapsed() < at {
                tokio::select! {
                    biased;
                    () = self.sooner.notified() => {}
                    () = sleep_until(self.clock.at(at)) => {}
                }
                continue;
            }
            let arrived = self.lock().under_way.pop_first();
            if let Some((_, arrived)) = arrived {
                self.arrive(arrived);
            }
        }
    }

    fn arrive(&self, UnderWay { from, to, packet }: UnderWay) {
        let (port, off) = {
            let state = self.lock();
            (state.ports.get(&to).cloned(), state.off.contains(&to.ip()))
        };
        match (port, packet) {
            (_, _) if off => {}
            (Some(port), Packet::Datagram(contents)) => port.receive(from, contents),
            (Some(port), Packet::Unreachable(address)) => port.hint(address),
            // The process is dead and its machine is not: so the kernel answers.
            (None, Packet::Datagram(_)) => self.send(to, from, &Packet::Unreachable(to)),
            (None, Packet::Unreachable(_)) => {}
        }
    }
}

/// The network as one machine sees it.
pub(crate) struct Interface {
    pub(crate) wire: Arc<Wire>,
    pub(crate) ip: IpAddr,
}

impl Network for Interface {
    fn bind(&self, listen: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        if listen.ip() != self.ip && !listen.ip().is_unspecified() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut state = self.wire.lock();
        let taken = |port: &u16| state.ports.contains_key(&SocketAddr::new(self.ip, *port));
        let port = match listen.port() {
            // The system chooses: the first free one of the range that is for that (RFC 6335).
            0 => (49_152..=u16::MAX).find(|port| !taken(port)).ok_or(io::ErrorKind::AddrInUse)?,
            port if taken(&port) => return Err(io::ErrorKind::AddrInUse.into()),
            port => port,
        };
        let local = SocketAddr::new(self.ip, port);
        let port = Arc::new(Port::default());
        state.ports.insert(local, port.clone());
        Ok(Arc::new(SimSocket { wire: self.wire.clone(), local, port }))
    }
}
