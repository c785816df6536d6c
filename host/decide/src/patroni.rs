//! Patroni's answers as types, and pure functions of them: the candidate of a switchover ([`candidate`]), the member
//! that is restarted next ([`restart_next`]), the patch of a configuration ([`patch`]).

mod candidate;
mod configuration;
mod restart;
mod state;

pub use candidate::{NoCandidate, Report, candidate};
pub use configuration::{Desired, is_synchronous, loop_wait, lowers_a_limit, merged, patch};
pub use restart::{Restart, restart_next};
pub use state::{Change, Cluster, Identity, LOCK_HOLDER, Member, Role, Status, Tags};
