//! QUIC with all requests on one stream, each with its length and a number: the bare echo that we are held against. Bulk
//! goes over a connection of its own, and both ends hash it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::quinn_echo::{BULK, Dialler, FRAMES, HEAD_BYTES, frame_bytes};
use crate::Failure;
use crate::client::{Caller, Client, each_millisecond, say, take_orders};
use crate::content::{CHUNK_BYTES, Content, Pace};
use crate::order::{Figures, Order};

/// How many requests wait to be written, and how many go with one write.
const REQUESTS_WAITING_MAX: usize = 256;

/// The size of the calls beside bulk.
const CALL_BYTES: usize = 64;

/// The end that asks.
pub(super) async fn ask(greeting: &str) -> Result<(), Failure> {
    let dialler = Dialler::new(greeting)?;
    let (calls, bulk) = (dialler.connect().await?, dialler.connect().await?);
    let frames = Frames::open(&calls).await?;
    say("ready")?;
    take_orders(Connections { frames, bulk, content: Content::new() }).await
}

struct Connections {
    frames: Frames,
    bulk: Connection,
    content: Content,
}

impl Connections {
    /// Sends chunks and hashes them. Says how long it took until the other end had the same hash.
    async fn send(
        &self,
        chunks: impl Iterator<Item = Bytes>,
        mut pace: Option<Pace>,
    ) -> Result<Figures, Failure> {
        let (mut sender, mut receiver) = self.bulk.open_bi().await?;
        sender.write_all(&[BULK]).await?;
        let (begin, mut hasher, mut bytes) = (Instant::now(), blake3::Hasher::new(), 0);
        for chunk in chunks {
            if let Some(pace) = &mut pace {
                pace.wait(chunk.len()).await;
            }
            hasher.update(&chunk);
            bytes += chunk.len();
            sender.write_chunk(chunk).await?;
        }
        sender.finish()?;
        if receiver.read_to_end(32).await? != hasher.finalize().as_bytes() {
            return Err("other bytes have arrived".into());
        }
        Ok(Figures { bytes: bytes as f64, seconds: begin.elapsed().as_secs_f64(), ..Figures::default() })
    }

    async fn beside(&self, bytes_per_second: u64, duration: Duration) -> Result<Figures, Failure> {
        let bytes = bytes_per_second * u64::try_from(duration.as_millis())? / 1_000;
        let sending = self.send(self.content.chunks(bytes), Some(Pace::new(bytes_per_second)));
        let (bulk, calls) =
            tokio::join!(sending, each_millisecond(self.frames.clone(), CALL_BYTES, duration));
        let bulk = bulk?;
        Ok(Figures { bytes: bulk.bytes, seconds: bulk.seconds, ..calls })
    }
}

impl Client for Connections {
    type Caller = Frames;

    async fn callers(&self, count: usize) -> Result<Vec<Frames>, Failure> {
        Ok(vec![self.frames.clone(); count])
    }

    async fn more(&self, order: &Order) -> Result<Figures, Failure> {
        match order {
            Order::Bulk { bytes } => self.send(self.content.chunks(*bytes), None).await,
            Order::Beside { bytes_per_second, duration_ms } => {
                self.beside(*bytes_per_second, Duration::from_millis(*duration_ms)).await
            }
            _ => Err(format!("this peer does not know {order}").into()),
        }
    }
}

/// Who waits for the answer of which number.
type Waiting = Arc<Mutex<BTreeMap<u32, oneshot::Sender<Bytes>>>>;

/// The stream with all requests.
#[derive(Clone)]
struct Frames {
    requests: mpsc::Sender<(u32, Bytes)>,
    waiting: Waiting,
    next: Arc<AtomicU32>,
}

impl Frames {
    async fn open(connection: &Connection) -> Result<Self, Failure> {
        let (mut sender, receiver) = connection.open_bi().await?;
        sender.write_all(&[FRAMES]).await?;
        let (requests, to_write) = mpsc::channel(REQUESTS_WAITING_MAX);
        let waiting = Waiting::default();
        tokio::spawn(write(sender, to_write));
        tokio::spawn(read(receiver, waiting.clone()));
        Ok(Self { requests, waiting, next: Arc::default() })
    }
}

impl Caller for Frames {
    async fn call(&mut self, payload: Bytes) -> Result<(), Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, answer);
        self.requests.send((number, payload.clone())).await?;
        if answered.await? == payload { Ok(()) } else { Err("another answer than the request".into()) }
    }
}

/// Writes what waits, all of it with one write.
async fn write(mut sender: SendStream, mut to_write: mpsc::Receiver<(u32, Bytes)>) -> Result<(), Failure> {
    let (mut requests, mut buffer) = (Vec::new(), BytesMut::new());
    while to_write.recv_many(&mut requests, REQUESTS_WAITING_MAX).await > 0 {
        for (number, payload) in requests.drain(..) {
            buffer.put_u32(u32::try_from(payload.len())?);
            buffer.put_u32(number);
            buffer.put_slice(&payload);
        }
        sender.write_chunk(buffer.split().freeze()).await?;
    }
    Ok(())
}

/// Gives each answer to who waits for it.
async fn read(mut receiver: RecvStream, waiting: Waiting) -> Result<(), Failure> {
    let mut come = BytesMut::new();
    while let Some(chunk) = receiver.read_chunk(CHUNK_BYTES, true).await? {
        come.extend_from_slice(&chunk.bytes);
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(length) = frame_bytes(&come) {
            let mut frame = come.split_to(length).freeze();
            let number = frame.slice(4..HEAD_BYTES).get_u32();
            frame.advance(HEAD_BYTES);
            if let Some(answer) = waiting.remove(&number) {
                // A caller that has gone away does not want it.
                let _ = answer.send(frame);
            }
        }
    }
    Ok(())
}
