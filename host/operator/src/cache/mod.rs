//! A cache of the objects of every cluster, updated by watches.

mod api_resource;
mod cached_object;
pub mod node;
pub mod postgres_team;
mod received;
mod store;
pub mod watch;

pub use api_resource::{Resources, api_resource};
pub use cached_object::CachedObject;
pub use store::{ClusterKey, Store};
pub use watch::Watch;
