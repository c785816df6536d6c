//! The code in README.md is the code of the plugin in `motto/`, whose tests run here.

use std::fs;

use pgloom_kit::{Settings as _, Value, json, serde_json};

#[path = "motto/lib.rs"]
mod motto;
#[path = "motto/settings.rs"]
mod settings;

use settings::Settings;

const README: &str = include_str!("../README.md");

#[test]
fn every_rust_block_of_the_readme_is_in_the_example_plugin() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/motto");
    let files = ["lib.rs", "settings.rs"].map(|file| fs::read_to_string(format!("{folder}/{file}")).unwrap());
    let blocks: Vec<&str> =
        README.split("```rust\n").skip(1).map(|rest| rest.split_once("```").unwrap().0.trim()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        assert!(files.iter().any(|file| file.contains(block)), "not in {folder}:\n{block}");
    }
}

#[test]
fn the_settings_have_a_schema_and_an_example_that_they_read() {
    let schema: Value = serde_json::from_str(&Settings::schema()).unwrap();
    assert_eq!(schema["properties"]["max_length"]["default"], 80);
    assert_eq!(Settings::read(&Settings::example()).unwrap().max_length, 80);
    assert!(Settings::read(&json!({"max_lenght": 8}).to_string()).is_err());
}
