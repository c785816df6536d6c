//! The answers of steps, reused while their requests are the same: a changed Secret calls the steps that see it and no
//! other.
//!
//! Equal requests have equal answers, so whether an answer is found changes no decision. The answer is checked and merged
//! like that of a call. A failed call, or an answer that is refused, is not kept: the next run calls again.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::hash::Sha;
use crate::model::{Request, Response};

/// About how much memory the answers of one pipeline may take, in bytes. Those of a cluster take some 20 KB.
const CAPACITY: usize = 32 << 20;

/// The SHA-256 of all that an answer depends on: the component and its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of a request to the component with this digest in this step.
    pub(super) fn of(step: &str, component: &str, request: &Request) -> Self {
        let mut digest = Sha::default();
        (step, component, request).hash(&mut digest);
        Self(digest.finalize())
    }
}

/// The answers of the steps of one pipeline, for all clusters. Those that were not used for the longest time give way.
#[derive(Debug)]
pub(super) struct AnswerCache {
    generations: Mutex<Generations>,
    capacity: usize,
}

/// Answers are added to the younger generation, and an answer that is used again moves there. When it is full, it becomes
/// the older one, and what was not used since the last time is dropped. So neither a clock nor a search is needed.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Arc<Response>>,
    /// The size of `young`, in bytes.
    size: usize,
    old: HashMap<Key, Arc<Response>>,
}

impl Default for AnswerCache {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl AnswerCache {
    fn new(capacity: usize) -> Self {
        Self { generations: Mutex::default(), capacity }
    }

    /// The answer to this request, if it is kept.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Response>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = generations.young.get(key) {
            return Some(Arc::clone(answer));
        }
        let answer = generations.old.remove(key)?;
        generations.add(*key, Arc::clone(&answer), self.capacity);
        Some(answer)
    }

    /// Keeps an answer that was checked and merged.
    pub(super) fn insert(&self, key: Key, answer: Arc<Response>) {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner).add(key, answer, self.capacity);
    }
}

impl Generations {
    fn add(&mut self, key: Key, answer: Arc<Response>, capacity: usize) {
        let size = size(&answer);
        if self.size + size > capacity / 2 {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        // Two runs may have made the same call.
        if self.young.insert(key, answer).is_none() {
            self.size += size;
        }
    }
}

/// About how much memory an answer takes, in bytes.
pub(super) fn size(answer: &Response) -> usize {
    let mut size = Size(size_of::<Response>() + size_of::<Key>());
    answer.hash(&mut size);
    size.0
}

/// Counts the bytes that a hash of a value reads: those of all its texts and numbers.
struct Size(usize);

impl Hasher for Size {
    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn finish(&self) -> u64 {
        self.0 as u64
    }
}

#[cfg(test)]
mod tests;
