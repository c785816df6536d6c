//! What the operator serves over HTTP: health, readiness and metrics.

pub mod health;
pub mod http;
pub mod metrics;
pub mod plugins;
