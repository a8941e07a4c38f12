//! The newest output of a container, for whoever asks while it runs and for a while after.
//!
//! Events go to control nodes, and not to operators, who ask. Who is attached reads all: the container waits for him, as a
//! program does whose pipe is full. Who asks now and then reads what there is, and what has gone is named as a gap.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::class::{CHUNK_BYTES_MAX, Chunk, Gap, OutputState, PAGE_BYTES_MAX, Page, Stream};
use super::run::BACKLOG_BYTES_MAX;

/// How long a container waits for whoever is attached to it: longer than one question takes, so that who is still there has
/// asked by then.
pub(super) const READER_AWAY_MAX: Duration = Duration::from_secs(30);

/// The longest wait of one question.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(20);

/// What a piece costs beside its bytes, here and in a page.
const PIECE_OVERHEAD_BYTES: usize = 64;

/// Output of one stream that came together.
#[derive(Debug)]
struct Piece {
    offset: u64,
    stream: Stream,
    bytes: BytesMut,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    fn cost(&self) -> usize {
        self.bytes.len() + PIECE_OVERHEAD_BYTES
    }
}

#[derive(Debug)]
struct State {
    pieces: VecDeque<Piece>,
    cost: usize,
    end: u64,
    /// How far the reader is who reads ahead of the others.
    read: u64,
    asked_at: Instant,
    /// Whether what is unread stays.
    waits: bool,
    has_begun: bool,
    over: Option<OutputState>,
}

impl State {
    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        match self.pieces.back_mut() {
            // Who writes byte by byte does not pay for each of them.
            Some(last) if last.stream == stream && last.bytes.len() + bytes.len() <= CHUNK_BYTES_MAX => {
                last.bytes.extend_from_slice(bytes);
                self.cost += bytes.len();
            }
            _ => {
                let piece = Piece { offset: self.end, stream, bytes: BytesMut::from(bytes) };
                self.cost += piece.cost();
                self.pieces.push_back(piece);
            }
        }
        self.end += bytes.len() as u64;
        self.make_room();
    }

    /// Drops the oldest pieces beyond the cap; unread ones only where nobody waits for them.
    fn make_room(&mut self) {
        while self.cost > BACKLOG_BYTES_MAX
            && let Some(oldest) = self.pieces.pop_front_if(|oldest| !self.waits || oldest.end() <= self.read)
        {
            self.cost -= oldest.cost();
        }
    }

    /// Whether the container has to wait.
    fn is_full(&self) -> bool {
        self.waits && self.cost > BACKLOG_BYTES_MAX
    }

    fn page(&self, from: u64) -> Page {
        let first = self.pieces.front().map_or(self.end, |oldest| oldest.offset);
        let gap = (from < first).then_some(Gap { from, to: first });
        let mut page = Page { gap, chunks: Vec::new(), next: from.max(first), state: OutputState::GoesOn };
        let (mut cost, begin) = (0, page.next);
        for piece in self.pieces.iter().skip_while(|piece| piece.end() <= begin) {
            cost += piece.cost();
            if cost > PAGE_BYTES_MAX {
                return page;
            }
            let known = usize::try_from(page.next - piece.offset).unwrap_or(usize::MAX);
            let bytes = Bytes::copy_from_slice(piece.bytes.get(known..).unwrap_or_default());
            let (offset, stream) = (page.next, piece.stream);
            page.next += bytes.len() as u64;
            page.chunks.push(Chunk { offset, stream, bytes });
        }
        page.state = self.over.unwrap_or(match self.has_begun {
            true => OutputState::GoesOn,
            false => OutputState::Begins,
        });
        page
    }
}

/// The newest output of one container.
#[derive(Debug)]
pub(super) struct Backlog(watch::Sender<State>);

/// This instant, by the clock of the runtime.
fn now() -> Instant {
    sleep(Duration::ZERO).deadline()
}

impl Backlog {
    /// An empty one. Where the container waits, what is unread stays until nobody asks any more.
    pub(super) fn new(waits: bool) -> Self {
        Self(watch::Sender::new(State {
            pieces: VecDeque::new(),
            cost: 0,
            end: 0,
            read: 0,
            asked_at: now(),
            waits,
            has_begun: false,
            over: None,
        }))
    }

    /// The container runs.
    pub(super) fn begin(&self) {
        self.0.send_modify(|state| state.has_begun = true);
    }

    /// Adds output.
    pub(super) fn push(&self, stream: Stream, bytes: &[u8]) {
        self.0.send_modify(|state| state.push(stream, bytes));
    }

