//! The supervisor: a small process between the worker and one program, which outlives either for as long as it must.
//!
//! It is the parent of the program, so that the end of the program is never missed; it inherits what leaves the program's
//! group, so that nothing escapes; and its standard input ends with the worker's process however that dies, so that
//! nothing is left behind. It has threads instead of a runtime: one that reads orders and never blocks, one for each of
//! the program's three streams, and the main one, which waits for the program.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, getpid, set_child_subreaper};

use super::class::{Chunk, Exit, STDIN_WRITES_MAX, Stream};
use super::folders::{ABANDONED, write_end};
use super::log::{CHUNK_BYTES_MAX, LogWriter};
use super::protocol::{Begin, Ended, Launch, Order, Told, encode, read};
use super::supervisor::{LAUNCH, OWN_PROGRAM};
use super::tail::Tail;
use super::tree::{Tree, sweep};

/// How long the streams of a program that is gone may stay open in hands that are not below it.
const DRAIN: Duration = Duration::from_secs(2);

/// In how large steps of time output is slowed.
pub(super) const OUTPUT_STEP: Duration = Duration::from_millis(50);

/// How often a control group that is not yet empty is tried to be removed, and how long it takes between two tries.
const REMOVALS_MAX: usize = 100;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(10);

/// Runs until the program has ended and all is told. Returns the exit code.
pub(super) fn run() -> i32 {
    let Ok(worker) = io::stdout().as_fd().try_clone_to_owned() else { return 1 };
    let sink = Arc::new(Sink::new(File::from(worker)));
    let mut orders = io::stdin();
    let Ok(Some(Order::Begin(begin))) = read::<Order>(&mut orders) else { return 1 };
    match supervise(&begin, &sink) {
        Ok(ended) => sink.tell(&Told::Ended(ended)),
        Err(error) => sink.tell(&Told::Failed(error.to_string())),
    }
    0
}

/// Where output goes: the log, and the worker while it is there.
struct Sink {
    state: Mutex<SinkState>,
}

struct SinkState {
    worker: Option<File>,
    log: Option<LogWriter>,
    log_has_failed: bool,
    tells_output: bool,
    counts: [u64; 2],
    tail: Tail,
}

