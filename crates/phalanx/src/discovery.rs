//! Runs the strategies of a node for as long as it lives: each looks at its own pace, and one that fails takes nothing from
//! what it, or another one, has found before.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use phalanx_base::Entropy;
use phalanx_discovery::{
    Announcement, Candidates, Discover, DiscoverContext, DiscoverError, DynDiscover, Refresh,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::place::Place;

/// How often a strategy is asked once a node is connected, so that the halves of a cluster meet.
const REFRESH_WHEN_CONNECTED: Duration = Duration::from_secs(30);

/// The longest that one look-up may take.
const FIND_TIME_MAX: Duration = Duration::from_secs(20);

/// The longest pause after failures: each doubles it.
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The shortest pause between two look-ups, however often a strategy says that something has changed.
const CHANGED_PAUSE: Duration = Duration::from_millis(250);

/// How many answers wait for whoever dials.
const ANSWERS_WAITING_MAX: usize = 16;

/// What strategies have found, for whoever dials and for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StrategyView {
    /// What it is called.
    pub name: &'static str,
    /// How many candidates it found when it last succeeded.
    pub found: usize,
    /// Why it failed the last time, if it did.
    pub error: Option<String>,
    /// How often it was asked.
    pub lookups: u64,
}

/// What one strategy has found.
struct Answer {
    strategy: usize,
    found: Result<Candidates, String>,
}

/// Looks, for as long as it is polled.
pub(crate) struct Discovery {
    strategies: Vec<DynDiscover>,
    context: DiscoverContext,
    /// Whether the node is connected, so that there is no hurry.
    connected: watch::Receiver<bool>,
    answers: mpsc::Sender<Answer>,
}

/// What is found, merged over all strategies.
pub(crate) struct Found {
    answers: mpsc::Receiver<Answer>,
    sets: BTreeMap<usize, Candidates>,
    views: Vec<StrategyView>,
}

impl Discovery {
    /// The strategies of a node, and where what they find comes out.
    pub(crate) fn new(
        strategies: Vec<DynDiscover>,
        context: DiscoverContext,
        connected: watch::Receiver<bool>,
    ) -> (Self, Found) {
        let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
        let view = |strategy: &DynDiscover| StrategyView { name: strategy.name(), ..StrategyView::default() };
        let views = strategies.iter().map(view).collect();
        let found = Found { answers: receiver, sets: BTreeMap::new(), views };
        (Self { strategies, context, connected, answers }, found)
    }

    /// Asks all strategies, again and again.
    pub(crate) async fn run(self) {
        join_all(self.strategies.iter().enumerate().map(|(number, strategy)| self.follow(number, strategy)))
            .await;
    }

    async fn follow(&self, number: usize, strategy: &DynDiscover) {
        let mut connected = self.connected.clone();
        let mut failures = 0;
        loop {
            // Waited for from before the look-up on, so that no change falls between the two.
            let mut changed = pin!(strategy.changed(&self.context));
            let find = timeout(FIND_TIME_MAX, strategy.find(&self.context));
            let (found, has_changed) = {
                let mut find = pin!(find);
                tokio::select! {
                    biased;
                    found = &mut find => (found, false),
                    () = &mut changed => (find.await, true),
                }
            };
            let found = found.unwrap_or_else(|_| Err(DiscoverError::other("it took too long")));
            failures = if found.is_ok() { 0 } else { failures + 1 };
            let found = found.inspect_err(|error| log_failure(failures, error));
            let answer = Answer { strategy: number, found: found.map_err(|error| error.to_string()) };
            if self.answers.send(answer).await.is_err() {
                return;
            }
            if !has_changed {
                let pause = self.pause(strategy.refresh(), failures, *connected.borrow_and_update());
                tokio::select! {
                    biased;
                    () = changed => {}
                    () = sleep_maybe(pause) => continue,
                    () = is_lost(&mut connected) => {}
                }
            }
            sleep(CHANGED_PAUSE).await;
        }
    }

    /// How long to wait after a look-up; `None` for ever.
    fn pause(&self, refresh: Refresh, failures: u32, connected: bool) -> Option<Duration> {
        if failures > 0 {
            let base = match refresh {
                Refresh::Every(pause) => pause,
                Refresh::Once => CHANGED_PAUSE,
            };
            let longer = base.saturating_mul(1 << (failures - 1).min(16)).min(FAILED_PAUSE_MAX.max(base));
            return Some(jittered(longer, self.context.entropy.as_ref()));
        }
        match refresh {
            Refresh::Once => None,
            Refresh::Every(pause) if connected => {
                Some(jittered(pause.max(REFRESH_WHEN_CONNECTED), self.context.entropy.as_ref()))
            }
            Refresh::Every(pause) => Some(pause),
        }
    }
}

