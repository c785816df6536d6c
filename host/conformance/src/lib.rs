//! Checks a plugin as the host runs it: a fixed list of promises, each with a stable id, proven on a corpus of
//! clusters.
//!
//! [`run`] loads a component, runs [`checks::ALL`] and returns a [`Report`]. Everything is decided by the engine and by
//! [`pgloom_decide::decide`]: a check compares their results, and has no rules of its own about what a plugin may do.
//! The same component gives the same report on every machine.
//!
//! # Modules
//!
//! | module         | what it is                                                            |
//! |----------------|-----------------------------------------------------------------------|
//! | `checks`       | one file per check                                                    |
//! | `bench`        | the plugin among the steps that it needs, and its recorded calls      |
//! | `corpus`       | the clusters                                                          |
//! | `fuzz`         | values that vary in the same way each time                            |
//! | `verdict`      | what the result of a decision says about the plugin                   |
//! | `recording`    | what a plugin is asked for a running cluster, as a golden folder      |
//! | `report`       | the result of a run                                                   |
//! | `cost`         | what calls cost, and whether that is within a budget                  |
//! | `expectations` | known failures                                                        |
//! | `junit`        | the report for CI servers                                             |
//! | `page`         | the list of checks in `docs/conformance.md`                           |

pub mod bench;
pub mod checks;
pub mod corpus;
pub mod cost;
pub mod expectations;
pub mod fuzz;
pub mod junit;
pub mod page;
pub mod recording;
pub mod report;
pub mod verdict;

use std::sync::Arc;

use pgloom_common::error::error_chain;
use pgloom_engine::pipeline::Phase;
use pgloom_engine::{Engine, Plugin};

pub use bench::{Bench, Companion, Setup};
pub use checks::{Check, Outcome, Profile};
pub use report::{Report, Row, State};

/// Loads the component, and runs the checks of the profile.
#[must_use]
pub fn run(engine: &Arc<Engine>, bytes: &[u8], profile: Profile, setup: Setup) -> Report {
    match Plugin::load(engine, bytes, None) {
        Ok(plugin) => check(Arc::new(plugin), profile, setup),
        Err(error) => {
            let failed = if error.phase() == Phase::Describe { "description" } else { "load" };
            let mut report =
                Report::not_loaded(pgloom_engine::plugin::digest(bytes), profile, failed, &error_chain(&error));
            // The sentence says how this very file is mended.
            if error.phase() == Phase::Verify {
                report.checks.iter_mut().for_each(|row| row.remedy.clear());
            }
            report
        }
    }
}

/// Runs the checks of the profile on a loaded plugin.
#[must_use]
pub fn check(plugin: Arc<Plugin>, profile: Profile, setup: Setup) -> Report {
    let bench = Bench::new(plugin, setup);
    let outcomes = profile.checks().map(|check| (check, check.run(&bench))).collect();
    Report::of(&bench, profile, outcomes)
}
