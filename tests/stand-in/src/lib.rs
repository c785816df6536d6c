//! A stand-in for the API server, its controllers and Patroni, for tests that run the operator against a whole world.
//!
//! The world is plain data ([`State`]): objects with their history, and what Patroni knows of each cluster. A copy of it is a
//! snapshot. [`Server`] serves it over HTTP on loopback, one listener for each operator, so that an operator that was killed
//! cannot write any more. Every request that writes passes a [`Gate`], which may refuse it, lose its answer or let it hang.
//!
//! What it does as the API server does: list and watch with resource versions, bookmarks and 410, create, server-side apply,
//! merge patch, JSON patch, replace, the status subresource, delete with preconditions, finalizers and propagation, the
//! immutable fields of a `StatefulSet`, labels and field selectors for names.
//!
//! What it does not: validation, defaults, admission, conflicts between field managers, and lists as maps: an applied list is
//! replaced as a whole.

mod apply;
mod controllers;
mod objects;
mod path;
mod patroni;
mod server;
mod write;

pub use objects::{Change, Key, Objects};
pub use patroni::Patroni;
pub use server::{Answer, Gate, Open, Server, Verdict, Write};
pub use write::Refusal;

/// The whole world.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The API server's objects.
    pub objects: Objects,
    /// What Patroni knows of each cluster, by namespace and name.
    pub patroni: std::collections::BTreeMap<(String, String), Patroni>,
    /// The resource version after which a step changed nothing.
    settled: Option<u64>,
}

impl State {
    /// Lets the controllers, the kubelet and Patroni do what is due. It is called four times a second.
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
}
