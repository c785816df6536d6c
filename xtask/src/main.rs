//! Development tasks: `cargo xtask --help`.

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
    /// Build components from core modules: `plugin_NAME.wasm` or `guest_NAME.wasm` of a folder becomes `NAME.wasm` in
    /// another.
    Components {
        /// The folder with the core modules, as cargo writes them.
        from: PathBuf,
        /// The folder for the components.
        to: PathBuf,
    },
    /// Generate the engine's merge table from the OpenAPI documents of an API server.
    Schema {
        /// The kubectl command that reaches the API server.
        #[arg(long, default_value = "tests/cluster/cluster kubectl")]
        kubectl: String,
        /// Read the documents from this folder instead, as in `api/openapi-spec/v3` of the Kubernetes sources.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Write nothing; fail if the table is not up to date.
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
