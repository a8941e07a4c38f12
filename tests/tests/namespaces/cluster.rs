//! A cluster of processes on a network, and what must be so.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;
use tests::program;
use tokio::time::Instant;

use crate::agent::{Agent, Role, Setting};
use crate::net::{Host, Net};
use crate::seen::Status;

/// How long anything may take that has no limit of its own: it ends only what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// How long after healing the views agree: what is promised.
pub(crate) const AGREED_IN: Duration = Duration::from_secs(30);

/// How long after that every worker has one owner: what is promised, without orphans to speak of.
pub(crate) const SERVED_IN: Duration = Duration::from_secs(60);

/// How often a condition is looked at. Each look is a process.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// The cluster. The nodes end before their network goes.
pub(crate) struct Cluster {
    pub(crate) agents: Vec<Agent>,
    pub(crate) net: Net,
    setting: Setting,
    /// Where the control nodes that are planned will run.
    hosts: Vec<Host>,
    _folder: TempDir,
}

/// How a cluster was before something happened to it.
pub(crate) struct Before {
    generations: BTreeMap<String, String>,
    owners: BTreeMap<String, String>,
    /// The number of the last event at each control node.
    numbers: BTreeMap<String, u64>,
}

impl Cluster {
    /// A network of switches with so many control nodes at each of them, of which none runs yet.
    pub(crate) fn plan(controls: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut setting = Setting::new(program(), folder.path());
        let mut net = Net::new(controls.len());
        let mut hosts = Vec::new();
        for (switch, count) in controls.iter().enumerate() {
            hosts.extend((0..*count).map(|_| net.add_host(switch)));
        }
        let peers: Vec<String> = hosts.iter().map(|host| format!("{}:7000", host.ip)).collect();
        setting.peers = peers.join(",");
        setting.expected_controls = hosts.len();
        Self { agents: Vec::new(), net, setting, hosts, _folder: folder }
    }

    /// Starts a whole cluster: at each switch so many control nodes and so many workers. The control nodes are `control-1`
    /// and so on from the first switch to the last, the workers are `worker-1` and so on.
    pub(crate) fn start(sides: &[(usize, usize)]) -> Self {
        let controls: Vec<usize> = sides.iter().map(|side| side.0).collect();
        let mut cluster = Self::plan(&controls);
        let started = Instant::now();
        for number in 1..=controls.iter().sum() {
            cluster.start_control(number);
        }
        let mut worker = 0;
        for (switch, (_, workers)) in sides.iter().enumerate() {
            for _ in 0..*workers {
                worker += 1;
                let host = cluster.net.add_host(switch);
                cluster.start_worker(&format!("worker-{worker}"), host);
            }
        }
        cluster.until("the control nodes form", PATIENCE, Self::agreed);
        cluster.until("every worker is served", PATIENCE, Self::served);
        println!("{} nodes serve {} after their start", cluster.agents.len(), seconds(started));
        cluster
    }

    /// Starts one of the control nodes that are planned, counted from 1.
    pub(crate) fn start_control(&mut self, number: usize) {
        let host = self.hosts[number - 1].clone();
        let agent = Agent::start(&self.setting, &format!("control-{number}"), Role::Control, host);
        self.agents.push(agent);
    }

    /// Starts a worker on a host.
    pub(crate) fn start_worker(&mut self, name: &str, host: Host) {
        self.agents.push(Agent::start(&self.setting, name, Role::Worker, host));
    }

    /// Lets the nodes that are started from now on dial each other over one transport only.
    pub(crate) fn ask_for_transport(&mut self, transport: &str) {
        self.setting.transport = Some(transport.to_owned());
        self.setting.peers.push_str(&format!(";transport={transport}"));
    }

    /// The host of a control node, counted from 1.
    pub(crate) fn control_host(&self, number: usize) -> Host {
        self.hosts[number - 1].clone()
    }

