//! What Patroni says of the members, and what follows from it: which member may lead next ([`candidate`]), which one is
//! restarted next ([`restart_next`]), what of a configuration differs ([`difference`]).

mod candidate;
mod configuration;
mod state;

pub use candidate::{NoCandidate, candidate, restart_next};
pub use configuration::{difference, lowers_a_limit};
pub use state::{Cluster, Member, Role, Status, Tags};
