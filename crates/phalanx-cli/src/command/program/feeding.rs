//! The standard input of this program, given to another one.

use std::time::Duration;

use bytes::Bytes;
use phalanx::CallError;
use phalanx_drivers::process::{ProcessError, Program, ProgramError, WRITE_BYTES_MAX};
use tokio::io::{AsyncReadExt, stdin};
use tokio::time::sleep;

/// The pause before a program that does not read is asked again.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// Gives all of the standard input to a program, and where that is wanted, ends its own after it. Returns when that is done.
///
/// # Errors
/// What the worker says. That the program reads no more is none.
pub(crate) async fn feed(program: &Program, closes: bool) -> Result<(), ProgramError> {
    let (mut input, mut buffer) = (stdin(), vec![0; WRITE_BYTES_MAX]);
    loop {
        // What cannot be read has ended.
        let length = input.read(&mut buffer).await.unwrap_or(0);
        if length == 0 {
            return if closes { program.close_stdin().await } else { Ok(()) };
        }
        match write(program, Bytes::copy_from_slice(&buffer[..length])).await {
            Err(CallError::Failed(ProcessError::StdinClosed)) => return Ok(()),
            written => written?,
        }
    }
}

/// Writes to a program, for as long as it takes it to read.
///
/// # Errors
/// What the worker says.
pub(crate) async fn write(program: &Program, bytes: Bytes) -> Result<(), ProgramError> {
    loop {
        match program.write(bytes.clone()).await {
            Err(CallError::Failed(ProcessError::StdinFull)) => sleep(FULL_PAUSE).await,
            written => return written,
        }
    }
}
