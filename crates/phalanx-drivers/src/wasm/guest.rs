//! A guest that runs: one instance of a version, with a memory of its own, for one call or one task.
//!
//! It runs on a thread for blocking work, from its first instruction to its last; what ends it before is looked at with each
//! tick, with each growth of its memory, and with each piece of fuel.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use wasmtime::{
    AsContextMut, Instance, Memory, ResourceLimiter, Store, StoreContextMut, Trap, UpdateDeadline,
};

use super::class::Returned;
use super::compiled::{ALLOCATE, INITIALIZE, MEMORY, Running};
use super::data::Data;
use super::error::{TEXT_BYTES_MAX, WasmError};
use super::machine::Machine;
use super::names::shortened;
use super::policy::WasmLimits;
use super::running::Ask;
use super::stop::{Stop, Why};
use super::ticker::Ticking;

/// How many tables a guest has: what compilers make is one.
const TABLES_MAX: usize = 4;

/// What a guest is run with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) running: Running,
    pub(super) function: String,
    pub(super) input: Bytes,
    pub(super) data: Arc<Data>,
    pub(super) stop: Stop,
    /// The way to the task, if it is one.
    pub(super) task: Option<mpsc::Sender<Ask>>,
}

/// What the host knows of a guest that runs.
pub(super) struct Guest {
    pub(super) limits: WasmLimits,
    pub(super) module: String,
    pub(super) version: String,
    pub(super) data: Arc<Data>,
    pub(super) task: Option<mpsc::Sender<Ask>>,
    /// The command that it was told of, and has not let go of.
    pub(super) command: Option<Bytes>,
    events: Budget,
    lines: Budget,
    stop: Stop,
    ticking: Ticking,
    turn_end: u64,
}

/// Runs a guest until it has ended, in whatever way. It blocks.
pub(super) fn run(machine: &Machine, start: Start) -> Result<Returned, WasmError> {
    let Start { running, function, input, data, stop, task } = start;
    let (compiled, limits, ticking) = (&running.0, machine.limits, machine.ticker.begin());
    let guest = Guest {
        limits,
        module: compiled.announced.module.clone(),
        version: compiled.announced.version.clone(),
        data,
        task,
        command: None,
        events: Budget::new(limits.events_per_second_max),
        lines: Budget::new(limits.log_lines_per_second_max),
        stop,
        turn_end: ticking.after(limits.turn_time),
        ticking,
    };
    guest.check()?;
    let mut store = Store::new(compiled.instance.module().engine(), guest);
    store.limiter(|guest| guest);
    store.epoch_deadline_callback(|store| {
        store.data().check()?;
        Ok(UpdateDeadline::Continue(1))
    });
    let ran = begin_turn(store.as_context_mut()).and_then(|()| {
        let instance = compiled.instance.instantiate(&mut store)?;
        enter(&mut store, instance, &function, &input)
    });
    let output = ran.map_err(|error| ended(&error, &limits))?;
    let fuel = limits.fuel_max.saturating_sub(store.get_fuel().unwrap_or(0));
    Ok(Returned { version: compiled.announced.version.clone(), output, fuel })
}

/// Gives a guest its fuel and its time.
pub(super) fn begin_turn(mut store: StoreContextMut<'_, Guest>) -> wasmtime::Result<()> {
    store.set_fuel(store.data().limits.fuel_max)?;
    store.set_epoch_deadline(1);
    let guest = store.data_mut();
    guest.turn_end = guest.ticking.after(guest.limits.turn_time);
    Ok(())
}

fn enter(
    store: &mut Store<Guest>,
    instance: Instance,
    function: &str,
    input: &Bytes,
) -> wasmtime::Result<Bytes> {
    if instance.get_func(&mut *store, INITIALIZE).is_some() {
        instance.get_typed_func::<(), ()>(&mut *store, INITIALIZE)?.call(&mut *store, ())?;
    }
    let memory = instance.get_memory(&mut *store, MEMORY).ok_or_else(no_memory)?;
    // The wire's own cap on a message is below what 32 bits count.
    let length = u32::try_from(input.len()).map_err(wasmtime::Error::new)?;
    let allocate = instance.get_typed_func::<u32, u32>(&mut *store, ALLOCATE)?;
    let at = allocate.call(&mut *store, length)?;
    write(memory, &mut *store, "input", at, input)?;
    let entry = instance.get_typed_func::<(u32, u32), u64>(&mut *store, function)?;
    let returned = entry.call(&mut *store, (at, length))?;
    let (at, length) = ((returned >> 32) as u32, returned as u32);
    let bytes_max = store.data().limits.output_bytes_max;
    if length as usize > bytes_max {
        let error = WasmError::OutputTooLarge { bytes: length.into(), bytes_max: bytes_max as u64 };
        return Err(wasmtime::Error::new(error));
    }
    read(memory, &*store, "output", at, length)
}

