//! The host functions: all that a guest can reach. What they are granted by, take and say stands in the crate's README.
//!
//! Each names bytes in the guest's own memory. Bytes that are not there end the guest; what is there and too large, too
//! much or out of place is answered with a number below zero, and nothing has happened.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use wasmtime::{AsContextMut, Caller, Linker, Memory};

use super::compiled::MEMORY;
use super::data::Bounds;
use super::error::{TEXT_BYTES_MAX, WasmError};
use super::guest::{Guest, begin_turn, no_memory, read, write};
use super::names::shortened;
use super::policy::Grant;
use super::running::{Ask, Waited};

/// Under which name guests import them.
pub(super) const MODULE: &str = "phalanx";

/// There is nothing: no command in this time, no such key.
const NONE: i32 = -1;
/// It is too large.
const TOO_LARGE: i32 = -2;
/// There are too many.
const FULL: i32 = -3;
/// Only tasks have that.
const NO_TASK: i32 = -4;
/// The task is to end.
const STOPPING: i32 = -5;

type Host<'a> = Caller<'a, Guest>;

/// Offers what is granted, and says the names.
pub(super) fn offer(
    linker: &mut Linker<Guest>,
    grants: &BTreeSet<Grant>,
) -> wasmtime::Result<BTreeSet<&'static str>> {
    linker.func_wrap(MODULE, "fail", fail)?;
    let mut names = BTreeSet::from(["fail"]);
    for grant in grants {
        match grant {
            Grant::Log => {
                linker.func_wrap(MODULE, "log", log)?;
                names.insert("log");
            }
            Grant::Emit => {
                linker.func_wrap(MODULE, "emit", emit)?;
                names.insert("emit");
            }
            Grant::Commands => {
                linker.func_wrap(MODULE, "command_wait", command_wait)?;
                linker.func_wrap(MODULE, "command_read", command_read)?;
                linker.func_wrap(MODULE, "command_reply", command_reply)?;
                names.extend(["command_wait", "command_read", "command_reply"]);
            }
            Grant::Data => {
                linker.func_wrap(MODULE, "kv_read", kv_read)?;
                linker.func_wrap(MODULE, "kv_write", kv_write)?;
                linker.func_wrap(MODULE, "kv_delete", kv_delete)?;
                names.extend(["kv_read", "kv_write", "kv_delete"]);
            }
        }
    }
    Ok(names)
}

fn memory(host: &mut Host<'_>) -> wasmtime::Result<Memory> {
    host.get_export(MEMORY).and_then(wasmtime::Extern::into_memory).ok_or_else(no_memory)
}

fn taken(host: &mut Host<'_>, what: &str, at: u32, length: u32) -> wasmtime::Result<Bytes> {
    let memory = memory(host)?;
    read(memory, &*host, what, at, length)
}

/// Gives a guest as much of it as it has room for, and says how long it is.
fn given(host: &mut Host<'_>, what: &str, at: u32, room: u32, bytes: &Bytes) -> wasmtime::Result<i32> {
    let memory = memory(host)?;
    let length = bytes.len().min(room as usize);
    write(memory, host, what, at, &bytes[..length])?;
    // Everything here is below a megabyte.
    Ok(i32::try_from(bytes.len()).unwrap_or(i32::MAX))
}

fn is_too_large(host: &Host<'_>, length: u32) -> bool {
    length as usize > host.data().limits.output_bytes_max
}

fn fail(mut host: Host<'_>, at: u32, length: u32) -> wasmtime::Result<()> {
    let room = u32::try_from(host.data().limits.output_bytes_max).unwrap_or(u32::MAX);
    let said = taken(&mut host, "failure", at, length.min(room))?;
    Err(wasmtime::Error::new(WasmError::Failed(said)))
}

fn log(mut host: Host<'_>, level: u32, at: u32, length: u32) -> wasmtime::Result<()> {
    let line = taken(&mut host, "log", at, length.min(4 * TEXT_BYTES_MAX as u32))?;
    let guest = host.data_mut();
    let Some(left) = guest.take_line() else { return Ok(()) };
    let text = String::from_utf8_lossy(&line);
    // A guest writes no lines of its own into the log of others.
    let text = shortened(&text, TEXT_BYTES_MAX).escape_debug();
    let (module, version) = (&guest.module, &guest.version);
    match level {
        0 => tracing::error!(module, version, "{text}"),
        1 => tracing::warn!(module, version, "{text}"),
        2 => tracing::info!(module, version, "{text}"),
        _ => tracing::debug!(module, version, "{text}"),
    }
    if left == 0 {
        tracing::warn!(module, version, "a guest logs too much: the rest of this second is left out");
    }
    Ok(())
}

