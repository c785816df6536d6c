//! The log: its format, its filter, to standard error.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// The flags of logging.
#[derive(Args)]
pub struct Arguments {
    /// Which lines are logged, as in `info,pgloom_operator=debug`
    #[arg(long, env = "PGLOOM_LOG", global = true, value_name = "FILTER", hide_env_values = true)]
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
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
            Format::Json => lines.json().flatten_event(true).init(),
        }
    }
}
