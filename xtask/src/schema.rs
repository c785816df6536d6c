//! Generates the engine's merge table from the OpenAPI documents of an API server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Included as a file, so that this program need not be built after WebAssembly's compiler.
#[allow(dead_code, reason = "the engine makes tables of custom resources, too")]
#[path = "../../host/engine/src/schema/openapi.rs"]
mod openapi;

/// The table, relative to the root of the repository.
const TABLE: &str = "host/engine/src/schema/table.json";

/// Where the OpenAPI documents come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of v3 documents, as in `api/openapi-spec/v3` of the Kubernetes sources.
    Folder(PathBuf),
    /// A running API server, reached by this kubectl command, as in `tests/cluster/cluster kubectl`.
    Kubectl(String),
}

/// Writes the table; with `check`, compares it with the source's and changes nothing.
pub fn run(source: &Source, check: bool) -> Result<()> {
    let documents = match source {
        Source::Folder(folder) => read(folder)?,
        Source::Kubectl(command) => fetch(command)?,
    };
    let text = openapi::built_in(&documents)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(TABLE);
    if !check {
        fs::write(&file, &text).with_context(|| format!("failed to write {TABLE}"))?;
        println!("{TABLE}: {} bytes", text.len());
        return Ok(());
    }
    if fs::read_to_string(&file).with_context(|| format!("failed to read {TABLE}"))? != text {
        bail!("{TABLE} is not up to date with the API server; run `cargo xtask schema` and commit the file");
    }
    Ok(())
}

/// The documents of a folder.
fn read(folder: &Path) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read folder {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            documents.push(serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))?);
        }
    }
    Ok(documents)
}

/// The documents that an API server lists at `/openapi/v3`.
fn fetch(command: &str) -> Result<Vec<Value>> {
    let index = get(command, "/openapi/v3")?;
    let paths = index.get("paths").and_then(Value::as_object).context("the API server lists no OpenAPI documents")?;
    paths
        .iter()
        // The other documents (logs, version, …) have no kinds.
        .filter(|(name, _)| name.starts_with("api/") || name.starts_with("apis/"))
        .map(|(name, _)| get(command, &format!("/openapi/v3/{name}")))
        .collect()
}

fn get(command: &str, path: &str) -> Result<Value> {
    let mut words = command.split_whitespace();
    let program = words.next().context("the kubectl command is empty")?;
    let output = Command::new(program)
        .args(words)
        .args(["get", "--raw", path])
        .output()
        .with_context(|| format!("failed to run {program}; give the kubectl command with --kubectl"))?;
    if !output.status.success() {
        bail!("{command} get --raw {path} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{path} is not JSON"))
}