impl Found {
    /// The next time that something was found or failed. Cancellation safe; `None` when nobody looks any more.
    pub(crate) async fn next(&mut self) -> Option<()> {
        let Answer { strategy, found } = self.answers.recv().await?;
        let view = &mut self.views[strategy];
        view.lookups += 1;
        match found {
            Ok(candidates) => {
                (view.found, view.error) = (candidates.len(), None);
                self.sets.insert(strategy, candidates);
            }
            Err(error) => view.error = Some(error),
        }
        Some(())
    }

    /// Every place that a strategy has found when it last succeeded, the first strategy's first. A socket with several
    /// transports is one place, where a dial tries them in turn.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut all: Vec<Place> = Vec::new();
        for candidate in self.sets.values().flatten() {
            let transport = candidate.address.transport();
            match all.iter_mut().find(|place| place.socket == candidate.socket) {
                Some(place) if place.transport != transport => place.transport = None,
                Some(_) => {}
                None => all.push(Place { socket: candidate.socket, transport }),
            }
        }
        all
    }

    /// How each strategy does, in the order in which they were given.
    pub(crate) fn views(&self) -> &[StrategyView] {
        &self.views
    }
}

/// Publishes a control node with every strategy that does so, until `withdrawn`; returns when all have taken it back.
pub(crate) async fn announce(
    strategies: Vec<DynDiscover>,
    context: DiscoverContext,
    who: Announcement,
    withdrawn: CancellationToken,
) {
    join_all(strategies.iter().map(|strategy| keep_announced(strategy, &context, &who, &withdrawn))).await;
}

async fn keep_announced(
    strategy: &DynDiscover,
    context: &DiscoverContext,
    who: &Announcement,
    withdrawn: &CancellationToken,
) {
    let mut failures = 0;
    while let Err(error) = strategy.announce(context, who, Box::pin(withdrawn.cancelled())).await {
        failures += 1;
        log_failure(failures, &error);
        let pause = CHANGED_PAUSE.saturating_mul(1 << failures.min(16)).min(FAILED_PAUSE_MAX);
        tokio::select! {
            biased;
            () = withdrawn.cancelled() => return,
            () = sleep(jittered(pause, context.entropy.as_ref())) => {}
        }
    }
}

/// The first failure is loud; that it goes on is not news.
fn log_failure(failures: u32, error: &DiscoverError) {
    if failures == 1 {
        tracing::warn!(%error, "discovery failed: what was found before stays, and it is tried again");
    } else {
        tracing::debug!(%error, failures, "discovery still fails");
    }
}

/// Between three quarters and five quarters of a pause, so that nodes do not ask all at once.
fn jittered(pause: Duration, entropy: &dyn Entropy) -> Duration {
    let part = u32::try_from(entropy.bits64() % 512).expect("a remainder of 512 is small");
    pause.mul_f64(0.75 + f64::from(part) / 1_024.0)
}

