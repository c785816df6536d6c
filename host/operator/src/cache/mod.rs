//! A cache of the objects of every cluster, updated by watches.

mod api_resource;
pub mod node;
mod received;
mod store;
pub mod watch;

pub use api_resource::{Resources, api_resource};
pub use store::{CachedObject, ClusterKey, Store, Watch};
