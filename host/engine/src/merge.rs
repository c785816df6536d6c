//! Merges the partial objects that steps contribute, as server-side apply merges those of different field managers
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>).
//!
//! A contribution passes three stages: the kind's schema gives it a tree, the tree is checked against the step's
//! permissions and the values of earlier steps, and only then is it merged. A contribution that is refused changes
//! nothing.
//!
//! The server's merge depends on how the server stores objects. Where that matters, this merge depends on the
//! contributions alone: a null is the same as an absent field, and equal values agree even if the server would have
//! added defaults to the first one. Permission for some entries of a list is no permission to reorder the others.
//!
//! The modules from the top down: `remove`, `selection`, `token`, `merger`, `reference`, `check`, `combine`, `error`,
//! `quantity`, `unknown`, `writer`.

mod check;
mod combine;
mod error;
mod merger;
mod quantity;
mod reference;
mod remove;
mod selection;
mod token;
mod unknown;
mod writer;

pub use error::{Change, Conflict, Error};
pub use merger::Merger;
pub use writer::Writer;

#[cfg(test)]
mod tests;
