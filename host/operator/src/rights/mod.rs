//! The rights that the operator needs in the watched namespaces: its own, and those that the steps of a pipeline add.
//!
//! `pgloom rbac` prints them as a ClusterRole; the running operator asks the API server which of the steps' it lacks.

mod ask;
mod cluster_role;
mod host;
mod pull_secrets;
mod rule;
mod step;

pub use ask::{Lack, lacking};
pub use cluster_role::cluster_role;
pub use pull_secrets::pull_secrets_role;
pub use rule::{Resource, Rule, Verb, made, read};
pub use step::{Need, of_steps};
