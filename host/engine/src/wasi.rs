//! The empty WASI, for components whose toolchain always imports WASI (<https://wasi.dev>).
//!
//! Every function returns the empty value of its result type: no environment, no arguments, no preopened folders, a
//! clock that is always zero, output that is discarded, random bytes that are all zero. So a plugin's result still
//! depends on its input alone, and the imports give access to nothing.

use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceAny, ResourceType, Type, Val};

use crate::state::State;

/// The host type of all WASI resources.
struct Nothing;

/// Whether an import is part of WASI.
pub(crate) fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// Defines the WASI functions and resources that `component` imports.
pub(crate) fn add_to_linker(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    let imports = component.component_type();
    for (name, item) in imports.imports(engine).filter(|(name, _)| is_wasi(name)) {
        if let ComponentItem::ComponentInstance(instance) = item.ty {
            define(&mut linker.instance(name)?, &instance, engine)?;
        }
    }
    Ok(())
}

fn define(
    linker: &mut LinkerInstance<'_, State>,
    instance: &ComponentInstance,
    engine: &wasmtime::Engine,
) -> wasmtime::Result<()> {
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::Resource(_) => linker.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?,
            ComponentItem::ComponentFunc(_) => {
                let function = name.to_owned();
                linker.func_new(name, move |mut store, ty, arguments, results| {
                    for (result, ty) in results.iter_mut().zip(ty.results()) {
                        *result = answer(&function, &ty, arguments, &mut store)?;
                    }
                    Ok(())
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The most random bytes that one call returns. The memory limit stops a plugin that asks again and again.
const MAX_BYTES: u64 = 64 << 10;

fn answer(
    function: &str,
    ty: &Type,
    arguments: &[Val],
    store: &mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Val> {
    match (function, arguments) {
        ("get-random-bytes" | "get-insecure-random-bytes", [Val::U64(length)]) => {
            let length = usize::try_from((*length).min(MAX_BYTES))?;
            Ok(Val::List(vec![Val::U8(0); length]))
        }
        // A guest would wait without end for a stream that accepts no bytes.
        ("[method]output-stream.check-write", _) => Ok(Val::Result(Ok(Some(Box::new(Val::U64(MAX_BYTES)))))),
        _ => empty(ty, store),
    }
}

fn empty(ty: &Type, store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Val> {
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char('\0'),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Record(record) => {
            let fields = record.fields().map(|field| Ok((field.name.to_owned(), empty(&field.ty, store)?)));
            Val::Record(fields.collect::<wasmtime::Result<_>>()?)
        }
        Type::Tuple(tuple) => {
            let types: Vec<Type> = tuple.types().collect();
            Val::Tuple(types.iter().map(|ty| empty(ty, store)).collect::<wasmtime::Result<_>>()?)
        }
        Type::Enum(names) => Val::Enum(names.names().next().unwrap_or_default().to_owned()),
        Type::Result(result) => {
            let ok = result.ok().map(|ty| empty(&ty, store)).transpose()?;
            Val::Result(Ok(ok.map(Box::new)))
        }
        Type::Own(_) => {
            let resource = Resource::<Nothing>::new_own(0);
            Val::Resource(ResourceAny::try_from_resource(resource, store)?)
        }
        _ => wasmtime::bail!("the empty WASI has no value of this type"),
    })
}