    /// The addresses of everybody else.
    pub(crate) fn others(&self, than: &Host) -> Vec<Ipv4Addr> {
        self.agents.iter().map(|agent| agent.host.ip).filter(|ip| *ip != than.ip).collect()
    }

    pub(crate) fn agent(&self, name: &str) -> &Agent {
        self.agents.iter().find(|agent| agent.name == name).unwrap()
    }

    pub(crate) fn controls(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().filter(|agent| agent.role == Role::Control)
    }

    /// Waits until something is so, and says how long that took.
    pub(crate) fn until(
        &self,
        what: &str,
        patience: Duration,
        holds: impl Fn(&Self) -> Result<(), String>,
    ) -> Duration {
        let started = Instant::now();
        loop {
            let Err(reason) = holds(self) else { return Instant::now() - started };
            if Instant::now() - started > patience {
                panic!("waited {patience:?} until {what}: {reason}\n{}", self.logs());
            }
            sleep(LOOK_PAUSE);
        }
    }

    fn logs(&self) -> String {
        let logs = self.agents.iter().map(|agent| format!("--- {}\n{}", agent.name, agent.last_lines()));
        logs.collect::<Vec<_>>().join("\n")
    }

    fn statuses(&self) -> Result<Vec<(&Agent, Status)>, String> {
        let ask = |agent: &'_ Agent| agent.status().ok_or_else(|| format!("{} does not answer", agent.name));
        self.controls().map(|agent| Ok((agent, ask(agent)?))).collect()
    }

    /// Every control node sees every one alive and active, in the same boots.
    pub(crate) fn agreed(&self) -> Result<(), String> {
        let statuses = self.statuses()?;
        let names: Vec<&str> = self.controls().map(|agent| agent.name.as_str()).collect();
        for (agent, status) in &statuses {
            if !status.ready || !status.majority {
                return Err(format!("{}: {}", agent.name, status.explanation));
            }
            let not_well = |member: &&crate::seen::Member| {
                member.liveness != "alive" || member.state.as_deref() != Some("active")
            };
            if let Some(member) = status.members.iter().find(not_well) {
                return Err(format!("{} sees {member:?}", agent.name));
            }
            let mut members: Vec<&str> = status.members.iter().map(|member| member.node.as_str()).collect();
            members.sort_unstable();
            if members != names {
                return Err(format!("{} sees {members:?}", agent.name));
            }
        }
        match statuses.windows(2).find(|pair| pair[0].1.members != pair[1].1.members) {
            Some(pair) => Err(format!("{} and {} see other boots", pair[0].0.name, pair[1].0.name)),
            None => Ok(()),
        }
    }

    /// Every node is hosted by exactly one control node, on which all of them agree, and the worker with them.
    pub(crate) fn served(&self) -> Result<(), String> {
        self.owners().map(drop)
    }

    /// Who that is for each node.
    fn owners(&self) -> Result<BTreeMap<String, String>, String> {
        let mut owners: Option<BTreeMap<String, String>> = None;
        for agent in self.controls() {
            let listing = agent.listing().ok_or_else(|| format!("{} does not answer", agent.name))?;
            let listed = listing.owners().map_err(|reason| format!("{}: {reason}", agent.name))?;
            if owners.as_ref().is_some_and(|owners| *owners != listed) {
                return Err(format!("{} lists {listed:?} instead of {owners:?}", agent.name));
            }
            owners = Some(listed);
        }
        let owners = owners.unwrap_or_default();
        if owners.len() != self.agents.len() {
            return Err(format!("only these are hosted: {owners:?}"));
        }
        // A list names each worker once, whoever else believes to host it: so what each one counts is added up.
        let hosted: usize = self.statuses()?.iter().map(|(_, status)| status.hosted).sum();
        if hosted != self.agents.len() {
            return Err(format!("{hosted} proxies for {} nodes", self.agents.len()));
        }
        for worker in self.agents.iter().filter(|agent| agent.role == Role::Worker) {
            let owner = worker.status().and_then(|status| status.owner);
            if owner.as_ref() != owners.get(&worker.name) {
                return Err(format!("{} has the owner {owner:?}, not {owners:?}", worker.name));
            }
        }
        Ok(owners)
    }

