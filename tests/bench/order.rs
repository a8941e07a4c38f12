//! What the run asks of the processes that it measures, and what they answer: lines of words, which Erlang reads too.

use std::fmt;
use std::str::FromStr;

use crate::Failure;

/// What a client is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// So many at one time make one call after the other.
    Calls {
        /// How many.
        concurrency: usize,
        /// The size of a request, and of its answer.
        bytes: usize,
        /// For how long.
        duration_ms: u64,
    },
    /// As calls; each of them starts a task, waits for its first event and stops it.
    Cycles {
        /// How many at one time.
        concurrency: usize,
        /// For how long.
        duration_ms: u64,
    },
    /// Bytes from memory to memory, as fast as they go.
    Bulk {
        /// How many.
        bytes: u64,
    },
    /// A call each millisecond, beside bytes to the same place.
    Beside {
        /// How fast the bytes go.
        bytes_per_second: u64,
        /// For how long.
        duration_ms: u64,
    },
    /// A call each millisecond, to one worker after the other.
    Sweep {
        /// How many there are.
        workers: usize,
        /// For how long.
        duration_ms: u64,
    },
    /// So many workers start, numbered from there on, and are ready.
    Attach {
        /// How many.
        count: usize,
        /// The first one's number.
        from: usize,
    },
    /// All workers have an owner, and it is not this one.
    Rehome {
        /// Who it was.
        lost: String,
    },
    /// Everything below a folder, as one transfer.
    PutFolder {
        /// The folder.
        from: String,
        /// Where it goes, below the worker's root.
        to: String,
    },
    /// Each file of a folder by itself, one after the other.
    PutEach {
        /// The folder.
        from: String,
        /// Where they go, below the worker's root.
        to: String,
    },
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls { concurrency, bytes, duration_ms } => {
                write!(f, "calls {concurrency} {bytes} {duration_ms}")
            }
            Self::Cycles { concurrency, duration_ms } => write!(f, "cycles {concurrency} {duration_ms}"),
            Self::Bulk { bytes } => write!(f, "bulk {bytes}"),
            Self::Beside { bytes_per_second, duration_ms } => {
                write!(f, "beside {bytes_per_second} {duration_ms}")
            }
            Self::Sweep { workers, duration_ms } => write!(f, "sweep {workers} {duration_ms}"),
            Self::Attach { count, from } => write!(f, "attach {count} {from}"),
            Self::Rehome { lost } => write!(f, "rehome {lost}"),
            Self::PutFolder { from, to } => write!(f, "put-folder {from} {to}"),
            Self::PutEach { from, to } => write!(f, "put-each {from} {to}"),
        }
    }
}

impl FromStr for Order {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["calls", concurrency, bytes, duration_ms] => Self::Calls {
                concurrency: concurrency.parse()?,
                bytes: bytes.parse()?,
                duration_ms: duration_ms.parse()?,
            },
            ["cycles", concurrency, duration_ms] => {
                Self::Cycles { concurrency: concurrency.parse()?, duration_ms: duration_ms.parse()? }
            }
            ["bulk", bytes] => Self::Bulk { bytes: bytes.parse()? },
            ["beside", bytes_per_second, duration_ms] => Self::Beside {
                bytes_per_second: bytes_per_second.parse()?,
                duration_ms: duration_ms.parse()?,
            },
            ["sweep", workers, duration_ms] => {
                Self::Sweep { workers: workers.parse()?, duration_ms: duration_ms.parse()? }
            }
            ["attach", count, from] => Self::Attach { count: count.parse()?, from: from.parse()? },
            ["rehome", lost] => Self::Rehome { lost: (*lost).to_owned() },
            ["put-folder", from, to] => Self::PutFolder { from: (*from).to_owned(), to: (*to).to_owned() },
            ["put-each", from, to] => Self::PutEach { from: (*from).to_owned(), to: (*to).to_owned() },
            _ => return Err(format!("{line:?} is no order").into()),
        })
    }
}

/// What came of it. What an order has nothing to do with stays zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Figures {
    /// How many calls were answered, or files sent.
    pub(crate) calls: f64,
    /// How many failed.
    pub(crate) failed: f64,
    /// How many bytes arrived.
    pub(crate) bytes: f64,
    /// How long all of it took.
    pub(crate) seconds: f64,
    /// How long the call in the middle took.
    pub(crate) p50_us: f64,
    /// How long the slowest hundredth took at least.
    pub(crate) p99_us: f64,
    /// How long the slowest took.
    pub(crate) max_us: f64,
    /// The time on a core that all processes of the pair have had meanwhile. The run adds it.
    pub(crate) cpu_us: f64,
}

impl Figures {
    /// Of these latencies.
    pub(crate) fn of_latencies(mut latencies_us: Vec<f64>, failed: u64, seconds: f64) -> Self {
        latencies_us.sort_by(f64::total_cmp);
        let at = |part: usize| latencies_us.get(latencies_us.len() * part / 100).copied().unwrap_or(0.0);
        Self {
            calls: latencies_us.len() as f64,
            failed: failed as f64,
            seconds,
            p50_us: at(50),
            p99_us: at(99),
            max_us: latencies_us.last().copied().unwrap_or(0.0),
            ..Self::default()
        }
    }

    /// Calls in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.calls / self.seconds
    }

    /// Mebibytes in a second.
    pub(crate) fn mebibytes_per_second(&self) -> f64 {
        self.bytes / self.seconds / f64::from(1 << 20)
    }

    /// Microseconds on a core for one call.
    pub(crate) fn cpu_us_per_call(&self) -> f64 {
        self.cpu_us / self.calls
    }

    fn field(&mut self, name: &str) -> Option<&mut f64> {
        Some(match name {
            "calls" => &mut self.calls,
            "failed" => &mut self.failed,
            "bytes" => &mut self.bytes,
            "seconds" => &mut self.seconds,
            "p50_us" => &mut self.p50_us,
            "p99_us" => &mut self.p99_us,
            "max_us" => &mut self.max_us,
            _ => return None,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, failed, bytes, seconds, p50_us, p99_us, max_us, cpu_us: _ } = self;
        write!(f, "calls={calls} failed={failed} bytes={bytes} seconds={seconds} ")?;
        write!(f, "p50_us={p50_us} p99_us={p99_us} max_us={max_us}")
    }
}

impl FromStr for Figures {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        if let Some(error) = line.strip_prefix("error ") {
            return Err(error.into());
        }
        let mut figures = Self::default();
        for word in line.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{line:?} is no answer"))?;
            let field = figures.field(name).ok_or_else(|| format!("{name:?} is no figure"))?;
            *field = value.parse()?;
        }
        Ok(figures)
    }
}