async fn sleep_maybe(pause: Option<Duration>) {
    match pause {
        Some(pause) => sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Returns when the node is not connected any more, after it was.
async fn is_lost(connected: &mut watch::Receiver<bool>) {
    let mut before = *connected.borrow_and_update();
    loop {
        if connected.changed().await.is_err() {
            return std::future::pending().await;
        }
        let now = *connected.borrow_and_update();
        if before && !now {
            return;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use tokio::sync::Notify;

    use phalanx_base::{Address, TransportKind};
    use phalanx_discovery::Candidate;
    use phalanx_transport::SystemEntropy;

    /// Answers from a script, one entry a look-up, and then with nothing.
    struct Script {
        answers: Mutex<Vec<Result<Vec<u16>, &'static str>>>,
        refresh: Refresh,
        change: Arc<Notify>,
    }

    impl Discover for Script {
        async fn find(&self, _: &DiscoverContext) -> Result<Candidates, DiscoverError> {
            let mut answers = self.answers.lock().unwrap();
            let answer = if answers.is_empty() { Ok(Vec::new()) } else { answers.remove(0) };
            let candidate = |port| {
                let socket = SocketAddr::from(([10, 0, 0, 1], port));
                Candidate { address: socket.into(), socket }
            };
            answer.map(|ports| ports.into_iter().map(candidate).collect()).map_err(DiscoverError::other)
        }

        async fn changed(&self, _: &DiscoverContext) {
            self.change.notified().await;
        }

        fn refresh(&self) -> Refresh {
            self.refresh
        }
    }

    struct Bench {
        found: Found,
        change: Arc<Notify>,
        connected: watch::Sender<bool>,
    }

    fn run(refresh: Refresh, answers: Vec<Result<Vec<u16>, &'static str>>) -> Bench {
        let change = Arc::new(Notify::new());
        let script = Script { answers: Mutex::new(answers), refresh, change: change.clone() };
        let other = phalanx_discovery::StaticPeers::new([SocketAddr::from(([10, 0, 0, 9], 9))]);
        let resolver = Arc::new(phalanx_discovery::SystemResolver::new());
        let context = DiscoverContext::new(resolver, Arc::new(SystemEntropy::new()));
        let (connected, receiver) = watch::channel(false);
        let strategies = vec![DynDiscover::new(script), DynDiscover::new(other)];
        let (discovery, found) = Discovery::new(strategies, context, receiver);
        tokio::spawn(discovery.run());
        Bench { found, change, connected }
    }

    impl Bench {
        /// Waits until the scripted strategy was asked so often.
        async fn after(&mut self, lookups: u64) -> Vec<u16> {
            while self.found.views()[0].lookups < lookups || self.found.views()[1].lookups == 0 {
                self.found.next().await.unwrap();
            }
            self.found.places().iter().map(|place| place.socket.port()).collect()
        }
    }

    const OFTEN: Refresh = Refresh::Every(Duration::from_secs(5));

    #[tokio::test(start_paused = true)]
    async fn a_failure_keeps_what_was_found_and_hides_no_other_strategy() {
        let mut bench = run(OFTEN, vec![Ok(vec![1, 2]), Err("broken"), Ok(vec![2])]);
        assert_eq!(bench.after(1).await, [1, 2, 9]);
        assert_eq!(bench.after(2).await, [1, 2, 9]);
        let view = &bench.found.views()[0];
        assert_eq!((view.name, view.found), ("Script", 2));
        assert!(view.error.as_deref().is_some_and(|error| error.contains("broken")));
        assert_eq!(bench.after(3).await, [2, 9], "a success replaces what that strategy found");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_and_a_lost_connection_are_looked_at_at_once() {
        let mut bench = run(Refresh::Once, vec![Err("not yet"), Ok(vec![1]), Ok(vec![2]), Ok(vec![3])]);
        assert_eq!(bench.after(2).await, [1, 9], "what is asked once is asked until it answers");
        let start = tokio::time::Instant::now();
        assert!(timeout(Duration::from_secs(3_600), bench.after(3)).await.is_err());
        bench.change.notify_one();
        assert_eq!(bench.after(3).await, [2, 9]);
        bench.connected.send_replace(true);
        tokio::task::yield_now().await;
        bench.connected.send_replace(false);
        assert_eq!(bench.after(4).await, [3, 9]);
        assert!(start.elapsed() < Duration::from_secs(3_602));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_connected_asks_seldom() {
        let mut bench = run(OFTEN, vec![]);
        bench.after(3).await;
        bench.connected.send_replace(true);
        bench.after(4).await;
        let start = tokio::time::Instant::now();
        bench.after(6).await;
        assert!(start.elapsed() > Duration::from_secs(2 * 22), "{:?}", start.elapsed());
    }

    #[test]
    fn a_socket_with_several_transports_is_one_place() {
        let socket = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let candidate = |port, transport| {
            let address = Address::from(Place { socket: socket(port), transport });
            Candidate { address, socket: socket(port) }
        };
        let (tls, websocket) = (Some(TransportKind::Tls), Some(TransportKind::WebSocket));
        let found = [candidate(1, tls), candidate(1, websocket), candidate(2, tls), candidate(3, None)];
        let (_sender, answers) = mpsc::channel(1);
        let sets = BTreeMap::from([(0, found.into_iter().collect())]);
        let found = Found { answers, sets, views: Vec::new() };
        let place = |port, transport| Place { socket: socket(port), transport };
        assert_eq!(found.places(), [place(1, None), place(2, tls), place(3, None)]);
    }
}
