//! The end that asks, in a process of its own: takes orders from its input and answers each with what came of it.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::{Instant, MissedTickBehavior};

use crate::Failure;
use crate::order::{Figures, Order};

/// How many calls of one each millisecond may wait for their answers; what comes on top counts as failed.
const CALLS_WAITING_MAX: usize = 4_096;

/// Whoever makes one call at a time.
pub(crate) trait Caller: Send + 'static {
    /// Sends a request and waits for its answer, which is as long.
    fn call(&mut self, payload: Bytes) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One end of a pair that is measured.
pub(crate) trait Client: Send + Sync {
    type Caller: Caller;

    /// So many callers, which call at the same time.
    fn callers(&self, count: usize) -> impl Future<Output = Result<Vec<Self::Caller>, Failure>> + Send;

    /// What is more than calls.
    fn more(&self, order: &Order) -> impl Future<Output = Result<Figures, Failure>> + Send {
        let refusal = format!("this peer does not know {order}");
        async move { Err(refusal.into()) }
    }
}

/// Takes orders until the input ends.
pub(crate) async fn take_orders(client: impl Client) -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let outcome = match line.parse()? {
            Order::Calls { concurrency, bytes, duration_ms } => {
                let duration = Duration::from_millis(duration_ms);
                match client.callers(concurrency).await {
                    Ok(callers) => Ok(closed_loop(callers, bytes, duration).await),
                    Err(error) => Err(error),
                }
            }
            other => client.more(&other).await,
        };
        match outcome {
            Ok(figures) => say(&figures.to_string())?,
            Err(error) => say(&format!("error {}", error.to_string().replace('\n', " ")))?,
        }
    }
    Ok(())
}

/// Says that this process is ready, and what the other end needs to know.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// Waits until whoever has started this process ends, or wants it to.
pub(crate) async fn input_ends() -> Result<(), Failure> {
    let mut rest = Vec::new();
    tokio::io::stdin().take(1 << 20).read_to_end(&mut rest).await?;
    Ok(())
}

/// Each caller makes one call after the other until the time is over.
pub(crate) async fn closed_loop<C: Caller>(callers: Vec<C>, bytes: usize, duration: Duration) -> Figures {
    let payload = Bytes::from(vec![7; bytes]);
    let begin = Instant::now();
    let end = begin + duration;
    let lanes: Vec<_> =
        callers.into_iter().map(|caller| tokio::spawn(lane(caller, payload.clone(), end))).collect();
    let (mut latencies_us, mut failed) = (Vec::new(), 0);
    for lane in lanes {
        match lane.await {
            Ok((latencies, failures)) => {
                latencies_us.extend(latencies);
                failed += failures;
            }
            Err(_) => failed += 1,
        }
    }
    Figures::of_latencies(latencies_us, failed, begin.elapsed().as_secs_f64())
}

async fn lane<C: Caller>(mut caller: C, payload: Bytes, end: Instant) -> (Vec<f64>, u64) {
    let (mut latencies_us, mut failed) = (Vec::new(), 0);
    let mut before = Instant::now();
    while before < end {
        let outcome = caller.call(payload.clone()).await;
        let now = Instant::now();
        match outcome {
            Ok(()) => latencies_us.push((now - before).as_secs_f64() * 1e6),
            Err(error) => {
                if failed == 0 {
                    eprintln!("a call failed: {error}");
                }
                failed += 1;
            }
        }
        before = now;
    }
    (latencies_us, failed)
}

/// One call each millisecond, whether the others are answered or not. Its latency counts from when it was due, so that
/// a stall counts for each call that it held up.
pub(crate) async fn each_millisecond<C: Caller + Clone>(
    caller: C,
    bytes: usize,
    duration: Duration,
) -> Figures {
    let payload = Bytes::from(vec![7; bytes]);
    let begin = Instant::now();
    let mut ticks = tokio::time::interval_at(begin, Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = tokio::task::JoinSet::new();
    let (mut latencies_us, mut failed) = (Vec::new(), 0);
    let mut take = |outcome| match outcome {
        Ok(Some(latency_us)) => latencies_us.push(latency_us),
        Ok(None) | Err(_) => failed += 1,
    };
    loop {
        let due = ticks.tick().await;
        if due >= begin + duration {
            break;
        }
        while let Some(outcome) = calls.try_join_next() {
            take(outcome);
        }
        if calls.len() >= CALLS_WAITING_MAX {
            take(Ok(None));
            continue;
        }
        let (mut caller, payload) = (caller.clone(), payload.clone());
        calls.spawn(async move {
            let outcome = caller.call(payload).await;
            outcome.is_ok().then(|| due.elapsed().as_secs_f64() * 1e6)
        });
    }
    while let Some(outcome) = calls.join_next().await {
        take(outcome);
    }
    Figures::of_latencies(latencies_us, failed, begin.elapsed().as_secs_f64())
}
