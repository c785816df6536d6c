//! The operator: observe, decide, apply, execute, report.
//!
//! Start at [`run()`]; `reconcile` reads as the table of contents. What decides is in the crate `pgloom-decide`.
//!
//! The modules are rooms on floors: a room uses those before it in this list and never one after it.
//!
//! 1. `testing`: a fake API server, for tests only
//! 2. `args`: the flags of `pgloom run`
//! 3. `leader`: the Lease, and the fence that refuses writes without it
//! 4. `serve`: metrics, health and readiness over HTTP
//! 5. `cache`: what exists, kept in step by watches
//! 6. `report`: events
//! 7. `apply`: writes objects, prunes them, removes a cluster
//! 8. `observe`: what a decision needs beyond the cache
//! 9. `execute`: what is done besides objects: the database, Patroni, volumes, passwords
//! 10. `state`: what is remembered of each cluster
//! 11. `settings`: the operator configuration and the pipeline in use
//! 12. `context`: what all reconciles share
//! 13. `reconcile`: the driver, one file per step
//! 14. `run`: connects everything

pub mod args;

mod apply;
mod cache;
mod context;
mod execute;
mod leader;
mod observe;
mod reconcile;
mod report;
mod run;
mod serve;
mod settings;
mod state;
#[cfg(test)]
mod testing;

pub use args::{Args, Options};
pub use run::{Error, run};
