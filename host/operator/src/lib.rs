//! The operator: observe, decide, apply, execute, report.
//!
//! Start at [`run()`], then read `reconcile`, which calls the other rooms in order. The decision is in the crate
//! `pgloom-decide`.
//!
//! The modules ("rooms") have an order: a room uses only rooms before it in this list.
//!
//! 1. `testing`: a fake API server, for tests only
//! 2. `args`: the flags of `pgloom run`
//! 3. `leader`: the Lease, and the check that refuses writes without it
//! 4. `serve`: metrics, health and readiness over HTTP
//! 5. `cache`: the existing objects, updated by watches
//! 6. `rights`: the rights that the operator needs, and which of them it lacks
//! 7. `report`: events
//! 8. `apply`: writes and prunes objects, deletes a cluster
//! 9. `observe`: the input of a decision
//! 10. `execute`: roles and databases, Patroni, volumes, passwords
//! 11. `state`: the state of each cluster between reconciles
//! 12. `settings`: the operator configuration and the pipeline in use
//! 13. `context`: the shared state of all reconciles
//! 14. `reconcile`: the driver, one file per step
//! 15. `admission`: answers the API server before an object is stored
//! 16. `run`: connects everything

pub mod args;

mod admission;
mod apply;
mod cache;
mod context;
mod execute;
mod leader;
mod observe;
mod reconcile;
mod report;
mod rights;
mod run;
mod serve;
mod settings;
mod state;
#[cfg(test)]
mod testing;

pub use args::{Args, Options};
pub use reconcile::{kept_answers, map_of_answers};
pub use rights::{cluster_role, pull_secrets_role};
pub use run::{Error, run};
pub use settings::{custom_schemas, in_use};
