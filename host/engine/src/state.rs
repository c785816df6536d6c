//! What the host holds for one running instance: its memory limit and its log.

use tracing::Level;
use wasmtime::ResourceLimiter;

/// The number of lines that a call may log; further lines are dropped.
const MAX_LOG_LINES: usize = 100;
/// The bytes of a line that are logged; the rest of the line is dropped.
const MAX_LOG_LINE_BYTES: usize = 2 << 10;
/// The entries of one table. The kit's plugins need a few hundred.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// The data of a `wasmtime::Store`.
pub(crate) struct State {
    pub(crate) memory: MemoryLimit,
    lines: usize,
}

/// Grants memory up to a limit, and remembers whether it refused any: a guest only traps then, and does not say why.
pub(crate) struct MemoryLimit {
    /// Bytes.
    limit: usize,
    pub(crate) refused: bool,
}

impl State {
    /// The state of a new instance that may use `memory` bytes.
    pub(crate) fn new(memory: usize) -> Self {
        Self { memory: MemoryLimit { limit: memory, refused: false }, lines: 0 }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= self.limit;
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

impl State {
    /// Writes a line of the plugin to the log.
    pub(crate) fn write(&mut self, level: Level, message: &str) {
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
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"a".repeat(MAX_LOG_LINE_BYTES + 1)).len(), MAX_LOG_LINE_BYTES);
        assert_eq!(shorten(&format!("a{}", "ä".repeat(MAX_LOG_LINE_BYTES))).len(), MAX_LOG_LINE_BYTES - 1);
    }
}
