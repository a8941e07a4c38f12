//! The task that owns the sockets and the cores. It ends with the strategy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phalanx_base::{Boot, Entropy};
use tokio::sync::{Notify, watch};
use tracing::debug;

use crate::ClusterScope;

use super::ether::Ether;
use super::hearing::{HeardNode, Hearing, Ignored, Reaction};
use super::options::Options;
use super::packet::Question;
use super::speaking::Speaking;

/// How often to look for interfaces that have come or gone: soon after a cable was plugged in.
const REFRESH_PAUSE: Duration = Duration::from_secs(2);

/// How often at most to ask who is there, however many look-ups want to know.
const ASK_PAUSE: Duration = Duration::from_millis(250);

/// How often at most to log what was ignored.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// What one node has to say: sealed once, sent often.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) revision: u64,
    pub(super) boot: Boot,
    pub(super) beacon: Vec<u8>,
    pub(super) farewell: Vec<u8>,
}

/// What is announced, by its revision, which no two share.
pub(super) type AnnouncedMap = BTreeMap<u64, Arc<Announced>>;

/// What was heard, for readers.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) nodes: Vec<HeardNode>,
    /// Grows with each node that is new or says something new.
    pub(super) news: u64,
    pub(super) ignored: Ignored,
    /// Over what it listens.
    pub(super) names: String,
    /// Why nothing can be sent now, and so nothing need be waited for.
    pub(super) failure: Option<String>,
}

pub(super) struct Driver {
    options: Options,
    entropy: Arc<dyn Entropy>,
    question: Option<Vec<u8>>,
    ether: Ether,
    hearing: Hearing,
    speaking: Speaking,
    announced: watch::Receiver<Arc<AnnouncedMap>>,
    said: Arc<AnnouncedMap>,
    wanted: Arc<Notify>,
    snapshot: watch::Sender<Snapshot>,
    refreshed: Instant,
    asked: Option<Instant>,
    logged: (Instant, Ignored),
    /// Why the last packet could not be sent.
    unsent: Option<String>,
}

/// What the task waits for.
enum Event {
    Ended,
    Announced,
    Wanted,
    Timeout,
    Packet(Reaction),
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Driver {
    /// A driver over sockets that are open.
    pub(super) fn new(
        options: Options,
        scope: ClusterScope,
        entropy: Arc<dyn Entropy>,
        ether: Ether,
        announced: watch::Receiver<Arc<AnnouncedMap>>,
    ) -> Self {
        let now = now();
        Self {
            question: Question::packet(&scope.id).filter(|_| options.mode.listens()),
            speaking: Speaking::new(options.interval),
            snapshot: watch::Sender::new(Snapshot { names: ether.names(), ..Snapshot::default() }),
            hearing: Hearing::new(scope),
            wanted: Arc::default(),
            said: Arc::default(),
            refreshed: now,
            asked: None,
            logged: (now, Ignored::default()),
            unsent: None,
            options,
            entropy,
            ether,
            announced,
        }
    }

    /// How to ask who is there.
    pub(super) fn wanted(&self) -> Arc<Notify> {
        self.wanted.clone()
    }

    /// What is heard.
    pub(super) fn snapshot(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.subscribe()
    }

    /// Runs until the strategy is dropped.
    pub(super) async fn run(mut self) {
        self.announced.mark_changed();
        loop {
            match self.next_event().await {
                Event::Ended => return self.set_said(Arc::default()),
                Event::Announced => {
                    let announced = self.announced.borrow_and_update().clone();
                    self.set_said(announced);
                }
                Event::Wanted => self.ask(),
                Event::Timeout => self.handle_timeout(),
                Event::Packet(Reaction::Nothing) => {}
                Event::Packet(Reaction::Asked) => self.speaking.handle_question(now(), self.entropy.as_ref()),
                Event::Packet(Reaction::Changed) => self.publish(),
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let timeouts = [self.speaking.poll_timeout(), self.hearing.poll_timeout()];
        let timeout = timeouts.into_iter().flatten().fold(self.refreshed + REFRESH_PAUSE, Instant::min);
        // A storm of packets must not keep this node from speaking.
        tokio::select! {
            biased;
            changed = self.announced.changed() => if changed.is_ok() { Event::Announced } else { Event::Ended },
            () = self.wanted.notified() => Event::Wanted,
            () = tokio::time::sleep_until(timeout.into()) => Event::Timeout,
            (interface, packet) = self.ether.receive() =>
                Event::Packet(self.hearing.handle_packet(now(), interface, packet)),
        }
    }

    /// Takes what there is to say now, and says farewell for what is not said any more.
    fn set_said(&mut self, announced: Arc<AnnouncedMap>) {
        let gone = self.said.iter().filter(|(revision, _)| !announced.contains_key(revision));
        for (_, gone) in gone {
            // Whoever does not hear it forgets the node a little later.
            let _ = self.ether.send(&gone.farewell);
        }
        if announced.keys().any(|revision| !self.said.contains_key(revision)) {
            self.speaking.begin(now());
        }
        if announced.is_empty() {
            self.speaking.end();
        }
        self.hearing.set_own(announced.values().map(|announced| announced.boot.clone()).collect());
        self.said = announced;
        self.publish();
    }

    fn ask(&mut self) {
        let now = now();
        if self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_PAUSE)
            && let Some(question) = &self.question
        {
            self.asked = Some(now);
            self.unsent = self.ether.send(question).err().map(|error| error.to_string());
            self.tell();
        }
    }

    fn handle_timeout(&mut self) {
        let now = now();
        if self.speaking.handle_timeout(now, self.entropy.as_ref()) {
            let sent: Result<(), _> = self.said.values().try_for_each(|said| self.ether.send(&said.beacon));
            self.unsent = sent.err().map(|error| error.to_string());
        }
        if self.hearing.handle_timeout(now) {
            self.publish();
        }
        if now.saturating_duration_since(self.refreshed) >= REFRESH_PAUSE {
            self.refreshed = now;
            self.refresh();
        }
    }

    /// Looks for interfaces that have come or gone. Over new ones everything is said anew.
    fn refresh(&mut self) {
        let refreshed = self.ether.refresh(&self.options);
        if matches!(refreshed, Ok(true)) && !self.said.is_empty() {
            self.speaking.begin(now());
        }
        if let Err(error) = refreshed {
            self.unsent = Some(error.to_string());
        }
        self.tell();
        let ignored = self.hearing.ignored();
        let (logged, before) = self.logged;
        if ignored != before && self.refreshed.saturating_duration_since(logged) >= LOG_PAUSE {
            debug!(packets = %ignored.summary(), "multicast packets are ignored");
            self.logged = (self.refreshed, ignored);
        }
    }

    /// Tells readers what nobody waits for.
    fn tell(&self) {
        let (names, failure, ignored) = (self.ether.names(), self.unsent.clone(), self.hearing.ignored());
        self.snapshot.send_if_modified(|snapshot| {
            (snapshot.names, snapshot.failure, snapshot.ignored) = (names, failure, ignored);
            false
        });
    }

    /// Tells readers what was heard.
    fn publish(&self) {
        let (nodes, news, ignored) =
            (self.hearing.nodes().cloned().collect(), self.hearing.news(), self.hearing.ignored());
        self.snapshot.send_modify(|snapshot| {
            (snapshot.nodes, snapshot.news, snapshot.ignored) = (nodes, news, ignored);
        });
    }
}
