//! Who is at what: a later call that sends the same to the same place takes it over from an earlier one.
//!
//! The earlier one is as a rule the same call before its link was lost, which its worker has not noticed yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::error::FilesError;

/// How long a call may take to let go: the longest that one write to a slow disk lasts.
const RELEASE_MAX: Duration = Duration::from_secs(30);

/// What is claimed. There is at most one claim of each running transfer.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<BTreeMap<String, watch::Sender<bool>>>);

/// A claim. It ends when it, and whoever listens to it, are dropped.
#[derive(Debug)]
pub(super) struct Claim(watch::Receiver<bool>);

impl Claims {
    /// Claims something for one call, once the one before has let go of it. Dropping the future claims nothing.
    ///
    /// # Errors
    /// [`FilesError::InUse`] when the one before does not let go.
    pub(super) async fn claim(&self, name: &str) -> Result<Claim, FilesError> {
        loop {
            let before = match self.take(name) {
                Ok(claim) => return Ok(claim),
                Err(before) => before,
            };
            before.send_replace(true);
            timeout(RELEASE_MAX, before.closed()).await.map_err(|_| FilesError::InUse)?;
        }
    }

    fn take(&self, name: &str) -> Result<Claim, watch::Sender<bool>> {
        let mut claimed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.retain(|_, claim| !claim.is_closed());
        if let Some(before) = claimed.get(name) {
            return Err(before.clone());
        }
        let (sender, receiver) = watch::channel(false);
        claimed.insert(name.to_owned(), sender);
        Ok(Claim(receiver))
    }
}

impl Claim {
    /// Resolves when a later call wants what is claimed.
    pub(super) fn wanted(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut wanted = self.0.clone();
        async move {
            if wanted.wait_for(|wanted| *wanted).await.is_err() {
                std::future::pending().await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_later_claim_waits_until_the_earlier_one_has_let_go() {
        let claims = Claims::default();
        let first = claims.claim("a").await.unwrap();
        let other = claims.claim("b").await.unwrap();
        let (mut wanted, mut unwanted) = (Box::pin(first.wanted()), Box::pin(other.wanted()));
        assert!(poll(&mut wanted).is_pending());
        let mut second = Box::pin(claims.claim("a"));
        assert!(poll(&mut second).is_pending());
        assert!(poll(&mut wanted).is_ready() && poll(&mut unwanted).is_pending());
        assert!(poll(&mut second).is_pending());
        drop(first);
        let second = second.await.unwrap();
        assert!(poll(&mut Box::pin(second.wanted())).is_pending(), "nobody wants the new claim");
    }
}
