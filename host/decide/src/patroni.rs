//! Patroni's answers as types, and pure functions of them: the candidate of a switchover ([`candidate`]), the member
//! that is restarted next ([`restart_next`]), the patch of a configuration ([`difference`]).

mod candidate;
mod configuration;
mod state;

pub use candidate::{NoCandidate, Report, candidate, restart_next};
pub use configuration::{difference, is_synchronous, lowers_a_limit};
pub use state::{Cluster, LOCK_HOLDER, Member, Role, Status, Tags};
