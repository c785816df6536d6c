//! Components whose modules take the memory or the time of the host, or that are not plugins at all.

use serde_json::{Value, json};

use super::{By, Case, guest};
use crate::component::{compile_bomb, endless_growth, endless_start, memory, module, module_of, table, with_instances};
use crate::guest as built;

fn case(name: &'static str, module: &[u8], count: usize, says: &'static str) -> Case {
    component(name, with_instances(&guest().component(), module, count), says)
}

fn component(name: &'static str, bytes: Vec<u8>, says: &'static str) -> Case {
    Case::bytes(name, bytes, By::Load, &[says])
}

pub(super) fn cases() -> Vec<Case> {
    let tail_call = [1, 4, 0, 0x12, 0, 0x0b];
    let tail_call = module_of(&[(1, &[1, 0x60, 0, 0]), (3, &[1, 0]), (10, &tail_call)]);
    let whole = guest().component();
    let half = whole.get(..whole.len() / 2).unwrap_or_default().to_vec();
    let other_digest: Value = format!("sha256:{}", "0".repeat(64)).into();
    vec![
        case("has sixteen memories", &memory(1), 16, "17 Wasm linear memories"),
        case("has three large memories", &memory(512), 3, "more than 67108864 bytes of memory"),
        case("has sixteen tables", &table(10), 16, "tables, which exceeds the configured maximum of 8"),
        case("has two large tables", &table(60_000), 2, "more than 100000 entries of tables"),
        case("has a hundred instances", &module_of(&[]), 100, "core module instances"),
        case(
            "has a start function that never ends",
            &endless_start(),
            1,
            "describe failed: the component could not be described: the plugin took more than",
        ),
        case(
            "has a start function that grows a memory by nothing without end",
            &endless_growth(),
            1,
            "describe failed: the component could not be described: the plugin took more than",
        ),
        Case::bytes(
            "takes more memory to compile than the child may have",
            with_instances(&guest().component(), &compile_bomb(), 1),
            By::Compile,
            &["compiling takes more than 160 MiB of memory; use a smaller component, or raise --compile-memory"],
        ),
        case("has a memory of 64 bits", &module(5, &[1, 4, 1]), 1, "memory64"),
        case(
            "has a module with two memories",
            &module(5, &[2, 0, 1, 0, 1]),
            1,
            "memories count of 2 exceeds the per-instance limit of 1",
        ),
        case("has calls without a return", &tail_call, 1, "tail calls"),
        component("is larger than a component may be", [whole.clone(), vec![0; 16 << 20]].concat(), "fetch failed"),
        component("ends in the middle", half, "compile failed: "),
        component("is a program", b"#!/bin/sh\nrm -r /".to_vec(), "verify failed: the file is not WebAssembly"),
        component("is a core module", module_of(&[]), "verify failed: the file is a core module, not a component"),
        component("is not the component that the pipeline pins", whole, "pin the new digest if the change is intended")
            .step("digest", other_digest),
        component(
            "speaks another version of the contract",
            built("wrong-version.wasm"),
            "`pgloom:plugin/mutate-resources@0.9.0`",
        ),
        component("imports the Secrets of the host", built("greedy-imports.wasm"), "`pgloom:plugin/secrets@0.2.0`"),
        component("is outside of the folder of the plugins", Vec::new(), "fetch failed: ")
            .step("source", json!({"file": "../hostile.wasm"})),
    ]
}