/// Tells the task something and waits for its answer. Whoever waits for the task may have gone; then the guest ends.
fn ask<T>(
    host: &Host<'_>,
    task: &mpsc::Sender<Ask>,
    ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> wasmtime::Result<T> {
    let (sender, answer) = oneshot::channel();
    let answer = match task.blocking_send(ask(sender)) {
        Ok(()) => answer.blocking_recv().ok(),
        Err(_) => None,
    };
    answer.ok_or_else(|| match host.data().check() {
        Err(why) => wasmtime::Error::new(why),
        Ok(()) => wasmtime::Error::new(WasmError::Stopped),
    })
}

fn emit(mut host: Host<'_>, at: u32, length: u32) -> wasmtime::Result<i32> {
    let Some(task) = host.data().task.clone() else { return Ok(NO_TASK) };
    if is_too_large(&host, length) {
        return Ok(TOO_LARGE);
    }
    let event = taken(&mut host, "event", at, length)?;
    if host.data_mut().take_event().is_none() {
        return Ok(FULL);
    }
    let is_sent = ask(&host, &task, |answer| Ask::Emit(event, answer))?;
    Ok(if is_sent { 0 } else { STOPPING })
}

fn command_wait(mut host: Host<'_>, time_ms: u32) -> wasmtime::Result<i32> {
    let Some(task) = host.data().task.clone() else { return Ok(NO_TASK) };
    host.data_mut().command = None;
    let time = Duration::from_millis(time_ms.into());
    let waited = ask(&host, &task, |answer| Ask::Wait(time, answer))?;
    begin_turn(host.as_context_mut())?;
    Ok(match waited {
        Waited::Command(command) => {
            let length = i32::try_from(command.len()).unwrap_or(i32::MAX);
            host.data_mut().command = Some(command);
            length
        }
        Waited::Nothing => NONE,
        Waited::Stopping => STOPPING,
    })
}

fn command_read(mut host: Host<'_>, at: u32, room: u32) -> wasmtime::Result<i32> {
    let Some(command) = host.data().command.clone() else { return Ok(NONE) };
    given(&mut host, "command", at, room, &command)
}

fn command_reply(mut host: Host<'_>, at: u32, length: u32) -> wasmtime::Result<i32> {
    let Some(task) = host.data().task.clone() else { return Ok(NO_TASK) };
    if is_too_large(&host, length) {
        return Ok(TOO_LARGE);
    }
    let reply = taken(&mut host, "reply", at, length)?;
    let is_sent = ask(&host, &task, |answer| Ask::Reply(reply, answer))?;
    Ok(if is_sent { 0 } else { NONE })
}

/// A key that is longer than all there may be is not copied.
fn key(host: &mut Host<'_>, at: u32, length: u32) -> wasmtime::Result<Option<Bytes>> {
    if length as usize > host.data().limits.data_bytes_max {
        return Ok(None);
    }
    taken(host, "key", at, length).map(Some)
}

fn kv_read(mut host: Host<'_>, key_at: u32, key_length: u32, at: u32, room: u32) -> wasmtime::Result<i32> {
    let Some(key) = key(&mut host, key_at, key_length)? else { return Ok(NONE) };
    let Some(value) = host.data().data.read(&key) else { return Ok(NONE) };
    given(&mut host, "value", at, room, &value)
}

fn kv_write(mut host: Host<'_>, key_at: u32, key_length: u32, at: u32, length: u32) -> wasmtime::Result<i32> {
    let limits = host.data().limits;
    let Some(key) = key(&mut host, key_at, key_length)? else { return Ok(TOO_LARGE) };
    if length as usize > limits.data_bytes_max {
        return Ok(TOO_LARGE);
    }
    let value = taken(&mut host, "value", at, length)?;
    let bounds = Bounds { bytes_max: limits.data_bytes_max, keys_max: limits.data_keys_max };
    Ok(host.data().data.write(bounds, key.to_vec(), value).map_or(FULL, |()| 0))
}

fn kv_delete(mut host: Host<'_>, key_at: u32, key_length: u32) -> wasmtime::Result<i32> {
    let Some(key) = key(&mut host, key_at, key_length)? else { return Ok(NONE) };
    Ok(if host.data().data.delete(&key) { 0 } else { NONE })
}
