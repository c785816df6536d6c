//! The log: its format, its filter, to standard error.
//!
//! A line holds text of others, as of a plugin or of a manifest, so that a line break in it would forge a line. Each event
//! is one line.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// The flags of logging.
#[derive(Args)]
pub struct Arguments {
    /// Which lines are logged, as in `info,pgloom_operator=debug`
    #[arg(
        long,
        env = "PGLOOM_LOG",
        global = true,
        value_name = "FILTER",
        hide_env_values = true,
        value_parser = filter
    )]
    log: Option<String>,
    /// The format of a line
    #[arg(
        long,
        env = "PGLOOM_LOG_FORMAT",
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_env_values = true
    )]
    log_format: Format,
}

fn filter(text: &str) -> Result<String, String> {
    let remedy = "write it as in info,pgloom_operator=debug";
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| format!("{error}; {remedy}"))
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Text with time, level, target, message and fields
    Text,
    /// One JSON object a line
    Json,
}

impl Arguments {
    /// Starts logging to standard error.
    pub fn start(&self, default: &str) {
        let filter = self.log.as_deref().unwrap_or(default);
        let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| OneLine(io::stderr()));
        match self.log_format {
            Format::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
            Format::Json => lines.json().flatten_event(true).init(),
        }
    }
}

/// Writes each event as one line: the subscriber writes an event with one call, and its line breaks but the last are
/// escaped.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (text, end) = event.strip_suffix(b"\n").map_or((event, &b""[..]), |text| (text, b"\n"));
        let mut line = Vec::with_capacity(event.len());
        for &byte in text {
            match byte {
                b'\n' => line.extend(b"\\n"),
                b'\r' => line.extend(b"\\r"),
                _ => line.push(byte),
            }
        }
        line.extend(end);
        self.0.write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints a line to standard error. If that is closed, there is no place left to say so.
pub fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_an_event_does_not_begin_a_line() {
        let mut written = OneLine(Vec::new());
        written.write_all(b"a\n2026-01-01 ERROR forged\r\n").unwrap();
        written.write_all(b"next\n").unwrap();
        assert_eq!(String::from_utf8(written.0).unwrap(), "a\\n2026-01-01 ERROR forged\\r\nnext\n");
    }
}
