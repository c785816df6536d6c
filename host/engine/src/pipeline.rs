//! The pipeline: steps that have passed every phase of loading, in order.
//!
//! The modules from the top down: `run`, `action`, `load`, `configuration`, `step`.

mod action;
mod configuration;
mod load;
mod run;
mod step;

pub use action::Error as ActionError;
pub use load::Error as LoadError;
pub use run::Error as RunError;
pub use step::{Pipeline, Step};

pub use crate::plugin::Phase;
