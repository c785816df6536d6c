//! The pipeline: steps that have passed every phase of loading, in order.
//!
//! The modules from the top down: `trace`, `run`, `error`, `answer`, `action`, `json`, `load`, `restarts`, `configuration`, `shared`,
//! `step`, `progress`, `answers`.

mod action;
mod answer;
mod answers;
mod configuration;
mod error;
mod json;
mod load;
mod progress;
mod restarts;
mod run;
mod shared;
mod step;
mod trace;

pub use action::Error as ActionError;
pub use error::Error as RunError;
pub use json::Error as JsonError;
pub use load::{Error as LoadError, Remote};
pub use restarts::restarts_pods;
pub use step::{Pipeline, Step, Usage};
pub use trace::{Change, Outcome, StepTrace, Trace};

pub use crate::plugin::Phase;