    /// Waits until more may be added, which is at once unless a reader is waited for. Cancellation safe.
    pub(super) async fn room(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let asked_at = {
                let state = changes.borrow_and_update();
                if !state.is_full() {
                    return;
                }
                state.asked_at
            };
            if timeout_at(asked_at + READER_AWAY_MAX, changes.changed()).await.is_err() {
                self.0.send_modify(|state| {
                    state.waits = false;
                    state.make_room();
                });
            }
        }
    }

    /// There is no more. The first word stays.
    pub(super) fn close(&self, over: OutputState) {
        self.0.send_modify(|state| {
            state.over.get_or_insert(over);
        });
    }

    /// What there is from an offset on; waits for so long where there is nothing yet, and of a container that has not begun for
    /// its begin. Cancellation safe.
    pub(super) async fn page(&self, from: u64, wait: Duration) -> Page {
        self.0.send_modify(|state| {
            state.asked_at = now();
            state.read = state.read.max(from.min(state.end));
            state.make_room();
        });
        let mut changes = self.0.subscribe();
        let had_begun = changes.borrow().has_begun;
        let has_more =
            |state: &State| state.end > from || state.over.is_some() || state.has_begun != had_begun;
        // At the end of the wait there is an empty page.
        let _ = timeout(wait.min(WAIT_MAX), changes.wait_for(has_more)).await;
        self.0.borrow().page(from)
    }

    /// What it takes.
    pub(super) fn cost(&self) -> usize {
        self.0.borrow().cost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads on from an offset, without waiting.
    async fn read(backlog: &Backlog, from: &mut u64) -> (Vec<u8>, Option<Gap>) {
        let page = backlog.page(*from, Duration::ZERO).await;
        let mut at = page.gap.map_or(*from, |gap| gap.to);
        for chunk in &page.chunks {
            assert_eq!(chunk.offset, at);
            at += chunk.bytes.len() as u64;
        }
        assert_eq!(page.next, at);
        *from = page.next;
        (page.chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect(), page.gap)
    }

    proptest! {
        // Each has megabytes.
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whatever is written and read in turns: each byte is read once and in order, or lies in a gap; without a gap where
        /// the container waits; and the cap holds.
        #[test]
        fn each_byte_is_read_or_in_a_gap(
            steps in prop::collection::vec((any::<bool>(), 1..CHUNK_BYTES_MAX, 0..8_u8), 1..150),
            waits in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let backlog = Backlog::new(waits);
                backlog.begin();
                let (mut written, mut from) = (0_u64, 0);
                for (is_stderr, length, then) in steps {
                    let stream = if is_stderr { Stream::Stderr } else { Stream::Stdout };
                    while backlog.0.borrow().is_full() {
                        assert_eq!(read(&backlog, &mut from).await.1, None);
                    }
                    let bytes: Vec<u8> = (written..written + length as u64).map(|at| at as u8).collect();
                    backlog.push(stream, &bytes);
                    written += length as u64;
                    assert!(backlog.cost() <= BACKLOG_BYTES_MAX + CHUNK_BYTES_MAX + PIECE_OVERHEAD_BYTES);
                    if then == 0 {
                        let before = from;
                        let (bytes, gap) = read(&backlog, &mut from).await;
                        assert!(gap.is_none() || !waits);
                        let begin = gap.map_or(before, |gap| gap.to);
                        assert!((begin..from).map(|at| at as u8).eq(bytes));
                    }
                }
                backlog.close(OutputState::Ended(7));
                while backlog.page(from, Duration::ZERO).await.state == OutputState::GoesOn {
                    read(&backlog, &mut from).await;
                }
                read(&backlog, &mut from).await;
                assert_eq!(from, written);
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_has_gone_is_not_waited_for() {
        let backlog = Backlog::new(true);
        while !backlog.0.borrow().is_full() {
            backlog.push(Stream::Stdout, &[0; CHUNK_BYTES_MAX]);
        }
        let began = Instant::now();
        backlog.room().await;
        assert_eq!(began.elapsed(), READER_AWAY_MAX);
        backlog.room().await;
        let page = backlog.page(0, Duration::ZERO).await;
        assert_eq!(page.gap.unwrap().from, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_waits_for_output_and_for_the_end() {
        let backlog = Backlog::new(false);
        let (page, ()) = tokio::join!(backlog.page(0, WAIT_MAX), async {
            sleep(Duration::from_secs(1)).await;
            backlog.begin();
        });
        assert_eq!((page.next, page.state), (0, OutputState::GoesOn));
        let (page, ()) = tokio::join!(backlog.page(0, WAIT_MAX), async {
            sleep(Duration::from_secs(1)).await;
            backlog.push(Stream::Stderr, b"late");
        });
        assert_eq!((page.next, page.state), (4, OutputState::GoesOn));
        let (page, ()) = tokio::join!(backlog.page(4, WAIT_MAX), async {
            sleep(Duration::from_secs(1)).await;
            backlog.close(OutputState::Over);
            backlog.close(OutputState::Ended(0));
        });
        assert_eq!((page.chunks.len(), page.state), (0, OutputState::Over));
        let began = Instant::now();
        let beyond = Backlog::new(false).page(9, Duration::from_secs(60)).await;
        assert_eq!((began.elapsed(), beyond.next, beyond.state), (WAIT_MAX, 9, OutputState::Begins));
    }
}
