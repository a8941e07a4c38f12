//! What is under way: frames on the lanes of a link, which keep their order within a lane, and words between control
//! nodes, which keep none.

use crate::world::{ClaimOf, Node, Offer};

/// One end of a session, as far as fences go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Session {
    pub(crate) stage: Stage,
    /// The greatest fence that it has held.
    pub(crate) held: u8,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Stage {
    #[default]
    Opening,
    Granted(u8),
    Retired,
}

/// What to do with a frame that needs the present fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    Yes,
    Late,
    /// No honest peer sends it: the link is closed.
    Violation,
}

impl Session {
    pub(crate) fn admit(self, fence: u8) -> Admitted {
        match self.stage {
            Stage::Granted(present) if present == fence => Admitted::Yes,
            Stage::Opening if fence > self.held => Admitted::Violation,
            Stage::Opening | Stage::Granted(_) | Stage::Retired => Admitted::Late,
        }
    }

    pub(crate) fn grant(&mut self, fence: u8) {
        self.stage = Stage::Granted(fence);
        self.held = self.held.max(fence);
    }

    pub(crate) fn retire(&mut self) {
        if let Stage::Granted(_) = self.stage {
            self.stage = Stage::Retired;
        }
    }
}

/// A frame to the worker, on the control lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ToWorker {
    Attach(ClaimOf),
    Redirect(Node),
    Beat { fence: u8, roster: u8 },
    Ack { fence: u8, through: u8 },
}

/// A frame to a control node, on the control lane. The one snapshot of the worker's log comes with the grant: both are
/// sent together, on one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ToControl {
    Attached { fence: u8, acked: u8 },
    Nack { present: Node, fence: u8 },
    StandDown { fence: u8 },
}

/// A command on its way to the worker, on the request lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Command {
    pub(crate) generation: u8,
    pub(crate) fence: u8,
    /// The boot of its sender, which no frame names: only the promises look at it.
    pub(crate) boot: u8,
}

/// An event on its way to a control node, on the event lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) fence: u8,
    pub(crate) sequence: u8,
}

/// The lanes on which something can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    ToWorker,
    ToControl,
    Commands,
    Events,
}

impl Lane {
    pub(crate) const ALL: [Lane; 4] = [Lane::ToWorker, Lane::ToControl, Lane::Commands, Lane::Events];
}

/// A link between the worker and a control node. It is there while an end believes in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Link {
    pub(crate) number: u8,
    pub(crate) control: Node,
    /// The boot of the control node that it leads to.
    pub(crate) boot: u8,
    /// Whether frames still pass.
    pub(crate) is_alive: bool,
    /// The worker's session; `None` once the worker knows that the link is lost.
    pub(crate) session: Option<Session>,
    pub(crate) to_worker: Vec<ToWorker>,
    pub(crate) to_control: Vec<ToControl>,
    pub(crate) commands: Vec<Command>,
    pub(crate) events: Vec<Event>,
}

impl Link {
    pub(crate) fn new(number: u8, control: Node, boot: u8) -> Self {
        Self {
            number,
            control,
            boot,
            is_alive: true,
            session: Some(Session::default()),
            to_worker: Vec::new(),
            to_control: Vec::new(),
            commands: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn waiting(&self, lane: Lane) -> usize {
        match lane {
            Lane::ToWorker => self.to_worker.len(),
            Lane::ToControl => self.to_control.len(),
            Lane::Commands => self.commands.len(),
            Lane::Events => self.events.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        Lane::ALL.iter().all(|lane| self.waiting(*lane) == 0)
    }

    /// Nothing passes any more.
    pub(crate) fn cut(&mut self) {
        self.is_alive = false;
        self.to_worker.clear();
        self.to_control.clear();
        self.commands.clear();
        self.events.clear();
    }
}

/// What control nodes say to each other about the worker. The same word said again while it is under way is one word: the
/// second changes nothing that its loss would not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Word {
    Wanted { to: Node, generation: u8 },
    Offer { to: Node, offer: Offer },
    Declined { to: Node, fence: u8, number: u8 },
}

impl Word {
    pub(crate) fn to(self) -> Node {
        match self {
            Word::Wanted { to, .. } | Word::Offer { to, .. } | Word::Declined { to, .. } => to,
        }
    }
}