impl Sink {
    fn new(worker: File) -> Self {
        let state = SinkState {
            worker: Some(worker),
            log: None,
            log_has_failed: false,
            tells_output: false,
            counts: [0; 2],
            tail: Tail::default(),
        };
        Self { state: Mutex::new(state) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut SinkState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, told: &Told) {
        self.with(|state| state.tell(told));
    }

    fn output(&self, stream: Stream, bytes: &[u8]) {
        self.with(|state| {
            state.counts[stream as usize] += bytes.len() as u64;
            state.tail.push(stream, bytes);
            let Some(log) = &mut state.log else { return };
            let (offset, written) = log.append(stream, bytes);
            let end = log.end();
            // What the disk does not take is a gap of the log, and is told all the same.
            if let Err(error) = written
                && !std::mem::replace(&mut state.log_has_failed, true)
            {
                state.tell(&Told::LogFailed(error.to_string()));
            }
            let told = if state.tells_output {
                Told::Output(Chunk { offset, stream, bytes: Bytes::copy_from_slice(bytes) })
            } else {
                Told::Logged { end }
            };
            state.tell(&told);
        });
    }
}

impl SinkState {
    fn tell(&mut self, told: &Told) {
        let Some(worker) = &mut self.worker else { return };
        let written = encode(told).and_then(|frame| worker.write_all(&frame));
        if written.is_err() {
            // Its process has died. Whether the program goes on is decided where the orders end.
            self.worker = None;
        }
    }
}

fn supervise(begin: &Begin, sink: &Arc<Sink>) -> io::Result<Ended> {
    // Held for as long as this process lives: whoever clears old logs sees that this one is in use.
    let _in_use = super::folders::lock(&begin.folder)?;
    sink.with(|state| {
        state.log = Some(LogWriter::new(begin.folder.clone(), begin.log_bytes_max));
        state.tells_output = begin.tells_output;
    });
    set_child_subreaper(Some(getpid()))?;
    let mut child = start()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let tree = Arc::new(Tree::new(pid.ok_or_else(|| io::Error::other("the program has no number"))?));
    sink.tell(&Told::Started { pid: tree.pid() });

    let mut pumps = Pumps::new(sink, begin.output_bytes_per_step);
    if let Some(stdout) = child.stdout.take() {
        pumps.start(stdout, Stream::Stdout);
    }
    if let Some(stderr) = child.stderr.take() {
        pumps.start(stderr, Stream::Stderr);
    }
    let (writes, to_write) = sync_channel(STDIN_WRITES_MAX);
    let launch = encode(&begin.launch)?;
    if let Some(stdin) = child.stdin.take() {
        feed(stdin, launch, to_write, sink);
    }
    let writes = begin.stdin_open.then_some(writes);
    obey(writes, &tree, begin.folder.clone(), begin.keeps);

    let status = tree.wait(|| child.wait())?;
    let is_clear = sweep();
    pumps.wait();
    if is_clear {
        remove_cgroups(&begin.cgroups);
    }
    finish(&begin.launch, &begin.folder, status, sink)
}

/// Starts the process that becomes the program, at the head of a group of its own.
fn start() -> io::Result<Child> {
    Command::new(OWN_PROGRAM)
        .arg0("phalanx-launch")
        .arg(LAUNCH)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Takes the streams of the program to their ends.
struct Pumps {
    sink: Arc<Sink>,
    step_bytes: u64,
    started: usize,
    /// How many have something in hand, and so are not waiting for the program.
    busy: Arc<AtomicUsize>,
    end: SyncSender<()>,
    ended: Receiver<()>,
}

impl Pumps {
    fn new(sink: &Arc<Sink>, step_bytes: u64) -> Self {
        let (end, ended) = sync_channel(2);
        Self { sink: sink.clone(), step_bytes, started: 0, busy: Arc::default(), end, ended }
    }

    fn start(&mut self, mut source: impl Read + Send + 'static, stream: Stream) {
        self.started += 1;
        let (sink, busy, end) = (self.sink.clone(), self.busy.clone(), self.end.clone());
        let step_bytes = self.step_bytes;
        spawn(move || {
            let mut buffer = vec![0; CHUNK_BYTES_MAX];
            let mut in_step = 0;
            loop {
                match source.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => {
                        busy.fetch_add(1, Ordering::SeqCst);
                        sink.output(stream, &buffer[..length]);
                        in_step += length as u64;
                        if in_step >= step_bytes {
                            in_step = 0;
                            sleep(OUTPUT_STEP);
                        }
                        busy.fetch_sub(1, Ordering::SeqCst);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            // Whoever waited for it has given up.
            let _ = end.send(());
        });
    }

    /// Waits until all are at their ends. A worker that takes its time is waited for; a stream that stays open in the hands
    /// of somebody who is not below the program is not.
    fn wait(self) {
        let mut open = self.started;
        while open > 0 {
            match self.ended.recv_timeout(DRAIN) {
                Ok(()) => open -= 1,
                Err(_) if self.busy.load(Ordering::SeqCst) > 0 => {}
                Err(_) => return,
            }
        }
    }
}

/// Writes to the program's standard input: first what its process needs to become the program.
fn feed(mut stdin: ChildStdin, launch: Vec<u8>, writes: Receiver<Bytes>, sink: &Arc<Sink>) {
    let sink = sink.clone();
    spawn(move || {
        let mut written = stdin.write_all(&launch);
        for bytes in writes {
            if written.is_ok() {
                written = stdin.write_all(&bytes);
            }
            sink.tell(if written.is_ok() { &Told::StdinTaken } else { &Told::StdinLost });
        }
    });
}

/// Does what the worker orders, until its process has died or has let go of this one.
fn obey(mut writes: Option<SyncSender<Bytes>>, tree: &Arc<Tree>, folder: PathBuf, keeps: bool) {
    let tree = tree.clone();
    spawn(move || {
        let mut orders = io::stdin();
        loop {
            match read::<Order>(&mut orders) {
                Ok(Some(Order::Write(bytes))) => {
                    // The worker counts what waits: the queue is never full.
                    if let Some(queue) = &writes {
                        let _ = queue.try_send(bytes);
                    }
                }
                Ok(Some(Order::CloseStdin)) => writes = None,
                Ok(Some(Order::Signal(number))) => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        tree.signal(signal);
                    }
                }
                Ok(Some(Order::Kill)) => tree.kill(),
                Ok(Some(Order::Begin(_)) | None) | Err(_) => break,
            }
        }
        if !keeps || folder.join(ABANDONED).exists() {
            tree.kill();
        } else {
            // The program does not wait for input that will never come.
            drop(writes);
        }
    });
}

fn remove_cgroups(groups: &[PathBuf]) {
    for group in groups {
        for _ in 0..REMOVALS_MAX {
            match fs::remove_dir(group) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => sleep(REMOVAL_INTERVAL),
                _ => break,
            }
        }
    }
}

fn finish(launch: &Launch, folder: &Path, status: ExitStatus, sink: &Sink) -> io::Result<Ended> {
    if let Ok(error) = fs::read_to_string(&launch.error_file)
        && !error.is_empty()
    {
        return Err(io::Error::other(error));
    }
    let exit = match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    };
    let ended = sink.with(|state| {
        let [stdout_bytes, stderr_bytes] = state.counts;
        let last_lines = std::mem::take(&mut state.tail).into_lines();
        Ended { exit, stdout_bytes, stderr_bytes, last_lines }
    });
    // A disk that is full loses the end of the log, not the end of the task.
    let _ = write_end(folder, &ended);
    Ok(ended)
}
