//! What has happened, in words and with its time, for whoever watches now and for the page that is written later.

use std::collections::VecDeque;
use std::time::Duration;

/// How many lines are kept: more than a screen shows.
const LINES_MAX: usize = 500;

/// How many marks are kept: more would make a plot unreadable.
const MARKS_MAX: usize = 200;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something was done, or is so.
    Plain,
    /// Something came right.
    Good,
    /// Something is not as it should be, or cannot be done.
    Bad,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// Something that was done to the cluster, for the plots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: Duration,
    pub(crate) text: String,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Where a screen shows the lines, nothing may be printed beside it.
    pub(crate) is_silent: bool,
    pub(crate) lines: VecDeque<Line>,
    pub(crate) marks: Vec<Mark>,
}

impl Journal {
    pub(crate) fn write(&mut self, at: Duration, tone: Tone, text: &str) {
        let line = Line { at, tone, text: text.to_owned() };
        if !self.is_silent {
            println!("{line}");
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) fn mark(&mut self, at: Duration, text: &str) {
        if self.marks.len() < MARKS_MAX {
            self.marks.push(Mark { at, text: text.to_owned() });
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.tone {
            Tone::Plain => ' ',
            Tone::Good => '✓',
            Tone::Bad => '!',
        };
        write!(f, "{:>7.1} s  {sign} {}", self.at.as_secs_f64(), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_keeps_its_newest_lines() {
        let mut journal = Journal { is_silent: true, ..Journal::default() };
        for number in 0..LINES_MAX + 1 {
            journal.write(Duration::from_millis(1_250), Tone::Good, &number.to_string());
            journal.mark(Duration::ZERO, "m");
        }
        assert_eq!((journal.lines.len(), journal.marks.len()), (LINES_MAX, MARKS_MAX));
        assert_eq!(journal.lines[0].to_string(), "    1.2 s  ✓ 1");
    }
}
