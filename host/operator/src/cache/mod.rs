//! A cache of the objects of every cluster, updated by watches.

mod api_resource;
pub mod node;
mod store;
pub mod watch;

pub use api_resource::{api_resource, discover};
pub use store::{CachedObject, ClusterKey, Store, Watch};
