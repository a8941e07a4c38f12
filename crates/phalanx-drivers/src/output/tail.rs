//! The last lines that a program has written.

use std::collections::VecDeque;

use super::{LAST_LINE_BYTES_MAX, LAST_LINES, Stream};

/// The last lines of both streams, in the order in which they ended.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<Vec<u8>>,
    /// What each stream has written since its last line ended.
    begun: [Vec<u8>; 2],
}

impl Tail {
    /// Takes a piece of output.
    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let mut bytes = bytes;
        // Of a piece with very many lines only the last ones are looked at: output comes by the gigabyte.
        let newlines = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        if let Some((at, _)) = newlines.map(|(at, byte)| (at, *byte)).nth(LAST_LINES) {
            self.lines.clear();
            self.begun[stream as usize].clear();
            bytes = &bytes[at + 1..];
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = &mut self.begun[stream as usize];
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LAST_LINE_BYTES_MAX.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < part.len() {
                let line = std::mem::take(line);
                self.end_line(line);
            }
        }
    }

    fn end_line(&mut self, line: Vec<u8>) {
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines, with what was begun as a last line of each stream. What is no UTF-8 is replaced.
    pub(crate) fn into_lines(mut self) -> Vec<String> {
        for line in std::mem::take(&mut self.begun) {
            if !line.is_empty() {
                self.end_line(line);
            }
        }
        self.lines.into_iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the output is cut: the last lines of the whole, each shortened.
        #[test]
        fn the_last_lines_of_one_stream_do_not_depend_on_the_cuts(
            lengths in prop::collection::vec(0..2_000_usize, 0..150),
            cut in 1..70_000_usize,
            ends_in_line in any::<bool>(),
        ) {
            let mut text: Vec<u8> = Vec::new();
            for (number, length) in lengths.iter().enumerate() {
                text.extend(std::iter::repeat_n(b'a' + (number % 26) as u8, *length));
                text.push(b'\n');
            }
            if !ends_in_line {
                text.extend(b"half");
            }
            let mut tail = Tail::default();
            for part in text.chunks(cut) {
                tail.push(Stream::Stdout, part);
            }
            let whole = String::from_utf8(text).unwrap();
            let mut lines: Vec<&str> =
                whole.lines().map(|line| &line[..line.len().min(LAST_LINE_BYTES_MAX)]).collect();
            lines.drain(..lines.len().saturating_sub(LAST_LINES));
            prop_assert_eq!(tail.into_lines(), lines);
        }
    }

    #[test]
    fn lines_of_two_streams_do_not_mix() {
        let mut tail = Tail::default();
        tail.push(Stream::Stdout, b"one ");
        tail.push(Stream::Stderr, b"oops\nand ");
        tail.push(Stream::Stdout, b"two\nthree");
        tail.push(Stream::Stderr, b"\xFFmore");
        assert_eq!(tail.into_lines(), ["oops", "one two", "three", "and \u{FFFD}more"]);
    }
}
