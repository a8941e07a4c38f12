//! What a program may use, as it is said on the command line.

use clap::Args;
use phalanx_drivers::process::Limits;

use crate::size::Size;

/// What a program may use, where that is less than the worker's configuration says.
#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// The memory that it may use, such as 512MiB
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    memory: Option<Size>,
    /// How many processes it may have
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    processes: Option<u64>,
    /// The processor that it may use; 100 is one core
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    cpu_percent: Option<u32>,
    /// The processor time of each of its processes, in seconds
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    cpu_seconds: Option<u64>,
    /// How many files each of its processes may have open
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    open_files: Option<u64>,
}

impl LimitArguments {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            memory_bytes: self.memory.map(|size| size.0),
            processes: self.processes,
            cpu_percent: self.cpu_percent,
            cpu_seconds: self.cpu_seconds,
            open_files: self.open_files,
        }
    }
}
