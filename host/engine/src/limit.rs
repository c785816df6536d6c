//! The limits of a plugin as a list, for the reference of the contract. Each number is the constant that is enforced.

use std::time::Duration;

use pgloom_api::pipeline::{MAX_DEADLINE, MAX_FUEL, MAX_MEMORY};

use crate::call::Limits;
use crate::compile::Compiler;
use crate::convert::{MAX_FINDINGS, MAX_TEXT};
use crate::description::{MAX_DOCUMENT, MAX_ENTRIES, MAX_SELECTORS, MAX_TEXT as MAX_NAME};
use crate::engine::EngineConfig;
use crate::pipeline::{
    MAX_ACTIONS, MAX_CONDITIONS, MAX_DEPTH, MAX_KEY, MAX_OBJECTS, MAX_REMOVALS, MAX_TYPE, MAX_VALUES,
};
use crate::state::{
    INSTANCES, LOG_FUEL, LOG_FUEL_PER_BYTE, MAX_LOG_LINE_BYTES, MAX_LOG_LINES, MEMORIES, TABLE_ELEMENTS, TABLES,
};
use crate::validator::{MAX_DEPTH as MAX_CHAIN, MAX_PATTERNS};

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What it is a limit of, as in `a call`.
    pub of: &'static str,
    /// What is limited, as in `memory`.
    pub what: &'static str,
    /// The most that is allowed, with its unit, as in `4 MiB`.
    pub most: String,
    /// Which field of a step sets another one, and its ceiling; or what is dropped beyond it instead of a failure.
    pub note: String,
}

/// All limits, in the order in which a component meets them.
#[must_use]
pub fn limits() -> Vec<Limit> {
    [component(), description(), call(), response(), log()].concat()
}

fn component() -> Vec<Limit> {
    let of = "a component";
    vec![
        row(of, "size", bytes(EngineConfig::MAX_COMPONENT), "`--max-component` of the operator sets another one"),
        row(
            of,
            "memory of the compiler",
            bytes(Compiler::MEMORY),
            "`--compile-memory` of the operator sets another one",
        ),
        row(of, "time of the compiler", seconds(Compiler::TIME), "`--compile-time` of the operator sets another one"),
        row(of, "core instances", INSTANCES.to_string(), ""),
        row(of, "linear memories", MEMORIES.to_string(), ""),
        row(of, "tables", TABLES.to_string(), ""),
    ]
}

fn description() -> Vec<Limit> {
    let of = "a description";
    vec![
        row(of, "entries of a list", MAX_ENTRIES.to_string(), ""),
        row(of, "selectors in `observed`", MAX_SELECTORS.to_string(), ""),
        row(of, "a name, a path or a sentence", bytes(MAX_NAME as u64), ""),
        row(of, "`config-schema`, `config-example`", bytes(MAX_DOCUMENT as u64), ""),
        row(of, "patterns in the schema", MAX_PATTERNS.to_string(), ""),
        row(of, "levels of the schema and of a configuration", MAX_CHAIN.to_string(), ""),
    ]
}

fn call() -> Vec<Limit> {
    let of = "a call";
    let Limits { memory, fuel, deadline, input, output } = Limits::default();
    let step = |field: &str, most: String| format!("`limits.{field}` of the step sets another one, up to {most}");
    vec![
        row(of, "linear memories together", bytes(memory as u64), step("memory", bytes(MAX_MEMORY))),
        row(of, "fuel: executed WebAssembly instructions", fuel.to_string(), step("fuel", MAX_FUEL.to_string())),
        row(of, "time on the clock", seconds(deadline), step("deadline", seconds(MAX_DEADLINE))),
        row(of, "request", bytes(input as u64), ""),
        row(of, "response", bytes(output as u64), ""),
        row(of, "entries of all tables", TABLE_ELEMENTS.to_string(), ""),
    ]
}

fn response() -> Vec<Limit> {
    let of = "a response";
    vec![
        row(of, "partial objects", MAX_OBJECTS.to_string(), ""),
        row(of, "removals", MAX_REMOVALS.to_string(), ""),
        row(of, "values in the JSON of all partial objects", MAX_VALUES.to_string(), "maps, lists and scalars"),
        row(of, "levels of a partial object", MAX_DEPTH.to_string(), ""),
        row(of, "actions", MAX_ACTIONS.to_string(), ""),
        row(of, "`key` of an action", bytes(MAX_KEY as u64), ""),
        row(of, "findings", MAX_FINDINGS.to_string(), "of a failure: more are dropped"),
        row(of, "conditions", MAX_CONDITIONS.to_string(), ""),
        row(of, "`type-name` and `reason` of a condition", bytes(MAX_TYPE as u64), ""),
        row(of, "a text for people", bytes(MAX_TEXT as u64), "a longer one is cut"),
    ]
}

fn log() -> Vec<Limit> {
    let of = "the log";
    vec![
        row(of, "lines of a call", MAX_LOG_LINES.to_string(), "more are dropped"),
        row(of, "a line", bytes(MAX_LOG_LINE_BYTES as u64), "the rest is dropped"),
        row(of, "fuel of a line", format!("{LOG_FUEL}, and {LOG_FUEL_PER_BYTE} for each byte"), "this is its price"),
    ]
}

fn row(of: &'static str, what: &'static str, most: String, note: impl Into<String>) -> Limit {
    Limit { of, what, most, note: note.into() }
}

fn bytes(number: u64) -> String {
    match number {
        large if large >= 1 << 20 && large % (1 << 20) == 0 => format!("{} MiB", large >> 20),
        middle if middle >= 1 << 10 && middle % (1 << 10) == 0 => format!("{} KiB", middle >> 10),
        small => format!("{small} bytes"),
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_largest_unit_that_is_exact() {
        for (number, text) in [(253, "253 bytes"), (2 << 10, "2 KiB"), (1025, "1025 bytes"), (4 << 20, "4 MiB")] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn no_two_limits_have_one_name() {
        let mut names: Vec<_> = limits().into_iter().map(|limit| (limit.of, limit.what)).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
