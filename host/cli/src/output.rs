//! Standard output: what a command prints, as text or as bytes.

use std::io::{self, ErrorKind, StdoutLock, Write as _};

use anyhow::{Context, Result};

/// Prints a text. A reader that has gone, as `head` does, has what it wants: the command goes on, and its exit code says
/// what came of it.
///
/// # Errors
/// If it cannot be written, as on a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("standard output cannot be written"),
        _ => Ok(()),
    }
}

/// Prints a line, as [`print`].
///
/// # Errors
/// As [`print`].
pub fn line(line: std::fmt::Arguments<'_>) -> Result<()> {
    print(&format!("{line}\n"))
}

/// Standard output for bytes.
pub fn lock() -> StdoutLock<'static> {
    io::stdout().lock()
}
