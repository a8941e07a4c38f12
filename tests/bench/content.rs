//! What bulk is made of: bytes that no layer can shorten, from memory, as often as needed, at a pace.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

/// The bytes of one chunk: what our own transfers cut theirs into.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// The bytes that are there; what is longer repeats them. More than any cache holds.
const STOCK_BYTES: usize = 64 << 20;

/// A stock of bytes.
#[derive(Clone)]
pub(crate) struct Content(Bytes);

impl Content {
    /// The same in each process.
    pub(crate) fn new() -> Self {
        let mut random = 20_260_101_u64;
        let mut bytes = Vec::with_capacity(STOCK_BYTES);
        while bytes.len() < STOCK_BYTES {
            // A linear congruential generator (Knuth, MMIX): its upper half is random enough for whoever compresses.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&(random >> 32).to_le_bytes()[..4]);
        }
        Self(bytes.into())
    }

    /// The chunks of so many bytes, without copying any.
    pub(crate) fn chunks(&self, bytes: u64) -> impl Iterator<Item = Bytes> + Send + use<> {
        let stock = self.0.clone();
        let mut sent = 0_u64;
        std::iter::from_fn(move || {
            let left =
                usize::try_from(bytes.checked_sub(sent).filter(|left| *left > 0)?).unwrap_or(usize::MAX);
            // What is left after the remainder fits a usize, as it is below the length of the stock.
            let at = usize::try_from(sent % STOCK_BYTES as u64).unwrap_or(0);
            let length = left.min(CHUNK_BYTES).min(STOCK_BYTES - at);
            sent += length as u64;
            Some(stock.slice(at..at + length))
        })
    }
}

/// Lets bytes go at a pace, and no faster.
pub(crate) struct Pace {
    begin: Instant,
    bytes_per_second: f64,
    sent: f64,
}

impl Pace {
    /// From now on.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { begin: Instant::now(), bytes_per_second: bytes_per_second as f64, sent: 0.0 }
    }

    /// Waits until so many more bytes may go.
    pub(crate) async fn wait(&mut self, bytes: usize) {
        let due = self.begin + Duration::from_secs_f64(self.sent / self.bytes_per_second);
        self.sent += bytes as f64;
        sleep_until(due).await;
    }
}
