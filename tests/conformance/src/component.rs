//! Components with more core modules than their source has: what no toolchain makes, but an attacker does.
//!
//! A component is a list of sections, see
//! <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>. Modules and instances that are
//! appended are instantiated with the rest, and nothing refers to them.

/// The section of a component that holds one core module.
const CORE_MODULE: u8 = 1;
/// The section of a component that instantiates core modules.
const CORE_INSTANCE: u8 = 2;
/// The section of a component that holds another component.
const COMPONENT: u8 = 4;
/// The section of a component that instantiates components.
const INSTANCE: u8 = 5;
/// The section of a component that names exports of its instances.
const ALIAS: u8 = 6;
/// The section of a component with its exports.
const EXPORT: u8 = 11;
/// The sort of an instance in aliases, arguments and exports.
const AN_INSTANCE: u8 = 5;
/// Magic, version and layer.
const COMPONENT_PREAMBLE: &[u8; PREAMBLE] = b"\0asm\x0d\0\x01\0";
/// The length of magic, version and layer.
const PREAMBLE: usize = 8;

/// A core module with one section.
pub fn module(section: u8, content: &[u8]) -> Vec<u8> {
    module_of(&[(section, content)])
}

/// A core module with these sections.
pub fn module_of(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    sections.iter().for_each(|(id, content)| push_section(&mut module, *id, content));
    module
}

/// A module with a memory of this many pages of 64 KiB.
pub fn memory(pages: usize) -> Vec<u8> {
    module(5, &[&[1, 0][..], &number(pages)].concat())
}

/// A module with a table of this many entries.
pub fn table(entries: usize) -> Vec<u8> {
    module(4, &[&[1, 0x70, 0][..], &number(entries)].concat())
}

/// A module whose start function never ends.
pub fn endless_start() -> Vec<u8> {
    let body = [1, 7, 0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b];
    module_of(&[(1, &[1, 0x60, 0, 0]), (3, &[1, 0]), (8, &[0]), (10, &body)])
}

/// A module whose start function grows its memory by no page, without end.
pub fn endless_growth() -> Vec<u8> {
    // loop, i32.const 0, memory.grow 0, drop, br 0
    let body = [1, 12, 0, 0x03, 0x40, 0x41, 0, 0x40, 0, 0x1a, 0x0c, 0, 0x0b, 0x0b];
    module_of(&[(1, &[1, 0x60, 0, 0]), (3, &[1, 0]), (5, &[1, 0, 1]), (8, &[0]), (10, &body)])
}

/// A module of a few megabytes with one function, which is one long computation: the compiler needs much memory for it.
pub fn compile_bomb() -> Vec<u8> {
    // local.get 0, i32.const 1, i32.add, local.set 0
    let body = [&[1, 1, 0x7f][..], &[0x20, 0, 0x41, 1, 0x6a, 0x21, 0].repeat(900_000), &[0x0b]].concat();
    let code = [&[1][..], &number(body.len()), &body].concat();
    module_of(&[(1, &[1, 0x60, 0, 0]), (3, &[1, 0]), (10, &code)])
}

/// The component with `count` instances of one more module.
///
/// # Panics
/// If the bytes are not a component.
pub fn with_instances(component: &[u8], module: &[u8], count: usize) -> Vec<u8> {
    let mut result = component.to_vec();
    let index = modules(component);
    push_section(&mut result, CORE_MODULE, module);
    let instance = [&[0][..], &number(index), &[0]].concat();
    push_section(&mut result, CORE_INSTANCE, &[number(count), instance.repeat(count)].concat());
    result
}

/// A component that is composed of two: a plugin, and the log that it imports. Each has its own memory.
///
/// The instances are, in order: the log, its interface, the plugin, its interface.
pub fn with_log(plugin: &[u8], log: &[u8]) -> Vec<u8> {
    let name = |text: &str| [number(text.len()), text.as_bytes().to_vec()].concat();
    let (log_name, plugin_name) = (name("pgloom:plugin/log@0.2.0"), name("pgloom:plugin/mutate-resources@0.2.0"));
    let mut result = COMPONENT_PREAMBLE.to_vec();
    push_section(&mut result, COMPONENT, log);
    push_section(&mut result, COMPONENT, plugin);
    push_section(&mut result, INSTANCE, &[1, 0, 0, 0]);
    push_section(&mut result, ALIAS, &[&[1, AN_INSTANCE, 0, 0][..], &log_name].concat());
    push_section(&mut result, INSTANCE, &[&[1, 0, 1, 1][..], &log_name, &[AN_INSTANCE, 1]].concat());
    push_section(&mut result, ALIAS, &[&[1, AN_INSTANCE, 0, 2][..], &plugin_name].concat());
    push_section(&mut result, EXPORT, &[&[1, 0][..], &plugin_name, &[AN_INSTANCE, 3, 0]].concat());
    result
}

/// The number of core modules of a component.
fn modules(component: &[u8]) -> usize {
    let (mut at, mut count) = (PREAMBLE, 0);
    while let Some(&id) = component.get(at) {
        let (size, length) = read_number(component.get(at + 1..).unwrap_or_default());
        count += usize::from(id == CORE_MODULE);
        at += 1 + length + size;
    }
    count
}

fn push_section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    out.extend(number(content.len()));
    out.extend(content);
}

/// A number in LEB128.
pub fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A number in LEB128, and how many bytes it takes.
fn read_number(bytes: &[u8]) -> (usize, usize) {
    let (mut value, mut length) = (0, 0);
    for &byte in bytes {
        value |= usize::from(byte & 0x7f) << (7 * length);
        length += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (value, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for value in [0, 1, 127, 128, 300, 1 << 20] {
            let bytes = number(value);
            assert_eq!(read_number(&bytes), (value, bytes.len()));
        }
    }
}
