//! Seven control nodes on an in-memory network with manual time. The network splits into four and three, and heals:
//! who sees whom, who keeps the majority, and when do all agree again?
//!
//! `cargo run -p phalanx-membership --example partition [SEED]`

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use phalanx_base::{AddressList, Boot, Generation, NodeId};
use phalanx_membership::{Channel, Config, Event, LinkLoss, Liveness, LocalMember, Membership, Transmit};

type Failure = Box<dyn std::error::Error>;

const NAMES: [&str; 7] = ["anna", "bela", "cleo", "dora", "emil", "fred", "gina"];
/// How many of them are on the larger side.
const LARGER: usize = 4;
/// How long every message takes.
const LATENCY: Duration = Duration::from_millis(2);
/// How often the picture is looked at.
const LOOK: Duration = Duration::from_millis(100);

struct Network {
    start: Instant,
    now: Instant,
    nodes: BTreeMap<NodeId, Membership>,
    /// Messages on their way by time of arrival, with their sender.
    in_flight: BTreeMap<(Instant, u64), (NodeId, Transmit)>,
    sent: u64,
    split: bool,
    /// What was printed last.
    picture: String,
}

fn main() -> Result<(), Failure> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    println!(
        "Each row: one node, whom it sees (capital: alive, small: suspect, dot: not), * has the majority\n"
    );
    let mut network = Network::new(seed)?;
    network.run_for(Duration::from_secs(8));
    network.cut();
    network.say(&format!(
        "the network splits: {} | {}",
        NAMES[..LARGER].join(" "),
        NAMES[LARGER..].join(" ")
    ));
    network.run_for(Duration::from_secs(45));
    network.heal();
    network.say("the network heals");
    let healed = network.now;
    while !network.agrees() && network.now - healed < Duration::from_secs(60) {
        network.run_for(LOOK);
    }
    network.say(&format!("all agree again after {:.1} s", (network.now - healed).as_secs_f64()));
    for (node, core) in &network.nodes {
        let counters = core.counters();
        println!(
            "{node:>8}: roster version {}, resets {}, renewals {}",
            core.roster().version().0,
            counters.resets,
            counters.renewals
        );
    }
    Ok(())
}

impl Network {
    #[expect(clippy::disallowed_methods, reason = "an origin for manual time")]
    fn new(seed: u64) -> Result<Self, Failure> {
        let start = Instant::now();
        let mut network = Self {
            start,
            now: start,
            nodes: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            split: false,
            picture: String::new(),
        };
        for (at, name) in NAMES.into_iter().enumerate() {
            let boot = Boot { node: NodeId::new(name)?, generation: Generation::from_u64(1) };
            let addresses: AddressList = format!("{name}.example:7000").parse()?;
            let local = LocalMember::new(boot, addresses);
            let mut core = Membership::new(Config::lan(), local, seed + at as u64, start)?;
            core.activate(start);
            network.nodes.insert(NodeId::new(name)?, core);
        }
        let first = NodeId::new(NAMES[0])?;
        let others: Vec<NodeId> = network.nodes.keys().filter(|node| **node != first).cloned().collect();
        others.iter().for_each(|node| network.link(&first, node));
        Ok(network)
    }

    fn is_cut(&self, a: &NodeId, b: &NodeId) -> bool {
        let larger = |node: &NodeId| NAMES[..LARGER].contains(&node.as_str());
        self.split && larger(a) != larger(b)
    }

    /// Pairs of nodes with the network between them.
    fn pairs_across(&self) -> Vec<(NodeId, NodeId)> {
        let nodes: Vec<&NodeId> = self.nodes.keys().collect();
        let pairs =
            nodes.iter().flat_map(|a| nodes.iter().map(move |b| (NodeId::clone(a), NodeId::clone(b))));
        pairs.filter(|(a, b)| a < b && self.is_cut(a, b)).collect()
    }

