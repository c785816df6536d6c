//! The input of a decision: the cluster's objects, those that steps observe by name, the infrastructure roles, the
//! teams.

pub mod infrastructure_roles;
mod objects;
pub mod teams_api;
pub mod web_client;

pub use objects::{Error, observe};
