//! Lines in the operator's log, under the span of the cluster and the plugin.

pub use crate::bindings::pgloom::plugin::log::{Level, log};

/// Writes the message of a panic before the component traps, so that the failure names its place.
#[cfg(target_arch = "wasm32")]
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
}
