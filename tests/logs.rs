//! What was logged, at warning or above, by every node of this process.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes of log are kept: more than all scenarios together write.
const BYTES_MAX: usize = 8 << 20;

/// The log of this process. Scenarios run side by side, so that each looks for the names of its own nodes.
#[derive(Debug, Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

static LOGS: OnceLock<Logs> = OnceLock::new();

impl Logs {
    /// The log; the first call begins it.
    pub fn get() -> Self {
        let begin = || {
            let logs = Self::default();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new("warn"))
                .with_ansi(false)
                .with_writer(logs.clone())
                .finish();
            // Whoever has set another one before does without these lines.
            let _ = tracing::subscriber::set_global_default(subscriber);
            logs
        };
        LOGS.get_or_init(begin).clone()
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// The lines so far that hold all of these texts.
    #[must_use]
    pub fn with(&self, texts: &[&str]) -> Vec<String> {
        self.lines().into_iter().filter(|line| texts.iter().all(|text| line.contains(text))).collect()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + bytes.len() <= BYTES_MAX {
            kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
