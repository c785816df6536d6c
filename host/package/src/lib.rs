//! Makes a component of a core module, in this process: no other program is needed.
//!
//! `wit-bindgen` writes the types of the world to a custom section of the module. A component that a toolchain has made
//! already is taken as it is, without the sections that nothing reads that runs it.

use wit_component::ComponentEncoder;

mod section;

use section::{CUSTOM, Section};

/// The first eight bytes of a core module: magic, version and layer. See
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>.
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
/// The first four bytes of every WebAssembly file.
const MAGIC: [u8; 4] = *b"\0asm";

/// The start of the names of the custom sections with the types of a world.
const WORLD: &str = "component-type";
/// The module from which a plain `main` imports files, clocks and more.
const PREVIEW: &str = "wasi_snapshot_preview1";

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
    /// The module has no types of a world.
    #[error(
        "the module does not say which world it implements (it has no section `component-type`); in a Rust plugin add \
         `pgloom_kit::register!(TYPE);` to its lib.rs"
    )]
    FindWorld,
    /// The module was built for WASI 0.1.
    #[error(
        "the module imports WASI 0.1 ({PREVIEW}), which has no component of its own; build it for \
         wasm32-unknown-unknown or wasm32-wasip2"
    )]
    FindPreview,
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
    if !sections.iter().any(|section| section.custom_name().is_some_and(|name| name.starts_with(WORLD))) {
        return Err(Error::FindWorld);
    }
    if sections.iter().any(|section| section.imports(PREVIEW)) {
        return Err(Error::FindPreview);
    }
    let encoded = ComponentEncoder::default().module(module).and_then(|encoder| encoder.validate(true).encode());
    let encoded = encoded.map_err(|error| Error::Encode(format!("{error:#}").replace('\n', " ")))?;
    without_notes(&encoded)
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
        let import = [&[1, 22][..], PREVIEW.as_bytes(), &[1, b'f', 0, 0]].concat();
        let of_preview = [&MODULE[..], &custom("component-type:plugin"), &section(2, &import)].concat();
        for (bytes, remedy) in [
            (&b""[..], "name the `.wasm` file"),
            (b"#!/bin/sh", "name the `.wasm` file"),
            (b"\0asm\x0d\0\x01\0", "use it as it is"),
            (&MODULE, "register!"),
            (&[&MODULE[..], &custom("producers")].concat(), "register!"),
            (&[&MODULE[..], &[0, 9, 1]].concat(), "build it again"),
            (&of_preview, "wasm32-wasip2"),
            (&[&MODULE[..], &custom("component-type:plugin")].concat(), "no component can be made of the module"),
        ] {
            let reason = reason(bytes);
            assert!(reason.contains(remedy) && !reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn a_component_is_taken_without_its_notes() {
        let made = [b"\0asm\x0d\0\x01\0", &custom("producers")[..], &section(7, &[1, 2])].concat();
        assert_eq!(any(&made).unwrap(), [b"\0asm\x0d\0\x01\0", &section(7, &[1, 2])[..]].concat());
    }
}
