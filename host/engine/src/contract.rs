//! The types of the contract, generated from `wit/`.

#[allow(missing_docs, reason = "generated; wit/ documents the items")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1",
        world: "plugin",
        additional_derives: [PartialEq],
    });
}

pub use generated::exports::pgloom::plugin::mutate_resources::*;
pub(crate) use generated::pgloom::plugin::log::{self, Level};
pub(crate) use generated::{Plugin as Bindings, PluginPre as BindingsPre};
