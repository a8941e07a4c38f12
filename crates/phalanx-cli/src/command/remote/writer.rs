//! What a program writes, written here: as it is, or as JSON lines.

use std::io::{self, ErrorKind, Write};

use serde_json::{Value, json};

use super::{Chunk, Gap, Stream};
use crate::exit::Failure;
use crate::output::{Format, json as forms, print};

/// Where output goes.
#[derive(Debug)]
pub(crate) struct Writer {
    format: Format,
}

impl Writer {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Writes a page of output: the gap before it first.
    pub(crate) fn output(&mut self, gap: Option<Gap>, chunks: &[Chunk]) -> Result<(), Failure> {
        if let Some(gap) = gap {
            match self.format {
                Format::Json => print(&format!("{}\n", gap_form(gap)))?,
                Format::Table => eprintln!("phalanx: {}", gap_words(gap)),
            }
        }
        chunks.iter().try_for_each(|chunk| match self.format {
            Format::Json => print(&format!("{}\n", chunk_form(chunk))),
            Format::Table => copy(chunk),
        })
    }

    /// Writes how the program has ended: with a code, or by a signal.
    pub(crate) fn end(&mut self, code: Option<i64>, signal: Option<i32>) -> Result<(), Failure> {
        match self.format {
            Format::Json => print(&format!("{}\n", exit_form(code, signal))),
            Format::Table => Ok(()),
        }
    }
}

/// Writes bytes as they are. A reader that has gone, as `head` does, has had enough.
fn copy(chunk: &Chunk) -> Result<(), Failure> {
    let written = match chunk.stream {
        Stream::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(&chunk.bytes).and_then(|()| out.flush())
        }
        Stream::Stderr => io::stderr().lock().write_all(&chunk.bytes),
    };
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

fn gap_words(gap: Gap) -> String {
    format!("bytes {} to {} are not in the log any more", gap.from, gap.to)
}

fn gap_form(gap: Gap) -> Value {
    json!({"gap": {"from": gap.from, "to": gap.to}})
}

fn chunk_form(chunk: &Chunk) -> Value {
    let stream = match chunk.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    json!({
        "offset": chunk.offset,
        "stream": stream,
        "text": std::str::from_utf8(&chunk.bytes).ok(),
        "hex": forms::hex(&chunk.bytes),
    })
}

/// How a program has ended, for programs.
fn exit_form(code: Option<i64>, signal: Option<i32>) -> Value {
    json!({"exit": {"code": code, "signal": signal}})
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_json_forms_are_stable() {
        let chunk = |bytes: &'static [u8]| Chunk {
            offset: 7,
            stream: Stream::Stderr,
            bytes: Bytes::from_static(bytes),
        };
        let forms = [
            gap_form(Gap { from: 0, to: 7 }),
            chunk_form(&chunk(b"a line\n")),
            chunk_form(&chunk(b"\xff\x00")),
            exit_form(Some(3), None),
            exit_form(None, Some(15)),
        ];
        insta::assert_snapshot!(forms.map(|form| form.to_string()).join("\n"));
        assert_eq!(gap_words(Gap { from: 0, to: 7 }), "bytes 0 to 7 are not in the log any more");
    }
}
