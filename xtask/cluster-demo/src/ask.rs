//! The small questions that a control node asks the workers all the time.
//!
//! They are asked at their times, whether or not earlier ones have their answers: otherwise one worker that does not
//! answer would keep the demo from seeing how the others do, and from counting what it would have asked meanwhile.

use std::time::Duration;

use phalanx::{CallError, CallOptions, Control, NodeId, Ownership, Reason};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::digest::{Digest, tell};
use crate::protocol::Notice;

/// How often each control node asks some worker something small.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// How long an answer is waited for.
const ASK_DEADLINE: Duration = Duration::from_secs(5);
/// How often answers are told.
const TELL_INTERVAL: Duration = Duration::from_millis(250);
/// How many questions wait for answers: what is asked until the first deadline passes, and some.
const ASKED_MAX: usize = 300;

/// What became of one question: how long its answer took, or to whom it was and why there is none.
type Answer = Result<u64, (NodeId, CallError<String>)>;

/// Asks one worker after the other, and tells how long the answers took. Ends when it is aborted.
///
/// It begins when the node owns its share: before that the node knows nobody, and says so to whoever asks, which is no
/// word on how the cluster does.
pub(crate) async fn ask(control: Control, workers: watch::Receiver<Vec<NodeId>>) {
    let owns = |seen: &Ownership| seen.placement().owner_nodes().contains(control.id());
    if control.ownership().wait_for(owns).await.is_err() {
        return;
    }
    let mut ticks = interval(ASK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut tells = interval(TELL_INTERVAL);
    let (mut asked, mut latencies_us, mut turn) = (JoinSet::new(), Vec::new(), 0_u64);
    loop {
        tokio::select! {
            biased;
            _ = tells.tick() => if !latencies_us.is_empty() {
                tell(&Notice::Asked { latencies_us: std::mem::take(&mut latencies_us) });
            },
            Some(answer) = asked.join_next() => match answer {
                Ok(Ok(latency_us)) => latencies_us.push(latency_us),
                Ok(Err((worker, error))) => tell_unanswered(&worker, &error),
                Err(_) => {}
            },
            _ = ticks.tick(), if asked.len() < ASKED_MAX => {
                turn += 1;
                let workers = workers.borrow();
                if let Some(worker) = workers.get(turn as usize % workers.len().max(1)) {
                    asked.spawn(ask_one(control.clone(), worker.clone(), turn));
                }
            }
        }
    }
}

async fn ask_one(control: Control, worker: NodeId, number: u64) -> Answer {
    let options = CallOptions { deadline: ASK_DEADLINE, ..CallOptions::default() };
    let begun = Instant::now();
    match control.worker(&worker).with(options).request::<Digest>(number).await {
        Ok(answer) if answer == number => {
            Ok(u64::try_from((Instant::now() - begun).as_micros()).unwrap_or(u64::MAX))
        }
        Ok(answer) => Err((worker, CallError::Failed(format!("{answer} came for {number}")))),
        Err(error) => Err((worker, error)),
    }
}

fn tell_unanswered(worker: &NodeId, error: &CallError<String>) {
    let not_connected = error.reason() == Some(&Reason::NotConnected);
    tell(&Notice::Unanswered { worker: worker.to_string(), reason: error.to_string(), not_connected });
}
