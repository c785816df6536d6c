//! WASI 0.1 of a core module: an adapter whose functions give the empty answers that the host gives of WASI 0.2.
//!
//! With the usual adapter a component would import WASI 0.2, and the adapter takes its memory with `memory.grow`. A module
//! that manages its memory itself, as Go does, takes those pages for its own. This adapter has no memory and imports nothing.

use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    InstructionSink, MemArg, MemArgTarget, MemoryType, Module, TypeSection, ValType,
};
use wasmparser::{BinaryReaderError, FuncType, Parser, Payload, TypeRef};

/// The module from which such a core module imports the clock, files and more. Its functions:
/// <https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md>.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// The error that a file descriptor is not open.
const BADF: i32 = 8;

/// The adapter for what a module imports of WASI 0.1; nothing if it imports none of it.
pub(crate) fn adapter(module: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let functions = imported(module)?;
    Ok((!functions.is_empty()).then(|| encode(&functions)))
}

/// The functions that a module imports, each with its type.
fn imported(module: &[u8]) -> Result<Vec<(String, FuncType)>, BinaryReaderError> {
    let mut types: Vec<FuncType> = Vec::new();
    let mut functions: Vec<(String, FuncType)> = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let TypeRef::Func(index) = import.ty else { continue };
                    let ty = usize::try_from(index).ok().and_then(|index| types.get(index));
                    // Some linkers import a function once for each place that names it.
                    let is_new = functions.iter().all(|(name, _)| name != import.name);
                    let ty = ty.filter(|_| import.module == MODULE && is_new);
                    functions.extend(ty.map(|ty| (import.name.to_owned(), ty.clone())));
                }
                break;
            }
            _ => {}
        }
    }
    Ok(functions)
}

/// A module that exports the functions, and works on the memory of the one that imports them.
fn encode(functions: &[(String, FuncType)]) -> Vec<u8> {
    let (mut types, mut declared) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    for (index, (name, ty)) in (0..).zip(functions) {
        types.ty().function(ty.params().iter().map(value_type), ty.results().iter().map(value_type));
        declared.function(index);
        exports.export(name, ExportKind::Func, index);
        code.function(&body(name, ty));
    }
    let mut imports = ImportSection::new();
    let memory = MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
    imports.import("env", "memory", EntityType::Memory(memory));
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&declared).section(&exports).section(&code);
    module.finish()
}

/// All functions of WASI 0.1 have parameters of these two types.
fn value_type(ty: &wasmparser::ValType) -> ValType {
    if *ty == wasmparser::ValType::I64 { ValType::I64 } else { ValType::I32 }
}

fn body(name: &str, ty: &FuncType) -> Function {
    // One more local for the sum of `fd_write`.
    let mut function = Function::new([(1, ValType::I32)]);
    let sum = u32::try_from(ty.params().len()).unwrap_or_default();
    let mut code = function.instructions();
    match name {
        // No arguments, no environment.
        "args_sizes_get" | "environ_sizes_get" => {
            zero(&mut code, 0);
            zero(&mut code, 1);
            code.i32_const(0);
        }
        "args_get" | "environ_get" | "sched_yield" => {
            code.i32_const(0);
        }
        // The clock is always at the first nanosecond: Go does not start with a clock that is zero.
        "clock_time_get" => {
            code.local_get(2).i64_const(1).i64_store(at(0)).i32_const(0);
        }
        "clock_res_get" => {
            code.local_get(1).i64_const(1).i64_store(at(0)).i32_const(0);
        }
        "random_get" => {
            code.local_get(0).i32_const(0).local_get(1).memory_fill(0).i32_const(0);
        }
        // Output is discarded: all bytes of the list of buffers are taken.
        "fd_write" => discard(&mut code, sum),
        // A wait is over at once.
        "poll_oneoff" => {
            zero(&mut code, 3);
            code.i32_const(0);
        }
        "proc_exit" => {
            code.unreachable();
        }
        // Files, folders and sockets: none is open.
        _ => {
            code.i32_const(BADF);
        }
    }
    code.end();
    function
}

fn at(offset: u64) -> MemArg {
    MemArg { offset, align: 0, target: MemArgTarget::Memory(0), ordering: None }
}

/// Stores a zero of 32 bits where the parameter points to.
fn zero(code: &mut InstructionSink<'_>, parameter: u32) {
    code.local_get(parameter).i32_const(0).i32_store(at(0));
}

/// `fd_write(fd, buffers, count, written)`; a buffer is an address and a length.
fn discard(code: &mut InstructionSink<'_>, sum: u32) {
    let (buffers, count, written) = (1, 2, 3);
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(count).i32_eqz().br_if(1);
    code.local_get(buffers).i32_load(at(4)).local_get(sum).i32_add().local_set(sum);
    code.local_get(buffers).i32_const(8).i32_add().local_set(buffers);
    code.local_get(count).i32_const(1).i32_sub().local_set(count);
    code.br(0).end().end();
    code.local_get(written).local_get(sum).i32_store(at(0)).i32_const(0);
}
