//! The contract's types, generated from `wit/`.

#[allow(missing_docs, reason = "generated; the words are in wit/")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "plugin",
        additional_derives: [PartialEq],
    });
}

pub use generated::exports::pgloom::plugin::mutate_resources::*;
pub use generated::pgloom::plugin::log::{self, Level};
pub use generated::{Plugin as Bindings, PluginPre as BindingsPre};