pub(super) fn no_memory() -> wasmtime::Error {
    wasmtime::Error::new(WasmError::MissingExport { export: MEMORY.to_owned() })
}

/// Bytes of a guest, if they are its own.
pub(super) fn read(
    memory: Memory,
    store: impl wasmtime::AsContext,
    what: &str,
    at: u32,
    length: u32,
) -> wasmtime::Result<Bytes> {
    let end = (at as usize).checked_add(length as usize);
    let bytes = end.and_then(|end| memory.data(&store).get(at as usize..end));
    bytes.map(Bytes::copy_from_slice).ok_or_else(|| out_of_bounds(what, at, length))
}

/// Writes to a guest's memory, if there is that much of it.
pub(super) fn write(
    memory: Memory,
    store: impl AsContextMut,
    what: &str,
    at: u32,
    bytes: &[u8],
) -> wasmtime::Result<()> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    memory.write(store, at as usize, bytes).map_err(|_| out_of_bounds(what, at, length))
}

fn out_of_bounds(what: &str, at: u32, bytes: u32) -> wasmtime::Error {
    wasmtime::Error::new(WasmError::OutOfBounds { what: what.to_owned(), at, bytes })
}

/// What has ended a guest.
fn ended(error: &wasmtime::Error, limits: &WasmLimits) -> WasmError {
    if let Some(said) = error.downcast_ref::<WasmError>() {
        return said.clone();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => WasmError::OutOfFuel { fuel_max: limits.fuel_max },
        Some(trap) => WasmError::Trapped { text: trap.to_string() },
        None => {
            WasmError::Trapped { text: shortened(&error.root_cause().to_string(), TEXT_BYTES_MAX).to_owned() }
        }
    }
}

/// So many of something in a second.
#[derive(Debug)]
struct Budget {
    per_second: u32,
    left: u32,
    /// The tick from which on there is as much again.
    again: u64,
}

impl Budget {
    fn new(per_second: u32) -> Self {
        Self { per_second, left: per_second, again: 0 }
    }

    /// Takes one. Says how many are left, or that there is none.
    fn take(&mut self, ticking: &Ticking) -> Option<u32> {
        if ticking.now() >= self.again {
            (self.left, self.again) = (self.per_second, ticking.after(Duration::from_secs(1)));
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.left)
    }
}

impl Guest {
    /// Takes one of the events that it may tell.
    pub(super) fn take_event(&mut self) -> Option<u32> {
        self.events.take(&self.ticking)
    }

    /// Takes one of the lines that it may log.
    pub(super) fn take_line(&mut self) -> Option<u32> {
        self.lines.take(&self.ticking)
    }

    /// Whether it may go on.
    pub(super) fn check(&self) -> Result<(), WasmError> {
        let timed_out = |time: Duration| {
            let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            Err(WasmError::TimedOut { time_ms })
        };
        match self.stop.why() {
            Some(Why::Stopped) => Err(WasmError::Stopped),
            Some(Why::TimedOut) => timed_out(self.limits.task_time),
            None if self.ticking.now() >= self.turn_end => timed_out(self.limits.turn_time),
            None => Ok(()),
        }
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes_max = self.limits.memory_bytes_max;
        if desired <= bytes_max {
            return Ok(true);
        }
        Err(wasmtime::Error::new(WasmError::OutOfMemory { bytes_max: bytes_max as u64 }))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements_max = self.limits.table_elements_max;
        if desired <= elements_max {
            return Ok(true);
        }
        Err(wasmtime::Error::new(WasmError::TableTooLarge { elements_max: elements_max as u64 }))
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        1
    }
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
