//! Bodies of answers: whole up to a cap, or line by line for as long as a watch lives.

use reqwest::Response;

use super::{HttpError, transfer};

/// The whole body, unless it is longer than `bytes_max`: then nothing of it, and no more of it is read.
pub(crate) async fn whole_body(response: &mut Response, bytes_max: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transfer)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(HttpError::TooLong { bytes_max });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The lines of a body that goes on and on.
pub(crate) struct Lines {
    response: Response,
    buffer: Vec<u8>,
    /// Up to where in the buffer there is no end of a line: a long line that comes in small pieces is searched once.
    searched: usize,
    line_bytes_max: usize,
}

impl Lines {
    pub(crate) fn new(response: Response, line_bytes_max: usize) -> Self {
        Self { response, buffer: Vec::new(), searched: 0, line_bytes_max }
    }

    /// The next line that is not empty, without its end; `None` where the body ends. What stands after the last end of
    /// a line was cut off, and is dropped. Cancellation safe: what has come is kept.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if self.buffer.len() > self.line_bytes_max {
                return Err(HttpError::TooLong { bytes_max: self.line_bytes_max });
            }
            match self.response.chunk().await.map_err(transfer)? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        loop {
            let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return None;
            };
            let rest = self.buffer.split_off(self.searched + end + 1);
            let mut line = std::mem::replace(&mut self.buffer, rest);
            self.searched = 0;
            line.truncate(line.trim_ascii_end().len());
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}
