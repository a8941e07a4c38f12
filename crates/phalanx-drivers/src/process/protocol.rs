//! What a worker and the supervisor of a program say to each other, over the supervisor's standard input and output.
//!
//! Both are the same build of the same program or of this crate, on one machine, parent and child: there are no versions.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::class::{Chunk, Exit, TerminalSize};

/// The greatest frame: the largest set of arguments, and something over.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;

/// What a supervisor is told. The end of these is the end of the worker's process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first one, and only that: run this.
    Begin(Box<Begin>),
    /// Write this to the program's standard input. Answered by [`Told::StdinTaken`] or [`Told::StdinLost`].
    Write(Bytes),
    /// End the program's standard input.
    CloseStdin,
    /// Send this signal to the program's group.
    Signal(i32),
    /// Kill the program and all that it has started.
    Kill,
    /// Do not keep the program any more when the worker's process ends.
    LetDie,
    /// The program's terminal has this size now.
    Resize(TerminalSize),
}

/// What to run, and how to look after it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) launch: Launch,
    /// The task's folder, where the log and the end are written.
    pub(super) folder: PathBuf,
    pub(super) log_bytes_max: u64,
    /// How much output is taken in a twentieth of a second.
    pub(super) output_bytes_per_step: u64,
    pub(super) stdin_open: bool,
    pub(super) terminal: Option<TerminalSize>,
    /// Whether output is told, besides being written to the log.
    pub(super) tells_output: bool,
    /// Whether the program goes on when the worker's process has ended, and the supervisor waits for the next one.
    pub(super) keeps: bool,
    /// Control groups to remove at the end.
    pub(super) cgroups: Vec<PathBuf>,
}

/// What the process does that becomes the program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    /// The program's own name, as it is asked for.
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) working_folder: PathBuf,
    /// It must be below one of these after all links are followed.
    pub(super) roots: Vec<PathBuf>,
    /// The files that it joins control groups by.
    pub(super) cgroup_joins: Vec<PathBuf>,
    pub(super) resources: Resources,
    pub(super) user: Option<(u32, u32)>,
    /// Whether its standard output is a terminal, which is to be its own.
    pub(super) has_terminal: bool,
    /// Where it says why it could not become the program.
    pub(super) error_file: PathBuf,
}

/// Limits of each process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resources {
    pub(super) memory_bytes: Option<u64>,
    pub(super) processes: Option<u64>,
    pub(super) cpu_seconds: Option<u64>,
    pub(super) open_files: Option<u64>,
}

/// What a supervisor tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// The process is there.
    Started { pid: i32 },
    /// It has written this. The offset counts on where the bytes are not told.
    Output(Chunk),
    /// So much is in the log now; instead of [`Told::Output`].
    Logged { end: u64 },
    /// The disk did not take a part of the log. Told once.
    LogFailed(String),
    /// A write has gone into the pipe.
    StdinTaken,
    /// The program has closed its standard input.
    StdinLost,
    /// All is over, and the last word.
    Ended(Ended),
    /// It did not come to a start, and the last word.
    Failed(String),
    /// The first word to a worker's process that has come back.
    Here(Here),
}

/// How it stands with a program that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Here {
    pub(super) pid: i32,
    /// How far the log is.
    pub(super) end: u64,
    /// How far the output was handed to the worker's process before.
    pub(super) told: u64,
    /// How many writes wait for the program, while its standard input is open.
    pub(super) stdin_waiting: Option<u32>,
}

/// How it ended. Also what is written to the task's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) stdout_bytes: u64,
    pub(super) stderr_bytes: u64,
    pub(super) last_lines: Vec<String>,
    pub(super) out_of_memory: bool,
    /// How far the output was handed to a worker's process.
    pub(super) told: u64,
}

impl Ended {
    /// The offset behind the last byte of the log.
    pub(super) fn log_end(&self) -> u64 {
        self.stdout_bytes.saturating_add(self.stderr_bytes)
    }
}

/// A frame: its length, then the message.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("a message is larger than its cap"))?;
    Ok([&length.to_le_bytes()[..], &body].concat())
}

/// Reads a frame; `None` at the end.
pub(super) fn read<T: DeserializeOwned>(source: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; LENGTH_BYTES];
    match source.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0; checked(length)?];
    source.read_exact(&mut body)?;
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

/// Takes a frame out of what has come, if it is there as a whole.
pub(super) fn take<T: DeserializeOwned>(buffer: &mut BytesMut) -> io::Result<Option<T>> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = checked(*length)?;
    if buffer.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    let body = buffer.split_to(length);
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

fn checked(length: [u8; LENGTH_BYTES]) -> io::Result<usize> {
    usize::try_from(u32::from_le_bytes(length))
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX)
        .ok_or_else(|| io::Error::other("a message is larger than its cap"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Frames come out as they went in, however the bytes are cut.
        #[test]
        fn frames_come_whole(lengths in prop::collection::vec(0..5_000_usize, 1..8), cut in 1..3_000_usize) {
            let bytes: Vec<u8> = lengths
                .iter()
                .flat_map(|length| encode(&Order::Write(vec![7; *length].into())).unwrap())
                .collect();
            let (mut buffer, mut taken) = (BytesMut::new(), Vec::new());
            for part in bytes.chunks(cut) {
                buffer.extend_from_slice(part);
                while let Some(order) = take::<Order>(&mut buffer).unwrap() {
                    let Order::Write(bytes) = order else { panic!("{order:?}") };
                    taken.push(bytes.len());
                }
            }
            prop_assert_eq!(&taken, &lengths);
            let mut source = bytes.as_slice();
            for length in lengths {
                let order = read::<Order>(&mut source).unwrap();
                prop_assert!(matches!(order, Some(Order::Write(bytes)) if bytes.len() == length));
            }
            prop_assert!(read::<Order>(&mut source).unwrap().is_none());
        }

        /// Any bytes are a message, none, or an error.
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = take::<Told>(&mut BytesMut::from(bytes.as_slice()));
            let _ = read::<Order>(&mut bytes.as_slice());
        }
    }
}
