//! No plugin: exports the log that a plugin imports, and keeps every line in its own memory. The tests compose it with a
//! plugin.

wit_bindgen::generate!({
    path: "../../../wit/0.2",
    inline: r#"
        package test:logger;
        world logger {
            export pgloom:plugin/log@0.2.0;
        }
    "#,
    world: "test:logger/logger",
});

use std::sync::Mutex;

use exports::pgloom::plugin::log::{Guest, Level};

static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

struct Logger;

impl Guest for Logger {
    fn log(level: Level, message: String) {
        if let Ok(mut lines) = LINES.lock() {
            lines.push((level, message));
        }
    }
}

#[cfg(target_arch = "wasm32")]
export!(Logger);
