//! The pipeline: steps that have passed every phase of loading, in order.
//!
//! The modules from the top down: `run`, `load`, `configuration`, `step`.

mod configuration;
mod load;
mod run;
mod step;

pub use load::Error as LoadError;
pub use run::Error as RunError;
pub use step::{Pipeline, Step};

pub use crate::plugin::Phase;
