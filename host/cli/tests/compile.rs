//! `pgloom compile` as the operator calls it: a component that the compiler needs much memory for is not loaded, and
//! nothing else happens.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use conformance::{component, guest};
use pgloom_engine::{Compiler, Engine, EngineConfig, Plugin, compile, plugin};

fn load(bytes: &[u8], memory: u64) -> Result<String, plugin::Error> {
    let program = env!("CARGO_BIN_EXE_pgloom").into();
    let compiler = Compiler { program, memory, time: Duration::from_secs(60) };
    let config = EngineConfig { compiler: Some(compiler), ..EngineConfig::default() };
    Plugin::load(&Arc::new(Engine::new(&config).unwrap()), bytes, None).map(|plugin| plugin.description.name.clone())
}

/// A component that the compiler needs much memory for.
fn bomb() -> Vec<u8> {
    component::with_instances(&guest("echo.wasm"), &component::compile_bomb(), 1)
}

#[test]
fn a_component_is_compiled_by_another_process() {
    assert_eq!(load(&guest("echo.wasm"), Compiler::MEMORY).unwrap(), "echo");
}

#[test]
fn a_component_that_takes_too_much_memory_to_compile_is_refused_by_name_of_the_limit() {
    let error = load(&bomb(), 160 << 20).unwrap_err();
    assert!(matches!(error, plugin::Error::Compile(compile::Error::Memory(160))), "{error:?}");
}

#[test]
fn a_component_that_does_not_compile_is_refused_with_the_compilers_reason() {
    let whole = guest("echo.wasm");
    let error = load(whole.get(..whole.len() / 2).unwrap(), Compiler::MEMORY).unwrap_err();
    assert!(matches!(error, plugin::Error::Compile(compile::Error::Refuse(_))), "{error:?}");
}
