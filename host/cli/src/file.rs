//! Reads files of YAML or JSON documents; errors name the file.

use std::path::Path;

use anyhow::{Context, Result, bail};
use pgloom_api::document;
use serde_json::Value;

/// Every document of a file, `-` being standard input.
pub fn read_all(path: &Path) -> Result<Vec<Value>> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("standard input")?
    } else {
        let failed = || format!("{}: cannot be read; check the path and the content", path.display());
        std::fs::read_to_string(path).with_context(failed)?
    };
    document::read(&text).with_context(|| path.display().to_string())
}

/// The only document of a file.
pub fn read_one(path: &Path) -> Result<Value> {
    let mut documents = read_all(path)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        _ => bail!("{}: has several documents, only one is allowed", path.display()),
    }
}
