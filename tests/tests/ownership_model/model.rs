//! The model as the checker sees it: the steps, and what each one does.
//! When each step is possible is in `options`.

use stateright::{Model, Property};

use crate::network::{Lane, Word};
use crate::options::Options;
use crate::promises;
use crate::rules::Rules;
use crate::turn::Turn;
use crate::world::{Node, World};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The worker links to a control node.
    Dial(Node),
    /// Nobody is there.
    DialInVain(Node),
    /// The first frame of a lane arrives.
    Deliver(u8, Lane),
    /// The worker learns that a link is lost.
    WorkerLearns(u8),
    /// A control node learns that its link is lost.
    ControlLearns(Node),
    Hear(Word),
    /// The handler of events returns.
    Handled(Node),
    /// The owner tells how much of the roster it knows.
    Beat(Node),
    Command(Node),

    /// The wait before a refused claim is made again is over.
    Retry(Node),
    /// The pace lets the handover start; the question for it may be too old.
    StartGiving(Node, bool),
    /// A step of the handover has had its time.
    GiveUp(Node),
    /// The pause after a handover that failed is over.
    Rested(Node),
    /// The offer that it holds may not be used any more.
    OfferEnds(Node),
    /// The worker has been silent for too long.
    ControlHearsNothing(Node),
    /// The present owner has been silent for too long.
    WorkerHearsNothing,
    /// The replies of a former owner have had their time.
    LingerEnds(u8),
    /// The present owner is not safe from rivals any more.
    Settled,

    /// The ring's change is told by the other control node.
    LearnChange(Node),
    /// The other one is down indeed.
    Detect(Node),
    /// The other one is up.
    SeeUp(Node),
    Restart(Node),

    Fault(Fault),
}

/// A step that costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut(u8),
    Lose(Word),
    Duplicate(Word),
    /// The first frame of a lane arrives and stays.
    Repeat(u8, Lane),
    /// The second frame of a lane arrives before the first.
    Overtake(u8, Lane),
    Crash(Node),
    RestartWorker,
    Suspect(Node),
    ChangeRing(Node),
    /// A timer fires while that for which it waits is under way.
    Early(Timer),
}

/// The timers that can be early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    Retry(Node),
    GiveUp(Node),
    OfferEnds(Node),
    LingerEnds(u8),
}

/// The protocol of ownership under some rules.
#[derive(Debug, Clone)]
pub(crate) struct Ownership {
    pub(crate) rules: Rules,
}

impl Model for Ownership {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.rules)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        Options { rules: &self.rules, world, actions }.list();
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut turn = Turn { rules: &self.rules, world: world.clone() };
        turn.take(action);
        Some(turn.world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::properties()
    }
}

impl Turn<'_> {
    fn take(&mut self, action: Action) {
        match action {
            Action::Dial(node) => self.connect(node),
            Action::DialInVain(_) => self.world.worker.redirected = None,
            Action::Deliver(link, lane) => self.deliver(link, lane, 0, false),
            Action::WorkerLearns(link) => self.lose_at_worker(link),
            Action::ControlLearns(node) => self.lose(node),
            Action::Hear(word) => {
                self.world.words.remove(&word);
                self.handle_word(word);
            }
            Action::Handled(node) => self.handle_handled(node),
            Action::Beat(node) => self.beat(node),
            Action::Command(node) => {
                self.world.budget.commands -= 1;
                self.command(node);
            }
            Action::Retry(node) => self.retry(node),
            Action::StartGiving(node, remembers) => self.start_giving(node, remembers),
            Action::GiveUp(node) => self.give_up_giving(node),
            Action::Rested(node) => self.control(node).is_resting = false,
            Action::OfferEnds(node) => self.control(node).offer = None,
            Action::ControlHearsNothing(node) => self.close_at_control(node),
            Action::WorkerHearsNothing => {
                if let Some((_, _, link, _)) = self.world.worker.present() {
                    self.close_at_worker(link);
                }
            }
            Action::LingerEnds(link) => self.close_at_worker(link),
            Action::Settled => {
                self.world.worker.safe_times += 1;
                self.world.worker.is_settled = true;
            }
            Action::LearnChange(node) => {
                self.control(node).knows_change = true;
                self.follow_plan(node);
            }
            Action::Detect(node) => self.see(node, true),
            Action::SeeUp(node) => self.see(node, false),
            Action::Restart(node) => self.restart(node),
            Action::Fault(fault) => self.suffer(fault),
        }
    }

    fn see(&mut self, node: Node, is_down: bool) {
        self.control(node).sees_other_down = is_down;
        self.follow_plan(node);
    }

    fn suffer(&mut self, fault: Fault) {
        let budget = &mut self.world.budget;
        let left = match fault {
            Fault::Cut(_) => &mut budget.cuts,
            Fault::Lose(_) => &mut budget.losses,
            Fault::Duplicate(_) => &mut budget.duplicates,
            Fault::Repeat(..) | Fault::Overtake(..) => &mut budget.disorders,
            Fault::Crash(_) => &mut budget.crashes,
            Fault::RestartWorker => &mut budget.restarts,
            Fault::Suspect(_) => &mut budget.suspicions,
            Fault::ChangeRing(_) => &mut budget.ring_changes,
            Fault::Early(_) => &mut budget.early_timers,
        };
        *left -= 1;
        match fault {
            Fault::Cut(link) => self.cut(link),
            Fault::Lose(word) => drop(self.world.words.remove(&word)),
            Fault::Duplicate(word) => self.handle_word(word),
            Fault::Repeat(link, lane) => self.deliver(link, lane, 0, true),
            Fault::Overtake(link, lane) => self.deliver(link, lane, 1, false),
            Fault::Crash(node) => self.crash(node),
            Fault::RestartWorker => self.restart_worker(),
            Fault::Suspect(node) => self.see(node, true),
            Fault::ChangeRing(node) => {
                self.control(node).knows_change = true;
                self.follow_plan(node);
            }
            Fault::Early(Timer::Retry(node)) => self.retry(node),
            Fault::Early(Timer::GiveUp(node)) => self.give_up_giving(node),
            Fault::Early(Timer::OfferEnds(node)) => self.control(node).offer = None,
            Fault::Early(Timer::LingerEnds(link)) => self.close_at_worker(link),
        }
    }

    /// A frame of a lane arrives.
    fn deliver(&mut self, number: u8, lane: Lane, at: usize, stays: bool) {
        fn take<T: Copy>(lane: &mut Vec<T>, at: usize, stays: bool) -> T {
            if stays { lane[at] } else { lane.remove(at) }
        }
        let Some(link) = self.link(number) else { return };
        let node = link.control;
        let is_heard = |turn: &Self| turn.world.control(node).link == Some(number);
        match lane {
            Lane::ToWorker => {
                let frame = take(&mut link.to_worker, at, stays);
                self.handle_at_worker(number, frame);
            }
            Lane::Commands => {
                let command = take(&mut link.commands, at, stays);
                self.handle_command(number, command);
            }
            Lane::ToControl => {
                let frame = take(&mut link.to_control, at, stays);
                if is_heard(self) {
                    self.handle_at_control(node, frame);
                }
            }
            Lane::Events => {
                let event = take(&mut link.events, at, stays);
                if is_heard(self) {
                    self.handle_event(node, event);
                }
            }
        }
    }
}
