//! Compares pgloom's decisions with the objects of the Zalando operator, which were recorded on a real API server.
//!
//! Both sides are normalized ([`normal`]), then every difference is reported with its path ([`difference`]). Intended
//! differences are in a list with their reasons ([`deviation`]).

pub mod case;
pub mod decided;
pub mod deviation;
pub mod difference;
pub mod document;
pub mod life;
pub mod normal;
