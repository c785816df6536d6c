//! The pipeline: steps that have passed every phase of loading, in order.
//!
//! The modules from the top down: `trace`, `run`, `error`, `lack`, `answer`, `action`, `json`, `load`, `restarts`, `configuration`, `shared`,
//! `step`, `identity`, `progress`, `answers`.

mod action;
mod answer;
mod answers;
mod configuration;
mod error;
mod identity;
mod json;
mod lack;
mod load;
mod progress;
mod restarts;
mod run;
mod shared;
mod step;
mod trace;

pub use action::Error as ActionError;
pub(crate) use answer::{MAX_ACTIONS, MAX_CONDITIONS, MAX_KEY, MAX_OBJECTS, MAX_REMOVALS, MAX_TYPE};
pub use error::{Error as RunError, Failure};
pub use identity::Identity;
pub use json::Error as JsonError;
pub(crate) use json::{MAX_DEPTH, MAX_VALUES};
pub use lack::{Lack, Permission};
pub use load::{Error as LoadError, Remote};
pub use restarts::restarts_pods;
pub use run::check_answer;
pub use step::{Pipeline, Step, Usage};
pub use trace::{Change, Outcome, StepTrace, Trace};

pub use crate::plugin::Phase;
