//! Decides what one cluster is to be: values in, values out. No client, no clock, no random number; the manifest of
//! this crate names none of them, so no line of it can use one.
//!
//! The operator, `pgloom render` and every test call [`decide`] with the manifest, the operator configuration, what
//! exists ([`Observed`]) and the pipeline, and get a [`Plan`] or an [`Error`]. What of an update or a report is a pure
//! function of what was read is here as well: [`rollout`], [`status`], [`credential::plan`].

pub mod api_defaults;
pub mod apply_order;
pub mod credential;
pub mod kind;
pub mod members;
pub mod ownership;
pub mod patroni;
pub mod plan_cache;
pub mod role;
pub mod rollout;
pub mod status;
pub mod transform;

mod decide;
mod distinct;
mod error;
mod observed;
mod service_account;

pub use decide::{Plan, decide};
pub use error::Error;
pub use kind::Kind;
pub use observed::Observed;
