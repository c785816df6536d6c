//! The shipped pipeline grants each step what its plugin asks for, and nothing else.
#![allow(clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};

use conformance::engine;
use pgloom_api::pipeline::Document;
use pgloom_engine::{Description, Plugin, grant};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The description of the plugin of a shipped step.
fn description(step: &str) -> Description {
    let path = repository("dist/plugins").join(format!("{step}.wasm"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; make plugins", path.display()));
    Plugin::load(&engine(), &bytes, None).unwrap().description
}

/// The document with the grants that the plugins ask for. A step whose plugin needs nothing keeps the grants that are
/// written there: the platform decides.
fn with_grants(text: &str) -> String {
    let (mut written, mut skips) = (String::new(), false);
    let mut grants = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("  - name: ") {
            let description = description(name);
            let is_free = grant::is_empty(&grant::needed(&description));
            grants = if is_free { String::new() } else { grant::yaml(&grant::all(&description), 6) };
        }
        skips = !grants.is_empty() && (line == "    grants:" || skips && line.starts_with("      "));
        if !skips {
            written.push_str(line);
            written.push('\n');
        }
        if line.starts_with("    source: ") && !grants.is_empty() {
            written.push_str("    grants:\n");
            written.push_str(&grants);
        }
    }
    written
}

#[test]
fn the_shipped_pipeline_grants_each_step_what_its_plugin_asks_for_and_nothing_else() {
    let path = repository("manifests/pipeline.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = with_grants(&text);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert_eq!(text, expected, "run this test with UPDATE=1, and read the difference");
    }
    let document = Document::read(&serde_yaml_ng::from_str(&expected).unwrap()).unwrap();
    for step in &document.steps {
        let beyond = grant::lacking(&step.grants, &grant::all(&description(&step.name)));
        assert!(grant::is_empty(&beyond), "{} does not ask for:\n{}", step.name, grant::yaml(&beyond, 0));
    }
}
