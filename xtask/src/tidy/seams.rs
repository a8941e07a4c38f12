//! Time and randomness come from outside, through a few named places.
//!
//! A simulated run replaces exactly these places. Whoever reads a clock or draws a random number beside them makes a
//! run that cannot be replayed. Clippy bans some of the same calls by their full path; this rule also sees what has no
//! path of its own (features, traits, other crates' names for the same thing) and keeps the list of exceptions small.

use super::Violation;
use super::allow::{Allowed, Banned};
use super::source::Sources;

const WORDS: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "UNIX_EPOCH.elapsed",
    "thread_rng",
    "rand::rng",
    "rand::random",
    "OsRng",
    "SystemRandom",
    "RandomState",
    "getrandom",
    "from_os_rng",
    "from_entropy",
];

const ALLOWED: &[Allowed] = &[
    Allowed {
        file: "crates/phalanx-cli/src/command/cp.rs",
        word: "Instant::now",
        reason: "how long a copy took, on tokio's clock",
    },
    Allowed {
        file: "crates/phalanx-cli/src/command/cp/progress.rs",
        word: "Instant::now",
        reason: "when a log gets its next line, on tokio's clock",
    },
    Allowed {
        file: "crates/phalanx-cli/src/command/node/ending.rs",
        word: "Instant::now",
        reason: "the deadline of a watched end, on tokio's clock",
    },
    Allowed {
        file: "crates/phalanx-cli/src/command/task/tell.rs",
        word: "Instant::now",
        reason: "until when the end of a task is waited for, on tokio's clock",
    },
    Allowed {
        file: "crates/phalanx-sim/src/world/clock.rs",
        word: "Instant::now",
        reason: "when a simulation begins, on tokio's clock, which is paused there",
    },
    Allowed {
        file: "crates/phalanx-sim/src/prober/jobs.rs",
        word: "Instant::now",
        reason: "when a probing task tells next, on tokio's clock, which is paused there",
    },
    Allowed {
        file: "crates/phalanx-transport/src/entropy.rs",
        word: "SystemRandom",
        reason: "the real entropy behind the seam",
    },
    Allowed {
        file: "crates/phalanx-drivers/src/files/broadcast.rs",
        word: "Instant::now",
        reason: "how long one taker holds up the others, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-drivers/src/files/client.rs",
        word: "Instant::now",
        reason: "how long a try has taken, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-drivers/src/files/fan_out.rs",
        word: "Instant::now",
        reason: "until when those who are ready begin together, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-jobs/src/driver/mod.rs",
        word: "Instant::now",
        reason: "the drivers' clock, which is tokio's and can be paused",
    },
    Allowed {
        file: "crates/phalanx-membership/src/driver/shell.rs",
        word: "Instant::now",
        reason: "the driver's clock, which is tokio's and can be paused",
    },
    Allowed {
        file: "crates/phalanx-transport/src/prove/mod.rs",
        word: "Instant::now",
        reason: "the deadline of a proof, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-transport/src/prove/tcp.rs",
        word: "Instant::now",
        reason: "the deadline of a proof, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-transport/src/tcp/side.rs",
        word: "Instant::now",
        reason: "the deadline of a proof, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-transport/src/dial/mod.rs",
        word: "Instant::now",
        reason: "when the next transport is tried, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-transport/src/mux/driver.rs",
        word: "Instant::now",
        reason: "the driver of the multiplexer, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-transport/src/quic/settings.rs",
        word: "Instant::now",
        reason: "the lifetime of tokens, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-transport/src/evidence/mod.rs",
        word: "Instant::now",
        reason: "when a peer is pinged, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx/src/cluster.rs",
        word: "Instant::now",
        reason: "until when the shares of the others are waited for, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx/src/events.rs",
        word: "Instant::now",
        reason: "when control nodes went away, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx/src/metadata.rs",
        word: "Instant::now",
        reason: "the driver of the metadata, on tokio's clock",
    },
    Allowed {
        file: "crates/phalanx/src/jobs/supervising.rs",
        word: "Instant::now",
        reason: "the driver of supervision, on tokio's clock",
    },
    Allowed {
        file: "crates/phalanx/src/formation.rs",
        word: "Instant::now",
        reason: "until when the expected control nodes are waited for, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-discovery/src/context.rs",
        word: "getrandom",
        reason: "the real entropy behind the seam, for who uses this crate alone",
    },
    Allowed {
        file: "crates/phalanx-discovery/src/dns/questions.rs",
        word: "Instant::now",
        reason: "how much time a look-up has left, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-discovery/src/dns/search.rs",
        word: "Instant::now",
        reason: "until when a look-up may take, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx-discovery/src/multicast/driver.rs",
        word: "Instant::now",
        reason: "when beacons are sent and heard, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx/src/environment.rs",
        word: "SystemTime::now",
        reason: "the real wall clock behind the seam",
    },
    Allowed {
        file: "crates/phalanx/src/control.rs",
        word: "Instant::now",
        reason: "the `now` that cores start with, from tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx/src/locations.rs",
        word: "Instant::now",
        reason: "until when lost workers are looked for here, on tokio's clock, which can be paused",
    },
    Allowed {
        file: "crates/phalanx/src/mesh.rs",
        word: "Instant::now",
        reason: "when to dial again, on tokio's clock, which can be paused",
    },
];

/// Clocks and random numbers outside the named places.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    Banned {
        rule: "seams",
        words: WORDS,
        instead: "cores take `now` and a seed, drivers use tokio's clock and `phalanx_base::Entropy`; a new place for \
                  the real thing needs an entry with its reason in xtask/src/tidy/seams.rs",
        allowed: ALLOWED,
        list: "xtask/src/tidy/seams.rs",
    }
    .check(sources)
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{places, sources};
    use super::*;

    #[test]
    fn every_way_to_a_clock_or_to_chance_is_found() {
        for word in WORDS {
            let file = ("crates/new/src/core.rs", format!("//! Core.\nfn f() {{ x::{word}(); }}"));
            let found = check(&sources(&[(file.0, &file.1)]));
            assert!(places(&found).contains(&"crates/new/src/core.rs:2"), "{word}");
        }
    }

    #[test]
    fn tests_may_read_the_clock() {
        let text = "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }";
        let found = check(&sources(&[("crates/new/src/core.rs", text)]));
        assert!(!places(&found).iter().any(|place| place.starts_with("crates/new")));
    }
}
