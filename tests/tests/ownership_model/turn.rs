//! One step from a state to the next: what the worker and the control nodes need of the world while they take it.

use std::sync::LazyLock;
use std::time::Instant;

use phalanx_jobs::OWNER_HELD_MIN;

use crate::network::{Link, ToControl, ToWorker};
use crate::promises::Breach;
use crate::rules::Rules;
use crate::world::{Control, Node, World};

/// Where the clock of every run starts. Nothing reads it: instants are this one and a number of steps.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The instant at which the arbiter judges after so many times of safety.
pub(crate) fn after_safe_times(safe_times: u8) -> Instant {
    *START + OWNER_HELD_MIN * u32::from(safe_times)
}

/// The instant at which every handover begins: what passes until its next step is decided by the model's timers.
pub(crate) fn start() -> Instant {
    *START
}

/// A step that is being taken.
pub(crate) struct Turn<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) world: World,
}

impl Turn<'_> {
    pub(crate) fn control(&mut self, node: Node) -> &mut Control {
        &mut self.world.controls[node as usize]
    }

    pub(crate) fn link(&mut self, number: u8) -> Option<&mut Link> {
        self.world.links.iter_mut().find(|link| link.number == number)
    }

    pub(crate) fn breach(&mut self, breach: Breach) {
        self.world.history.breaches.insert(breach);
    }

    pub(crate) fn send_to_worker(&mut self, link: u8, frame: ToWorker) {
        if let Some(link) = self.link(link).filter(|link| link.is_alive) {
            link.to_worker.push(frame);
        }
    }

    pub(crate) fn send_to_control(&mut self, link: u8, frame: ToControl) {
        if let Some(link) = self.link(link).filter(|link| link.is_alive) {
            link.to_control.push(frame);
        }
    }

    /// The worker links to a control node.
    pub(crate) fn connect(&mut self, node: Node) {
        let opened = &mut self.world.links_opened[node as usize];
        *opened += 1;
        // The arbiter compares links of one control node only, so the order among the others need not be told apart.
        let number = *opened * 2 + node as u8;
        let boot = self.world.control(node).boot;
        self.world.links.push(Link::new(number, node, boot));
        self.world.links.sort_unstable_by_key(|link| link.number);
        self.world.worker.redirected.take_if(|redirected| *redirected == node);
        self.handle_link(node, number);
        self.forget_links();
    }

    /// An end closes a link; the other one learns of it later.
    pub(crate) fn cut(&mut self, number: u8) {
        if let Some(link) = self.link(number) {
            link.cut();
        }
        self.forget_links();
    }

    /// Links in which no end believes any more.
    pub(crate) fn forget_links(&mut self) {
        let World { links, controls, .. } = &mut self.world;
        links.retain(|link| {
            link.session.is_some() || controls[link.control as usize].link == Some(link.number)
        });
        for link in links.iter_mut() {
            if link.session.is_none() {
                link.cut();
            }
        }
    }
}
