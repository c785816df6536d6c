//! Makes a component of a core module, in this process: no other program is needed.
//!
//! `wit-bindgen` writes the types of the world to a custom section of the module. A module without it that exports the
//! functions of the contract gets the section here. A component that a toolchain has made already is taken as it is, without
//! the sections that nothing reads that runs it.

use wit_component::ComponentEncoder;

pub mod contract;
mod preview;
mod section;

use section::{CUSTOM, Section};

/// The first eight bytes of a core module: magic, version and layer. See
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>.
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
/// The first four bytes of every WebAssembly file.
const MAGIC: [u8; 4] = *b"\0asm";

/// The start of the names of the custom sections with the types of a world.
const WORLD: &str = "component-type";
/// The start of the names of the functions that a plugin exports; the version follows.
const EXPORTED: &str = "pgloom:plugin/mutate-resources@";
/// The functions of the contract.
const FUNCTIONS: [&str; 2] = ["describe", "mutate"];
/// The letters in which a misspelt name differs from the right one.
const MOST_LETTERS: usize = 4;

/// Why no component could be made: the problem and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not WebAssembly.
    #[error("the file is not WebAssembly; name the `.wasm` file that the compiler has made")]
    ReadMagic,
    /// The file is cut off or damaged.
    #[error("the file ends inside a section; build it again")]
    ReadSection,
    /// The file is a component already.
    #[error("the file is a component already; use it as it is")]
    IsComponent,
    /// The module has no types of a world, and exports nothing of the contract.
    #[error(
        "the module is no plugin: it exports no function `{EXPORTED}…`; in a Rust plugin add \
         `pgloom_kit::register!(TYPE);` to its lib.rs, in another language export `describe` and `mutate` with such names"
    )]
    FindWorld,
    /// The module exports one function of the contract, and not the other.
    #[error("the module exports no function `{expected}`; {remedy}")]
    FindExport {
        /// The name that is missing.
        expected: String,
        /// What to do.
        remedy: String,
    },
    /// The encoder refuses the module.
    #[error("no component can be made of the module: {0}; build it with the kit and the host of one release")]
    Encode(String),
}

/// Whether the bytes begin as those of a component do.
pub fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) && bytes.len() >= MODULE.len() && !bytes.starts_with(&MODULE)
}

/// The component of a core module.
///
/// # Errors
/// If the file is no core module of a plugin.
pub fn component(module: &[u8]) -> Result<Vec<u8>, Error> {
    if is_component(module) {
        return Err(Error::IsComponent);
    }
    if !module.starts_with(&MODULE) {
        return Err(Error::ReadMagic);
    }
    let sections = section::all(module).ok_or(Error::ReadSection)?;
    let encoded = if sections.iter().any(|section| section.custom_name().is_some_and(|name| name.starts_with(WORLD))) {
        encoded(module)
    } else if is_plugin(&sections)? {
        contract::embed(module).and_then(|module| encoded(&module))
    } else {
        return Err(Error::FindWorld);
    };
    without_notes(&encoded.map_err(|reason| Error::Encode(reason.replace('\n', " ")))?)
}

