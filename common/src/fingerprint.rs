//! A short hash that shows whether a state has changed.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash of a value: equal for equal values within one build of the program. Another Rust release may hash
/// differently, and an attacker may construct collisions: it decides nothing but whether work is done once more.
#[must_use]
pub fn fingerprint(what: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
