//! The operator: observe, decide, apply, report.
//!
//! Start at [`run`]; `reconcile` reads as the table of contents. [`decide::decide`] is pure and is what `pgloom render`
//! asks as well.

pub mod config;
pub mod decide;
pub mod memo;
pub mod observed;

mod apply;
mod background;
mod context;
mod credential;
mod database;
mod deletion;
mod election;
mod event;
mod fence;
mod http;
mod infrastructure;
mod kind;
mod metrics;
mod observe;
mod patroni;
mod reconcile;
mod report;
mod role;
mod rollout;
mod run;
mod service_account;
mod settings;
mod store;
mod team;
mod trim;
mod volume;
mod watch;
#[cfg(test)]
mod wire;

pub use config::{Args, Config};
pub use decide::{Plan, decide};
pub use observed::Observed;
pub use run::{Error, run};
