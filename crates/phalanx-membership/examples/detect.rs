//! Five control nodes on an in-memory network with manual time. One of them is killed: who notices when?
//!
//! `cargo run -p phalanx-membership --example detect [SEED]`

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use phalanx_base::{AddressList, Boot, Generation, NodeId};
use phalanx_membership::{Channel, Config, Event, LocalMember, Membership, Transmit};

const NAMES: [&str; 5] = ["anna", "bela", "cleo", "dora", "emil"];
const VICTIM: &str = "cleo";
/// How long every message takes.
const LATENCY: Duration = Duration::from_millis(2);

struct Network {
    start: Instant,
    now: Instant,
    nodes: BTreeMap<NodeId, Membership>,
    /// Messages on their way, with sender and time of arrival.
    in_flight: VecDeque<(Instant, NodeId, Transmit)>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let mut network = Network::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        network.start(name, seed + at as u64)?;
    }
    let first = NodeId::new(NAMES[0])?;
    for name in &NAMES[1..] {
        network.link(&first, &NodeId::new(name)?);
    }
    network.run_for(Duration::from_secs(10));
    println!("{} {VICTIM} is killed", network.clock());
    network.nodes.remove(&NodeId::new(VICTIM)?);
    network.run_for(Duration::from_secs(50));
    println!();
    for (node, core) in &network.nodes {
        let roster = core.roster();
        let entries: Vec<String> =
            roster.entries().iter().map(|entry| format!("{} {:?}", entry.node, entry.state)).collect();
        println!("{node:>5} knows roster version {:>2}: {}", roster.version().0, entries.join(", "));
    }
    Ok(())
}

impl Network {
    #[expect(clippy::disallowed_methods, reason = "an origin for manual time")]
    fn new() -> Self {
        let start = Instant::now();
        Self { start, now: start, nodes: BTreeMap::new(), in_flight: VecDeque::new() }
    }

    fn start(&mut self, name: &str, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
        let boot = Boot { node: NodeId::new(name)?, generation: Generation::from_u64(1) };
        let addresses: AddressList = format!("{name}.example:7000").parse()?;
        let mut core = Membership::new(Config::lan(), LocalMember::new(boot, addresses), seed, self.now)?;
        core.activate(self.now);
        self.nodes.insert(NodeId::new(name)?, core);
        Ok(())
    }

    fn link(&mut self, a: &NodeId, b: &NodeId) {
        for (here, there) in [(a, b), (b, a)] {
            let Some(peer) = self.nodes.get(there).map(|core| core.local().clone()) else { continue };
            if let Some(core) = self.nodes.get_mut(here) {
                core.handle_peer_reachable(self.now, peer, None);
            }
            self.take_outputs(here);
        }
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let arrival = self.in_flight.front().map(|(at, ..)| *at);
            let timeouts =
                self.nodes.iter().filter_map(|(node, core)| Some((core.poll_timeout()?, node.clone())));
            let timeout = timeouts.min();
            let next = arrival.into_iter().chain(timeout.as_ref().map(|(at, _)| *at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            match timeout {
                Some((at, node)) if at == next => {
                    if let Some(core) = self.nodes.get_mut(&node) {
                        core.handle_timeout(self.now);
                    }
                    self.take_outputs(&node);
                }
                _ => self.deliver(),
            }
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        let Some((_, from, message)) = self.in_flight.pop_front() else { return };
        let Some(core) = self.nodes.get_mut(&message.to) else { return };
        let refused = match message.channel {
            Channel::Datagram => {
                core.handle_datagram(self.now, &from, &message.payload).err().map(|error| error.to_string())
            }
            Channel::Sync => {
                core.handle_sync(self.now, &from, &message.payload).err().map(|error| error.to_string())
            }
        };
        if let Some(refused) = refused {
            println!("{} {} refuses a message of {from}: {refused}", self.clock(), message.to);
        }
        self.take_outputs(&message.to);
    }

    fn take_outputs(&mut self, node: &NodeId) {
        let Some(core) = self.nodes.get_mut(node) else { return };
        while let Some(transmit) = core.poll_transmit() {
            self.in_flight.push_back((self.now + LATENCY, node.clone(), transmit));
        }
        let events: Vec<Event> = std::iter::from_fn(|| core.poll_event()).collect();
        for event in events {
            self.tell(node, &event);
            // A new member is dialled, as a node would do.
            if let Event::Joined(member) = event {
                self.link(node, &member.boot.node);
            }
        }
    }

    fn tell(&self, node: &NodeId, event: &Event) {
        let news = match event {
            Event::Joined(member) => format!("meets {}", member.boot.node),
            Event::Up(boot) => format!("sees that {} is up", boot.node),
            Event::Suspect(boot) => format!("suspects {}", boot.node),
            Event::Down(boot) => format!("holds {} for down", boot.node),
            Event::Left(boot) => format!("sees {} leave", boot.node),
            Event::Removed(boot) => format!("forgets {}", boot.node),
            Event::Expelled => "was removed".to_string(),
            Event::PartitionOccurred => "sees no majority any more".to_string(),
            Event::PartitionHealed => "sees a majority again".to_string(),
            Event::Updated(version) => format!("knows roster version {}", version.0),
            Event::Missed(count) => format!("missed {count} events"),
        };
        println!("{} {node:>5} {news}", self.clock());
    }

    fn clock(&self) -> String {
        format!("{:7.3} s", (self.now - self.start).as_secs_f64())
    }
}
