//! By what a pipeline is known again, when it was loaded once more or got other schemas.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hash::Sha;

/// Identifies a pipeline by its document and its components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity([u8; 32]);

impl Identity {
    /// The identity of what `document` says, which has the digest of every component.
    pub fn of(document: &impl Hash) -> Self {
        let mut sha = Sha::default();
        document.hash(&mut sha);
        Self(sha.finalize())
    }

    /// One that no other pipeline of this process has.
    pub(super) fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self::of(&("unique", NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}
