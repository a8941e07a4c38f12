//! The supervisor: a small process between the worker and one program, which outlives either for as long as it must.
//!
//! It is the parent of the program, so that the end of the program is never missed; it inherits what leaves the program's
//! group, so that nothing escapes; and its standard input ends with the worker's process however that dies, so that
//! nothing is left behind; of one that is kept, the next process of the worker is waited for. It has threads instead of a runtime: one that reads orders and never blocks, one for each of
//! the program's three streams, and the main one, which waits for the program.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, getpid, set_child_subreaper};

use super::cgroup;
use super::class::{Chunk, Exit, STDIN_WRITES_MAX, Stream};
use super::folders::{is_abandoned, write_end};
use super::log::{CHUNK_BYTES_MAX, LogWriter};
use super::obey::{Obedient, Stdin, listen};
use super::protocol::{Begin, Ended, Here, Order, Told, encode, read};
use super::supervisor::{LAUNCH, OWN_PROGRAM};
use super::terminal;
use super::tree::{Tree, sweep};
use crate::output::Tail;

/// How long the streams of a program that is gone may stay open in hands that are not below it.
const DRAIN: Duration = Duration::from_secs(2);

/// In how large steps of time output is slowed.
pub(super) const OUTPUT_STEP: Duration = Duration::from_millis(50);

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
pub(super) struct Sink {
    state: Mutex<SinkState>,
}

struct SinkState {
    worker: Option<Box<dyn Write + Send>>,
    log: Option<LogWriter>,
    log_has_failed: bool,
    tells_output: bool,
    counts: [u64; 2],
    /// How far the output was handed to a process of the worker.
    told: u64,
    tail: Tail,
}

impl Sink {
    fn new(worker: File) -> Self {
        let state = SinkState {
            worker: Some(Box::new(worker)),
            log: None,
            log_has_failed: false,
            tells_output: false,
            counts: [0; 2],
            told: 0,
            tail: Tail::default(),
        };
        Self { state: Mutex::new(state) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut SinkState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, told: &Told) {
        self.with(|state| _ = state.tell(told));
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
            if state.tell(&told) {
                state.told = end;
            }
        });
    }

    /// The next process of the worker is there: it hears how it stands, and from then on everything.
    pub(super) fn welcome(&self, worker: UnixStream, pid: i32, stdin: &Stdin) {
        self.with(|state| {
            let end = state.log.as_ref().map_or(0, LogWriter::end);
            state.worker = Some(Box::new(worker));
            // Read here, since it changes under this lock only, while no order comes.
            let stdin_waiting = stdin.waiting();
            state.tell(&Told::Here(Here { pid, end, told: state.told, stdin_waiting }));
        });
    }
}

impl SinkState {
    /// Says whether it was handed over.
    fn tell(&mut self, told: &Told) -> bool {
        let Some(worker) = &mut self.worker else { return false };
        let written = encode(told).and_then(|frame| worker.write_all(&frame));
        if written.is_err() {
            // Its process has died. Whether the program goes on is decided where the orders end.
            self.worker = None;
        }
        written.is_ok()
    }
}

fn supervise(begin: &Begin, sink: &Arc<Sink>) -> io::Result<Ended> {
    // Held for as long as this process lives: whoever clears old logs sees that this one is in use.
    let _in_use = super::folders::lock(&begin.folder)?;
    sink.with(|state| {
        state.log = Some(LogWriter::new(begin.folder.clone(), begin.log_bytes_max));
        state.tells_output = begin.tells_output;
    });
    if is_abandoned(&begin.folder) {
        return Err(io::Error::other("the worker's next process has given it up"));
    }
    let listener = if begin.keeps { Some(listen(&begin.folder)?) } else { None };
    set_child_subreaper(Some(getpid()))?;
    let (terminal, mut child) = start(begin)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let tree = Arc::new(Tree::new(pid.ok_or_else(|| io::Error::other("the program has no number"))?));
    sink.tell(&Told::Started { pid: tree.pid() });

    let mut pumps = Pumps::new(sink, begin.output_bytes_per_step);
    if let Some(terminal) = &terminal {
        pumps.start(terminal.try_clone()?, Stream::Stdout);
    }
    if let Some(stdout) = child.stdout.take() {
        pumps.start(stdout, Stream::Stdout);
    }
    if let Some(stderr) = child.stderr.take() {
        pumps.start(stderr, Stream::Stderr);
    }
    let stdin = Arc::new(Stdin::default());
    let input = child.stdin.take().ok_or_else(|| io::Error::other("a new process has no standard input"))?;
    let writes = feed(begin, input, terminal.as_ref(), &stdin, sink)?;
    let obedient = Obedient {
        writes,
        stdin,
        tree: tree.clone(),
        terminal,
        folder: begin.folder.clone(),
        listener,
        sink: sink.clone(),
    };
    obedient.start();

    let status = tree.wait(|| child.wait())?;
    let is_clear = sweep();
    pumps.wait();
    let out_of_memory = cgroup::was_out_of_memory(&begin.cgroups);
    if is_clear {
        cgroup::Groups { folders: begin.cgroups.clone(), ..Default::default() }.clear();
    }
    finish(begin, status, out_of_memory, sink)
}

/// Starts the process that becomes the program, at the head of a group of its own. Of one with a terminal, that is here too.
fn start(begin: &Begin) -> io::Result<(Option<File>, Child)> {
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("phalanx-launch").arg(LAUNCH).env_clear().stdin(Stdio::piped());
    let Some(size) = begin.terminal else {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
        return Ok((None, child));
    };
    let (ours, theirs) = terminal::open(size)?;
    // It leads a session, and so a group, once it has the terminal.
    let child = command.stdout(theirs.try_clone()?).stderr(theirs).spawn()?;
    Ok((Some(ours), child))
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

/// Writes to the program's standard input, or to its terminal: before that what its process needs to become the program.
/// Returns the way to write more.
fn feed(
    begin: &Begin,
    mut input: ChildStdin,
    terminal: Option<&File>,
    stdin: &Arc<Stdin>,
    sink: &Arc<Sink>,
) -> io::Result<Option<SyncSender<Bytes>>> {
    let terminal = terminal.map(File::try_clone).transpose()?;
    let is_open = begin.stdin_open || terminal.is_some();
    let launch = encode(&begin.launch)?;
    let (writes, to_write) = sync_channel::<Bytes>(STDIN_WRITES_MAX);
    let (stdin, sink) = (stdin.clone(), sink.clone());
    if !is_open {
        stdin.close();
    }
    spawn(move || {
        let mut written = input.write_all(&launch);
        let mut input: Box<dyn Write> = match &terminal {
            Some(terminal) => {
                drop(input);
                Box::new(terminal)
            }
            None => Box::new(input),
        };
        for bytes in to_write {
            if written.is_ok() {
                written = input.write_all(&bytes);
            }
            sink.with(|state| {
                stdin.taken(written.is_err());
                state.tell(if written.is_ok() { &Told::StdinTaken } else { &Told::StdinLost });
            });
        }
    });
    Ok(is_open.then_some(writes))
}

fn finish(begin: &Begin, status: ExitStatus, out_of_memory: bool, sink: &Sink) -> io::Result<Ended> {
    if let Ok(error) = fs::read_to_string(&begin.launch.error_file)
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
        Ended { exit, stdout_bytes, stderr_bytes, last_lines, out_of_memory, told: state.told }
    });
    // A disk that is full loses the end of the log, not the end of the task.
    let _ = write_end(&begin.folder, &ended);
    Ok(ended)
}