    /// Nothing passes any more, and each end of a link across learns that it is lost.
    fn cut(&mut self) {
        self.split = true;
        for (a, b) in self.pairs_across() {
            for (here, there) in [(&a, &b), (&b, &a)] {
                if let Some(core) = self.nodes.get_mut(here) {
                    core.handle_peer_unreachable(self.now, there, LinkLoss::Unknown);
                }
                self.take_outputs(here);
            }
        }
    }

    fn heal(&mut self) {
        let across = self.pairs_across();
        self.split = false;
        across.iter().for_each(|(a, b)| self.link(a, b));
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
        while self.now < end {
            let look_at = end.min(self.now + LOOK);
            while self.step(look_at) {}
            self.show();
        }
    }

    /// Goes to the next thing that happens, if that is not after `end`.
    fn step(&mut self, end: Instant) -> bool {
        let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
        let timeouts =
            self.nodes.iter().filter_map(|(node, core)| Some((core.poll_timeout()?, node.clone())));
        let timeout = timeouts.min();
        let next = arrival.into_iter().chain(timeout.as_ref().map(|(at, _)| *at)).min();
        let Some(next) = next.filter(|at| *at <= end) else {
            self.now = end;
            return false;
        };
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
        true
    }

    fn deliver(&mut self) {
        let Some((_, (from, message))) = self.in_flight.pop_first() else { return };
        let Some(core) = self.nodes.get_mut(&message.to) else { return };
        let refused = match message.channel {
            Channel::Datagram => {
                core.handle_datagram(self.now, &from, &message.payload).err().map(Failure::from)
            }
            Channel::Sync => core.handle_sync(self.now, &from, &message.payload).err().map(Failure::from),
        };
        if let Some(refused) = refused {
            self.say(&format!("{} refuses a message of {from}: {refused}", message.to));
        }
        self.take_outputs(&message.to);
    }

    fn take_outputs(&mut self, node: &NodeId) {
        let Some(core) = self.nodes.get_mut(node) else { return };
        let transmits: Vec<Transmit> = std::iter::from_fn(|| core.poll_transmit()).collect();
        let events: Vec<Event> = std::iter::from_fn(|| core.poll_event()).collect();
        for transmit in transmits {
            if !self.is_cut(node, &transmit.to) {
                self.sent += 1;
                self.in_flight.insert((self.now + LATENCY, self.sent), (node.clone(), transmit));
            }
        }
        for event in events {
            match event {
                Event::PartitionOccurred => self.say(&format!("{node} has lost the majority")),
                Event::PartitionHealed => self.say(&format!("{node} has the majority again")),
                // A new member is dialled, as a node would do.
                Event::Joined(member) if !self.is_cut(node, &member.boot.node) => {
                    self.link(node, &member.boot.node);
                }
                _ => {}
            }
        }
    }

    fn agrees(&self) -> bool {
        let rosters: BTreeSet<Vec<u8>> = self.nodes.values().map(|core| core.snapshot().encode()).collect();
        let all_alive =
            |core: &Membership| core.members().iter().all(|member| member.liveness == Liveness::Alive);
        rosters.len() == 1 && self.nodes.values().all(all_alive)
    }

    /// Prints who sees whom, where that has changed.
    fn show(&mut self) {
        let letter = |core: &Membership, node: &NodeId| {
            let initial = node.as_str().chars().next().unwrap_or('?');
            match core.liveness(node) {
                Liveness::Alive => initial.to_ascii_uppercase(),
                Liveness::Suspect => initial,
                Liveness::Down | Liveness::Left => '.',
            }
        };
        let row = |core: &Membership| {
            let seen: String = self.nodes.keys().map(|node| letter(core, node)).collect();
            format!("{seen}{}", if core.has_majority() { '*' } else { ' ' })
        };
        let picture: Vec<String> = self.nodes.values().map(row).collect();
        let picture = picture.join("  ");
        if picture != self.picture {
            self.say(&picture);
            self.picture = picture;
        }
    }

    fn say(&self, line: &str) {
        println!("{:7.1} s  {line}", (self.now - self.start).as_secs_f64());
    }
}
