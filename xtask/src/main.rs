//! Development tasks that are more than a shell line: `cargo xtask --help`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod component;
mod schema;

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
    /// Write the engine's merge table anew from the OpenAPI documents of an API server.
    Schema {
        /// How to reach the API server: a kubectl command.
        #[arg(long, default_value = "tests/cluster/cluster kubectl")]
        kubectl: String,
        /// Read the documents from this folder instead, as in `api/openapi-spec/v3` of the Kubernetes sources.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Only compare, and fail if the table is another.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Components { from, to } => component::build_all(&from, &to),
        Task::Schema { kubectl, folder, check } => {
            schema::run(&folder.map_or(schema::Source::Kubectl(kubectl), schema::Source::Folder), check)
        }
    }
}
