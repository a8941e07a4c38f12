//! One row of pieces for many takers, through queues with a bound.
//!
//! The pieces are shared, so that all queues together hold no more bytes than the longest of them. While a queue is full
//! everybody waits for its taker. But who keeps another one waiting whose queue has run empty has only so much time for that,
//! all in all; then it is cut off, and has to help itself later.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// How many pieces wait for one taker: with 256 KiB each, eight megabytes, so that a pause of some ten milliseconds holds up
/// nobody.
const PIECES_WAITING_MAX: usize = 32;

/// How often it is looked whether somebody waits for somebody else.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What a taker gets.
pub(super) struct Taker {
    /// Pieces, and `None` when they were all. A queue that ends without it was cut off.
    pub(super) pieces: mpsc::Receiver<Option<Bytes>>,
    /// Closed without a word when the queue is cut off: a taker may wait for something else than the next piece.
    pub(super) cut: oneshot::Receiver<()>,
}

struct Queue {
    pieces: mpsc::Sender<Option<Bytes>>,
    whole: oneshot::Sender<()>,
    /// How long others have waited for it in vain.
    held_up: Duration,
}

impl Queue {
    /// Whether its taker is there, and has nothing to do.
    fn waits(&self) -> bool {
        !self.pieces.is_closed() && self.pieces.capacity() == self.pieces.max_capacity()
    }
}

/// The queues of those who take.
pub(super) struct Broadcast {
    queues: Vec<Queue>,
    lag_max: Duration,
}

impl Broadcast {
    /// Nobody takes as yet. `lag_max` is how long one taker may hold up others, all in all.
    pub(super) fn new(lag_max: Duration) -> Self {
        Self { queues: Vec::new(), lag_max }
    }

    /// One more takes, from here on.
    pub(super) fn add(&mut self) -> Taker {
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        let (whole, cut) = oneshot::channel();
        self.queues.push(Queue { pieces, whole, held_up: Duration::ZERO });
        Taker { pieces: receiver, cut }
    }

    /// Whether nobody takes any more.
    pub(super) fn is_over(&self) -> bool {
        self.queues.iter().all(|queue| queue.pieces.is_closed())
    }

    /// Gives a piece to everybody. Who has gone away is forgotten.
    pub(super) async fn send(&mut self, piece: &Bytes) {
        self.give(Some(piece)).await;
    }

    /// Says that these were all.
    pub(super) async fn finish(mut self) {
        self.give(None).await;
        for queue in self.queues {
            // Who has gone away needs no word.
            let _ = queue.whole.send(());
        }
    }

    async fn give(&mut self, piece: Option<&Bytes>) {
        let mut at = 0;
        while at < self.queues.len() {
            if self.has_room(at).await {
                // There is room, or nobody who takes.
                let _ = self.queues[at].pieces.try_send(piece.cloned());
                at += 1;
            } else {
                self.queues.swap_remove(at);
            }
        }
    }

    /// Waits until a queue has room; `false` when its taker is gone, or has held up the others for too long.
    async fn has_room(&mut self, at: usize) -> bool {
        loop {
            if self.queues[at].pieces.is_closed() {
                return false;
            }
            if self.queues[at].pieces.capacity() > 0 {
                return true;
            }
            let begun = Instant::now();
            let _ = timeout(LOOK_INTERVAL, self.queues[at].pieces.reserve()).await;
            if self.queues.iter().any(Queue::waits) {
                let queue = &mut self.queues[at];
                queue.held_up += begun.elapsed();
                if queue.held_up > self.lag_max {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG_MAX: Duration = Duration::from_secs(2);

    fn piece(number: u8) -> Bytes {
        Bytes::from(vec![number])
    }

    async fn drain(mut taker: Taker) -> (usize, bool) {
        let mut count = 0;
        while let Some(piece) = taker.pieces.recv().await {
            match piece {
                Some(_) => count += 1,
                None => return (count, true),
            }
        }
        (count, false)
    }

    #[tokio::test(start_paused = true)]
    async fn all_get_all_and_one_that_stalls_is_cut_off() {
        let mut broadcast = Broadcast::new(LAG_MAX);
        let [one, two, mut stalled, gone] = std::array::from_fn(|_| broadcast.add());
        drop(gone);
        let (one, two) = (tokio::spawn(drain(one)), tokio::spawn(drain(two)));
        let begun = Instant::now();
        for number in 0..200 {
            broadcast.send(&piece(number)).await;
        }
        broadcast.finish().await;
        assert_eq!((one.await.unwrap(), two.await.unwrap()), ((200, true), (200, true)));
        let held_up = begun.elapsed();
        assert!(held_up >= LAG_MAX && held_up < 2 * LAG_MAX, "{held_up:?}");
        let mut left = 0;
        while let Some(piece) = stalled.pieces.recv().await {
            assert!(piece.is_some(), "it is not told that these were all");
            left += 1;
        }
        assert_eq!(left, PIECES_WAITING_MAX);
        assert!(stalled.cut.await.is_err(), "it hears of it, whatever it waits for");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_always_slower_holds_up_the_others_no_longer_than_it_may() {
        let mut broadcast = Broadcast::new(LAG_MAX);
        let (fast, mut slow) = (tokio::spawn(drain(broadcast.add())), broadcast.add());
        let slow = tokio::spawn(async move {
            let mut count = 0;
            while let Some(Some(_)) = slow.pieces.recv().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
                count += 1;
            }
            count
        });
        let begun = Instant::now();
        for number in 0..2_000_u32 {
            broadcast.send(&piece(number as u8)).await;
        }
        broadcast.finish().await;
        assert_eq!(fast.await.unwrap(), (2_000, true));
        let held_up = begun.elapsed();
        assert!(held_up < 2 * LAG_MAX, "{held_up:?}");
        assert!(slow.await.unwrap() < 2_000);
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_else_waits_a_slow_one_has_all_the_time() {
        let mut broadcast = Broadcast::new(LAG_MAX);
        let takers = [broadcast.add(), broadcast.add()].map(|mut taker| {
            tokio::spawn(async move {
                let mut count = 0;
                while let Some(Some(_)) = taker.pieces.recv().await {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    count += 1;
                }
                count
            })
        });
        for number in 0..200 {
            broadcast.send(&piece(number)).await;
        }
        broadcast.finish().await;
        for taker in takers {
            assert_eq!(taker.await.unwrap(), 200);
        }
    }
}
