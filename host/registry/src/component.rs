//! The description of a component in a registry, which tools read without the component.

use serde_json::json;
use wasmparser::{Parser, Payload};

use crate::digest::Digest;
use crate::error::Error;

/// The config of a component's manifest. It has no time, so that the same component has the same digest.
pub fn config(component: &[u8]) -> Result<Vec<u8>, Error> {
    let (imports, exports) = names(component)?;
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [Digest::of(component).to_string()],
        "component": {"exports": exports, "imports": imports},
    });
    Ok(config.to_string().into_bytes())
}

/// The names of what a component imports and exports.
fn names(component: &[u8]) -> Result<(Vec<String>, Vec<String>), Error> {
    let refuse = |reason: String| Error::Component(reason);
    if !Parser::is_component(component) {
        return Err(refuse("it is a core module, or no WebAssembly; build a component from it".to_owned()));
    }
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| refuse(error.to_string()))? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(|error| refuse(error.to_string()))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(|error| refuse(error.to_string()))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_and_other_files_are_refused() {
        for bytes in [&b"\0asm\x01\0\0\0"[..], b"#!/bin/sh", b""] {
            assert!(config(bytes).unwrap_err().to_string().contains("the file is no component"));
        }
    }
}
