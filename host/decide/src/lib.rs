//! Decides the desired state of one cluster: a pure function. `Cargo.toml` names no client, no clock and no source of
//! random numbers, so no line of this crate can use one.
//!
//! The operator, `pgloom render` and every test call [`decide`] with the manifest, the operator configuration, the
//! existing objects ([`Observed`]) and the pipeline, and get a [`Plan`] or an [`Error`]. The pure parts of later steps
//! are also here: the next step of a rolling update ([`rollout`]), the status ([`status`]), the writes of Secrets
//! ([`credential::plan`]).

pub mod adoption;
pub mod api_defaults;
mod api_rules;
pub mod apply_order;
pub mod credential;
pub mod explain;
pub mod field_manager;
pub mod fleet;
pub mod impact;
pub mod kind;
pub mod major_upgrade;
pub mod members;
pub mod normal;
pub mod ownership;
pub mod patroni;
pub mod plan_cache;
pub mod role;
pub mod rollout;
pub mod status;
pub mod transform;

mod action;
mod decide;
mod error;
mod foreign;
mod observed;
pub mod service_account;

pub use decide::{Owners, Plan, decide, owners, trace};
pub use error::Error;
pub use foreign::Foreign;
pub use kind::{BuiltIn, Kind};
pub use observed::{Observed, namespaces_of};
