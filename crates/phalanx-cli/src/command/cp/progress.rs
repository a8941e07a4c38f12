//! How far a copy is: a bar for who watches a terminal, some lines for a log, nothing for programs.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::output::Format;
use crate::size::Size;

/// How often a log gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The bars of all copies of a command.
pub(super) struct Bars {
    kind: Kind,
}

enum Kind {
    Bars(MultiProgress),
    Lines,
    Nothing,
}

/// How far one copy is.
#[derive(Clone)]
pub(super) struct Bar(Arc<Shown>);

enum Shown {
    Bar(ProgressBar),
    Lines { name: String, last: Mutex<Option<Instant>> },
    Nothing,
}

impl Bars {
    pub(super) fn new(format: Format) -> Self {
        let kind = match format {
            Format::Json => Kind::Nothing,
            Format::Table if std::io::stderr().is_terminal() => {
                Kind::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
            }
            Format::Table => Kind::Lines,
        };
        Self { kind }
    }

    /// Another copy.
    pub(super) fn bar(&self, name: &str) -> Bar {
        Bar(Arc::new(match &self.kind {
            Kind::Bars(bars) => {
                let bar = bars.add(ProgressBar::new(0));
                let template = "{prefix} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_prefix(name.to_owned());
                Shown::Bar(bar)
            }
            Kind::Lines => Shown::Lines { name: name.to_owned(), last: Mutex::new(None) },
            Kind::Nothing => Shown::Nothing,
        }))
    }
}

impl Bar {
    /// So many bytes of so many are there.
    pub(super) fn tell(&self, bytes: u64, bytes_total: u64) {
        match &*self.0 {
            Shown::Bar(bar) => {
                bar.set_length(bytes_total);
                bar.set_position(bytes);
            }
            Shown::Lines { name, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                if last.is_none_or(|last| now - last >= LINE_INTERVAL) {
                    *last = Some(now);
                    eprintln!("{}", line(name, bytes, bytes_total));
                }
            }
            Shown::Nothing => {}
        }
    }

    /// It is over.
    pub(super) fn finish(&self) {
        if let Shown::Bar(bar) = &*self.0 {
            bar.finish_and_clear();
        }
    }
}

fn line(name: &str, bytes: u64, bytes_total: u64) -> String {
    let percent = (bytes as f64 * 100.0 / bytes_total.max(1) as f64).floor();
    format!("{name}: {} of {}, {percent} %", Size(bytes), Size(bytes_total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_it_is() {
        assert_eq!(line("worker-1", 32 << 20, 64 << 20), "worker-1: 32.0 MiB of 64.0 MiB, 50 %");
        assert_eq!(line("worker-1", 0, 0), "worker-1: 0 B of 0 B, 0 %");
    }
}