/// Whether a module without the types of the world exports the functions of the contract.
///
/// # Errors
/// If it exports only a part of them, or one with a mistake in its name.
fn is_plugin(sections: &[Section<'_>]) -> Result<bool, Error> {
    let names: Vec<&str> = sections.iter().flat_map(Section::exports).collect();
    let expected = FUNCTIONS.map(|function| format!("{EXPORTED}{}#{function}", contract::VERSION));
    let others: Vec<&str> = names.iter().copied().filter(|name| !expected.iter().any(|known| known == name)).collect();
    let close = |expected: &str| {
        let distance = |name: &&str| strsim::levenshtein(name, expected);
        others.iter().copied().min_by_key(distance).filter(|name| distance(name) <= MOST_LETTERS)
    };
    let is_meant = |name: &&str| name.starts_with(EXPORTED);
    if !names.iter().any(is_meant) && !expected.iter().any(|expected| close(expected).is_some()) {
        return Ok(false);
    }
    match expected.into_iter().find(|expected| !names.contains(&&**expected)) {
        None => Ok(true),
        Some(expected) => {
            let remedy = close(&expected).map_or_else(|| "export it".to_owned(), |name| format!("rename `{name}`"));
            Err(Error::FindExport { expected, remedy })
        }
    }
}

fn encoded(module: &[u8]) -> Result<Vec<u8>, String> {
    let adapter = preview::adapter(module).map_err(|error| error.to_string())?;
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.validate(true).module(module).and_then(|encoder| match &adapter {
        Some(adapter) => encoder.adapter(preview::MODULE, adapter),
        None => Ok(encoder),
    });
    encoder.and_then(ComponentEncoder::encode).map_err(|error| format!("{error:#}"))
}

/// A file that a toolchain has made: a component without notes, or the component of a module.
///
/// # Errors
/// As [`component`].
pub fn any(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    if is_component(bytes) { without_notes(bytes) } else { component(bytes) }
}

/// The component without its own custom sections: names of its parts, and the tools that made it.
fn without_notes(component: &[u8]) -> Result<Vec<u8>, Error> {
    let sections = section::all(component).ok_or(Error::ReadSection)?;
    let mut result = component.get(..MODULE.len()).unwrap_or_default().to_vec();
    let kept = sections.iter().filter(|section| section.id != CUSTOM);
    kept.for_each(|section: &Section<'_>| result.extend_from_slice(section.whole));
    Ok(result)
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection, MemorySection,
        MemoryType, Module, TypeSection, ValType,
    };

    use super::*;

    /// A section: its id, the length of its content, the content.
    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128);
        [&[id, length], content].concat()
    }

    fn custom(name: &str) -> Vec<u8> {
        section(CUSTOM, &[&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat())
    }

    fn reason(bytes: &[u8]) -> String {
        component(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_module_of_a_plugin_gets_a_sentence_with_the_remedy() {
        let export = [&[1, 31][..], EXPORTED.as_bytes(), &[0, 0]].concat();
        for (bytes, remedy) in [
            (&b""[..], "name the `.wasm` file"),
            (b"#!/bin/sh", "name the `.wasm` file"),
            (b"\0asm\x0d\0\x01\0", "use it as it is"),
            (&MODULE, "register!"),
            (&[&MODULE[..], &custom("producers")].concat(), "register!"),
            (&[&MODULE[..], &[0, 9, 1]].concat(), "build it again"),
            (
                &[&MODULE[..], &section(7, &export)].concat(),
                "exports no function `pgloom:plugin/mutate-resources@0.2.0#describe`; export it",
            ),
            (&[&MODULE[..], &custom("component-type:plugin")].concat(), "no component can be made of the module"),
        ] {
            let reason = reason(bytes);
            assert!(reason.contains(remedy) && !reason.contains('\n'), "{reason}");
        }
    }

    /// A module that exports the contract without its types, and imports these functions of WASI 0.1.
    fn module_of_preview(imports: &[(&str, &[ValType])]) -> Vec<u8> {
        let mut types = TypeSection::new();
        let mut imported = ImportSection::new();
        for (index, (name, parameters)) in (0..).zip(imports) {
            types.ty().function(parameters.iter().copied(), [ValType::I32]);
            imported.import(preview::MODULE, name, EntityType::Function(index));
        }
        let (mut functions, mut exports, mut code) = (FunctionSection::new(), ExportSection::new(), CodeSection::new());
        let own = [(format!("{EXPORTED}0.2.0#describe"), 4), (format!("{EXPORTED}0.2.0#mutate"), 12)];
        let own = own.into_iter().chain([("cabi_realloc".to_owned(), 4)]);
        for (index, (name, parameters)) in (u32::try_from(imports.len()).unwrap()..).zip(own) {
            types.ty().function(vec![ValType::I32; parameters], [ValType::I32]);
            functions.function(index);
            exports.export(&name, ExportKind::Func, index);
            let mut body = Function::new([]);
            body.instructions().unreachable().end();
            code.function(&body);
        }
        exports.export("memory", ExportKind::Memory, 0);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let mut module = Module::new();
        module.section(&types).section(&imported).section(&functions).section(&memories).section(&exports);
        module.section(&code);
        module.finish()
    }

    #[test]
    fn a_misspelt_export_is_named_with_the_one_that_is_expected() {
        let exporting = |names: [String; 2]| {
            let entry = |name: &String| [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), &[0, 0]].concat();
            [&MODULE[..], &section(7, &[vec![2], entry(&names[0]), entry(&names[1])].concat())].concat()
        };
        for (names, sentence) in [
            (
                [format!("{EXPORTED}0.2.0#describe"), format!("{EXPORTED}0.2.0#mutat")],
                "no function `pgloom:plugin/mutate-resources@0.2.0#mutate`; rename \
                 `pgloom:plugin/mutate-resources@0.2.0#mutat`",
            ),
            (
                ["pgloom:plugin/mutate-resource@0.2.0#describe".to_owned(), format!("{EXPORTED}0.2.0#mutate")],
                "#describe`; rename `pgloom:plugin/mutate-resource@0.2.0#describe`",
            ),
            (
                [format!("{EXPORTED}0.2.0#describe"), "memory".to_owned()],
                "no function `pgloom:plugin/mutate-resources@0.2.0#mutate`; export it",
            ),
            (["run".to_owned(), "memory".to_owned()], "register!"),
        ] {
            let reason = reason(&exporting(names));
            assert!(reason.contains(sentence), "{reason}");
        }
    }

    #[test]
    fn a_module_of_wasi_0_1_without_the_types_of_the_world_is_a_component_that_imports_no_wasi() {
        let (small, large) = (ValType::I32, ValType::I64);
        // Go imports a function once for each place that calls it.
        let module = module_of_preview(&[
            ("fd_write", &[small; 4]),
            ("clock_time_get", &[small, large, small]),
            ("fd_write", &[small; 4]),
            ("random_get", &[small; 2]),
            ("poll_oneoff", &[small; 4]),
            ("path_open", &[small, small, small, small, small, large, large, small, small]),
        ]);
        let component = component(&module).unwrap();
        assert!(is_component(&component) && !component.windows(5).any(|bytes| bytes == b"wasi:"));
    }

    #[test]
    fn a_component_is_taken_without_its_notes() {
        let made = [b"\0asm\x0d\0\x01\0", &custom("producers")[..], &section(7, &[1, 2])].concat();
        assert_eq!(any(&made).unwrap(), [b"\0asm\x0d\0\x01\0", &section(7, &[1, 2])[..]].concat());
    }
}
