//! A stand-in for the API server, its controllers, Patroni and the database, for tests of the whole operator.
//!
//! The state ("world") is plain data ([`State`]): objects with their history, and the state of Patroni and of the
//! database of each cluster. A copy of it is a snapshot. [`Server`] serves it over HTTP on loopback, with one listener for
//! each operator, so that a killed operator cannot write any more. Every write request passes a [`Gate`], which may refuse
//! it, lose its answer or never answer it; so does every transaction that changes the database.
//!
//! Implemented: list and watch with resource versions, bookmarks and 410, create, server-side apply,
//! merge patch, JSON patch, replace, the status subresource, delete with preconditions, finalizers and propagation, the
//! immutable fields of a `StatefulSet`, labels and field selectors for names; port-forwards to a database that knows
//! the operator's own queries and statements; commands in containers, with answers that are given before; the refusal of requests for lack of a right, and access reviews.
//!
//! Not implemented: validation, defaults, admission, conflicts between field managers, and merge keys of lists: an
//! applied list is replaced as a whole.

mod apply;
mod controllers;
mod database;
mod exec;
mod objects;
mod path;
mod patroni;
mod port_forward;
mod rights;
mod server;
mod socket;
mod web_socket;
mod write;

pub use database::Database;
pub use exec::{Command, End};
pub use objects::{Change, Key, Objects};
pub use patroni::Patroni;
pub use rights::Right;
pub use server::{Answer, Gate, Open, Server, Verdict, Write};
pub use write::Refusal;

/// The whole state.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The API server's objects.
    pub objects: Objects,
    /// The state of Patroni and the database of each cluster, by namespace and name.
    pub patroni: std::collections::BTreeMap<(String, String), Patroni>,
    /// The documents with the schemas of custom resources, by group and version, as in `example.com/v1`.
    pub schemas: std::collections::BTreeMap<String, serde_json::Value>,
    /// How commands in containers end, by their words, separated by spaces. The containers have no other program.
    pub programs: std::collections::BTreeMap<String, End>,
    /// The commands so far.
    pub commands: Vec<Command>,
    /// What the operator may not do.
    pub denied: std::collections::BTreeSet<Right>,
    /// The resource version after the last step that changed nothing.
    settled: Option<u64>,
}

impl State {
    /// One step of the controllers, the kubelet and Patroni. It is called four times per second.
    pub fn step(&mut self) {
        let before = self.objects.version();
        let is_waiting = self.patroni.values().any(Patroni::is_waiting);
        if self.settled == Some(before) && !is_waiting {
            return;
        }
        controllers::step(self);
        patroni::step(self);
        self.settled = (self.objects.version() == before).then_some(before);
    }

    /// Runs a command, which needs the right.
    fn run(&mut self, command: Command, right: &Right) -> Result<End, Refusal> {
        if self.denied.contains(right) {
            return Err(right.refusal());
        }
        let end = self.programs.get(&command.words.join(" ")).cloned().unwrap_or(End::Absent);
        self.commands.push(command);
        Ok(end)
    }
}
