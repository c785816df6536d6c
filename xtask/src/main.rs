//! Development tasks that are more than a shell line: `cargo xtask --help`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod component;

#[derive(Parser)]
#[command(about = "Development tasks that are more than a shell line")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make components of compiled plugins: every `plugin_NAME.wasm` of a folder becomes `NAME.wasm` in another.
    Components {
        /// Where cargo put the core modules.
        from: PathBuf,
        /// Where the components go.
        to: PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Components { from, to } => component::build_all(&from, &to),
    }
}
