//! Programs on a terminal at a worker, which a person sees in his own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::agents::{Place, Running, eventually};
use crate::workers::{Cluster, at_control};

/// A terminal as a person has it, with all that was shown in it.
struct Screen {
    ours: OwnedFd,
    theirs: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Screen {
    fn open() -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let screen = Self { ours, theirs, shown: Arc::default() };
        screen.resize(33, 77);
        let (mut reading, shown) = (File::from(screen.ours.try_clone().unwrap()), screen.shown.clone());
        // It ends when nobody holds the other end any more.
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(length @ 1..) = reading.read(&mut buffer) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        screen
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.ours, size).unwrap();
    }

    fn stream(&self) -> Stdio {
        self.theirs.as_fd().try_clone_to_owned().unwrap().into()
    }

    /// Runs a program at the worker on a terminal.
    fn exec(&self, place: &Place, script: &str) -> Running {
        let arguments = at_control(&["exec", "-t", "worker-1", "--env", "MARK=here"], &["sh", "-c", script]);
        place.start_at(&arguments, self.stream(), self.stream(), self.stream())
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.theirs).unwrap()
    }

    fn types(&self, keys: &[u8]) {
        File::from(self.ours.try_clone().unwrap()).write_all(keys).unwrap();
    }

    fn shows(&self, text: &str) {
        eventually(&format!("{text:?} is shown"), || self.shown.lock().unwrap().contains(text).then_some(()));
    }
}

fn is_raw(modes: &Termios) -> bool {
    !modes.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
}

#[test]
fn keys_screen_and_size_are_those_of_the_terminal_here() {
    let place = Place::new();
    let _cluster = Cluster::start(&place);
    let screen = Screen::open();
    let before = screen.modes();
    assert!(!is_raw(&before));
    let script = "trap 'stty size' WINCH; trap 'echo caught $MARK; exit 9' INT; stty size; read line; echo got $line; \
                  while :; do sleep 0.05; done";
    let mut running = screen.exec(&place, script);
    screen.shows("33 77");
    assert!(is_raw(&screen.modes()), "every key goes to the program");
    screen.types(b"a word\r");
    screen.shows("got a word");
    screen.resize(44, 88);
    running.signal(Signal::WINCH);
    screen.shows("44 88");
    screen.types(b"\x03");
    screen.shows("caught here");
    assert_eq!(running.end().code, 9);
    let after = screen.modes();
    assert_eq!(after.local_modes, before.local_modes, "the terminal is as it was");
    assert_eq!((after.input_modes, after.output_modes), (before.input_modes, before.output_modes));
}

#[test]
fn the_terminal_is_put_back_whatever_comes() {
    let place = Place::new();
    let mut cluster = Cluster::start(&place);
    let screen = Screen::open();
    let before = screen.modes().local_modes;
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = screen.exec(&place, deaf);
    screen.shows("ready");
    running.signal(Signal::TERM);
    // Two of one kind may come as one.
    running.signal(Signal::HUP);
    assert_eq!(running.end().code, 130, "the second one is meant for this program");
    assert_eq!(screen.modes().local_modes, before);

    let arguments = at_control(&["exec", "-t", "worker-1"], &["no-such-program"]);
    let denied = place.start_at(&arguments, screen.stream(), screen.stream(), screen.stream());
    assert_eq!(denied.end().code, 255);
    assert_eq!(screen.modes().local_modes, before);
    let piped = place.run(&arguments).ends_with(255);
    assert!(piped.err.contains("this is no terminal"), "{piped:?}");

    let running = screen.exec(&place, "echo again; sleep 1000");
    screen.shows("again");
    cluster.control.signal(Signal::KILL);
    cluster.control.end();
    assert_eq!(running.end().code, 255, "the link is lost");
    assert_eq!(screen.modes().local_modes, before);
}
