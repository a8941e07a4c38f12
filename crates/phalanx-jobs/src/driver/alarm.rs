//! When a driver is woken next.

use std::future::pending;
use std::pin::Pin;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// Wakes a driver when its cores want that, or sooner.
///
/// Cores want to be woken at the deadline of each call, and hardly any passes. So a time that is set stays, though nobody wants it any
/// more, until it has passed or an earlier one is wanted; whoever is woken without need sets it anew.
#[derive(Default)]
pub(super) struct Alarm {
    /// Made when it is needed first.
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Alarm {
    /// The cores want to be woken then.
    pub(super) fn set(&mut self, wanted: Option<Instant>) {
        let Some(wanted) = wanted.filter(|wanted| self.at.is_none_or(|at| *wanted < at)) else { return };
        self.at = Some(wanted);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(wanted.into()),
            None => self.sleep = Some(Box::pin(sleep_until(wanted.into()))),
        }
    }

    /// Waits until the time has come; for ever if there is none. Cancellation safe.
    pub(super) async fn wait(&mut self) {
        match &mut self.sleep {
            Some(sleep) if self.at.is_some() => sleep.as_mut().await,
            _ => pending().await,
        }
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;
    use crate::driver::now;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_earliest_time_and_again_when_it_is_set_anew() {
        let (start, seconds) = (now(), Duration::from_secs);
        let mut alarm = Alarm::default();
        assert!(alarm.wait().now_or_never().is_none(), "nothing is wanted");
        alarm.set(Some(start + seconds(9)));
        alarm.set(Some(start + seconds(3)));
        alarm.set(Some(start + seconds(5)));
        alarm.wait().await;
        assert_eq!(now(), start + seconds(3));
        assert!(alarm.wait().now_or_never().is_none(), "it has rung, and only once");
        alarm.set(Some(start + seconds(5)));
        advance(seconds(1)).await;
        assert!(alarm.wait().now_or_never().is_none());
        // What nobody wants any more rings all the same.
        alarm.set(None);
        alarm.wait().await;
        assert_eq!(now(), start + seconds(5));
    }
}