    /// Every worker has an owner at its own switch.
    pub(crate) fn served_at_hand(&self) -> Result<(), String> {
        for worker in self.agents.iter().filter(|agent| agent.role == Role::Worker) {
            let status = worker.status().ok_or_else(|| format!("{} does not answer", worker.name))?;
            let at_hand = |owner: &String| self.agent(owner).host.switch == worker.host.switch;
            if !status.ready || !status.owner.as_ref().is_some_and(at_hand) {
                return Err(format!(
                    "{} has the owner {:?}: {}",
                    worker.name, status.owner, status.explanation
                ));
            }
        }
        Ok(())
    }

    /// How one control node sees others.
    pub(crate) fn sees(&self, who: &str, others: &[&str], liveness: &str) -> Result<(), String> {
        let status = self.agent(who).status().ok_or_else(|| format!("{who} does not answer"))?;
        let other_way = |member: &&crate::seen::Member| {
            others.contains(&member.node.as_str()) && member.liveness != liveness
        };
        match status.members.iter().find(other_way) {
            Some(member) => Err(format!("{who} sees {} {}", member.node, member.liveness)),
            None => Ok(()),
        }
    }

    /// Writes down how everything is.
    pub(crate) fn before(&self) -> Before {
        let generation = |agent: &Agent| (agent.name.clone(), agent.status().unwrap().generation);
        let number = |agent: &Agent| agent.events(0).last().map_or(0, |event| event.number);
        Before {
            owners: self.owners().unwrap(),
            generations: self.agents.iter().map(generation).collect(),
            numbers: self.controls().map(|agent| (agent.name.clone(), number(agent))).collect(),
        }
    }

    /// What a control node was told since then, of these kinds.
    pub(crate) fn told(&self, before: &Before, who: &str, kinds: &[&str]) -> Vec<String> {
        let events = self.agent(who).events(before.numbers[who]);
        let those = events.into_iter().filter(|event| kinds.contains(&event.event.as_str()));
        those.map(|event| [event.event, event.node.unwrap_or_default()].join(" ").trim().to_owned()).collect()
    }

    /// No process has ended or begun anew, whatever has happened.
    pub(crate) fn nobody_restarted(&mut self, before: &Before) {
        for agent in &mut self.agents {
            assert!(agent.runs(), "{} has ended:\n{}", agent.name, agent.last_lines());
            let generation = agent.status().unwrap().generation;
            assert_eq!(generation, before.generations[&agent.name], "the boot of {}", agent.name);
        }
    }

    /// Waits until all is well after a cut was healed, and checks that it went as promised. Says how.
    pub(crate) fn healed(&mut self, before: &Before) -> String {
        let agreed = self.until("the views agree after healing", AGREED_IN, Self::agreed);
        let served = agreed + self.until("each worker has one owner after healing", SERVED_IN, Self::served);
        self.nobody_restarted(before);
        format!(
            "healed after {:.1} s, every worker served after {:.1} s",
            agreed.as_secs_f64(),
            served.as_secs_f64()
        )
    }

    /// Waits until every worker is where it was before, as it must be once the ring is the same again. Says when.
    pub(crate) fn settled(&mut self, before: &Before) -> String {
        let settled = self.until("every worker is at its owner of before", SERVED_IN, |cluster| {
            let owners = cluster.owners()?;
            if owners == before.owners {
                return Ok(());
            }
            Err(format!("{owners:?} instead of {:?}", before.owners))
        });
        self.nobody_restarted(before);
        format!("at its owner of before {:.1} s later", settled.as_secs_f64())
    }
}

/// How long ago that was, for people.
pub(crate) fn seconds(since: Instant) -> String {
    format!("{:.1} s", (Instant::now() - since).as_secs_f64())
}
