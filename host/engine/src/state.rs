//! What the host holds for one running instance: the limits of its memory and tables, and its log.

use pgloom_common::error::one_line;
use tracing::Level;
use wasmtime::{ResourceLimiter, StoreContextMut, Trap};

/// The number of lines that a call may log; further lines are dropped.
pub(crate) const MAX_LOG_LINES: usize = 100;
/// The bytes of a line that are logged; the rest of the line is dropped.
pub(crate) const MAX_LOG_LINE_BYTES: usize = 2 << 10;
/// The fuel that a line takes, and each byte of it: about what the host does for it, in instructions of a plugin. Without
/// them a plugin could keep the host busy for almost no fuel.
pub(crate) const LOG_FUEL: u64 = 1000;
pub(crate) const LOG_FUEL_PER_BYTE: u64 = 1;
/// The entries of all tables of a call. The kit's plugins need a few hundred.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// The memories of a component. A component of the kit has one; toolchains that link an adapter share it.
pub(crate) const MEMORIES: u32 = 4;
/// The tables of a component: one of each module with indirect calls, and one of the canonical ABI's shim.
pub(crate) const TABLES: u32 = 8;
/// The core instances of a component. Toolchains of interpreted languages link many modules, that of Python 38.
pub(crate) const INSTANCES: u32 = 64;

/// The data of a `wasmtime::Store`.
pub(crate) struct State {
    pub(crate) resources: Resources,
    lines: usize,
    /// The last line of level `error`: a guest that panics logs why, and then traps.
    last_error: Option<String>,
}

/// Grants memory and table entries up to a limit for all memories and tables of a call together, and remembers what it
/// refused: a guest only traps then, and does not say why.
pub(crate) struct Resources {
    memory: Sum,
    table_elements: Sum,
    refused: Option<Refused>,
}

/// What a guest asked for and did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Memory,
    TableElements,
}

/// A sum with a limit.
struct Sum {
    used: usize,
    limit: usize,
    /// What the last growth added. The growth may fail after it was granted.
    last: usize,
}

impl State {
    /// The state of a new instance that may use `memory` bytes.
    pub(crate) fn new(memory: usize) -> Self {
        let resources = Resources { memory: Sum::new(memory), table_elements: Sum::new(TABLE_ELEMENTS), refused: None };
        Self { resources, lines: 0, last_error: None }
    }

    /// The guest's last line of level `error`, in one line.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
}

impl Resources {
    /// What was refused and is the likely reason of a trap. A guest that got more afterwards, or called the host, has
    /// survived the refusal: what stops it later has another reason.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// The linear memory of the instance, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory.used
    }

    fn answer(&mut self, granted: bool, refused: Refused) -> wasmtime::Result<bool> {
        self.refused = (!granted).then_some(refused);
        Ok(granted)
    }
}

impl Sum {
    fn new(limit: usize) -> Self {
        Self { used: 0, limit, last: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let added = desired.saturating_sub(current);
        let granted = self.used.saturating_add(added) <= self.limit;
        if granted {
            self.used += added;
            self.last = added;
        }
        granted
    }

    fn undo(&mut self) {
        self.used = self.used.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl ResourceLimiter for Resources {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = self.memory.grow(current, desired);
        self.answer(granted, Refused::Memory)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = self.table_elements.grow(current, desired);
        self.answer(granted, Refused::TableElements)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements.undo();
        Ok(())
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn instances(&self) -> usize {
        INSTANCES as usize
    }
}

/// Takes the fuel for a line of the plugin, and writes the line to the log.
///
/// # Errors
/// If there is too little fuel.
pub(crate) fn write(mut store: StoreContextMut<'_, State>, level: Level, message: &str) -> wasmtime::Result<()> {
    let bytes = u64::try_from(message.len()).unwrap_or(u64::MAX);
    let fuel = LOG_FUEL.saturating_add(bytes.saturating_mul(LOG_FUEL_PER_BYTE));
    let left = store.get_fuel()?.checked_sub(fuel);
    store.set_fuel(left.unwrap_or_default())?;
    if left.is_none() {
        return Err(Trap::OutOfFuel.into());
    }
    store.data_mut().write(level, message);
    Ok(())
}

impl State {
    /// Writes a line of the plugin to the log.
    fn write(&mut self, level: Level, message: &str) {
        self.resources.refused = None;
        if level == Level::ERROR {
            self.last_error = Some(one_line(message, MAX_LOG_LINE_BYTES));
        }
        self.lines += 1;
        if self.lines > MAX_LOG_LINES {
            if self.lines == MAX_LOG_LINES + 1 {
                tracing::warn!(limit = MAX_LOG_LINES, "too many log lines, further lines of this call are dropped");
            }
            return;
        }
        let line = shorten(message);
        match level {
            Level::TRACE => tracing::trace!("{line}"),
            Level::DEBUG => tracing::debug!("{line}"),
            Level::INFO => tracing::info!("{line}"),
            Level::WARN => tracing::warn!("{line}"),
            Level::ERROR => tracing::error!("{line}"),
        }
    }
}

/// The line, or its first [`MAX_LOG_LINE_BYTES`] bytes; a character is not cut.
fn shorten(line: &str) -> &str {
    let end = (0..=MAX_LOG_LINE_BYTES.min(line.len())).rev().find(|&end| line.is_char_boundary(end));
    line.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_a_call_share_one_limit() {
        let mut resources = State::new(100).resources;
        assert!(resources.memory_growing(0, 60, None).unwrap());
        assert!(!resources.memory_growing(0, 60, None).unwrap(), "a second memory");
        assert_eq!(resources.refused(), Some(Refused::Memory));
        assert!(resources.memory_growing(60, 90, None).unwrap(), "the first one grows");
        assert_eq!(resources.refused(), None, "the guest has survived the refusal");
        resources.memory_grow_failed(wasmtime::Error::msg("no page")).unwrap();
        assert!(resources.memory_growing(60, 100, None).unwrap(), "a growth that failed does not count");
    }

    #[test]
    fn all_tables_of_a_call_share_one_limit() {
        let mut resources = State::new(0).resources;
        assert!(resources.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(!resources.table_growing(0, 1, None).unwrap());
        assert_eq!(resources.refused(), Some(Refused::TableElements));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"a".repeat(MAX_LOG_LINE_BYTES + 1)).len(), MAX_LOG_LINE_BYTES);
        assert_eq!(shorten(&format!("a{}", "ä".repeat(MAX_LOG_LINE_BYTES))).len(), MAX_LOG_LINE_BYTES - 1);
    }
}
