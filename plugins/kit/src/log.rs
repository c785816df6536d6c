//! Log lines: the operator writes them under the span of the cluster and the plugin.

pub use crate::bindings::pgloom::plugin::log::{Level, log};

/// Logs the message of a panic before the component traps: the trap itself does not say where it happened.
#[cfg(target_arch = "wasm32")]
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
}
