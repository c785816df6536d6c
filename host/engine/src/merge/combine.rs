//! Merges the tree of a partial object, which was checked, into the tree of a desired object.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::tree::{List, Node, positions};

impl Node {
    /// Merges the other tree into this one. A leaf with an equal value belongs to the steps of both.
    pub(super) fn combine(&mut self, other: Self) {
        if other.is_noop(self) {
            if !self.has_parts() {
                self.own(other.owners());
            }
            return;
        }
        match (self, other) {
            (Self::Map(fields, _), Self::Map(others, _)) => combine_fields(fields, others),
            (Self::List(list), Self::List(other)) => list.combine(other),
            (Self::Leaf(value, owners), Self::Leaf(other, others)) if *value == other => owners.add(others),
            (place, other) => *place = other,
        }
    }

    /// Whether merging it changes nothing: an empty map or list does not clear what other steps set.
    pub(super) fn is_noop(&self, before: &Self) -> bool {
        match self {
            Self::Leaf(..) => false,
            Self::Map(fields, _) => fields.is_empty() && matches!(before, Self::Map(..)),
            Self::List(list) => list.entries.is_empty() && matches!(before, Self::List(_)),
        }
    }
}

fn combine_fields(fields: &mut BTreeMap<String, Node>, others: BTreeMap<String, Node>) {
    for (name, other) in others {
        match fields.entry(name) {
            Entry::Vacant(place) => {
                place.insert(other);
            }
            Entry::Occupied(mut place) => place.get_mut().combine(other),
        }
    }
}

impl List {
    fn combine(&mut self, other: Self) {
        let here = positions(&other.entries, &self.entries);
        let there = positions(&self.entries, &other.entries);
        // Each entry is moved out exactly once: `order` names every index of both lists once.
        let mut before: Vec<_> = std::mem::take(&mut self.entries).into_iter().map(Some).collect();
        let mut after: Vec<_> = other.entries.into_iter().map(Some).collect();
        for (left, right) in order(&here, &there) {
            let left = left.and_then(|index| before.get_mut(index)?.take());
            let right = right.and_then(|index| after.get_mut(index)?.take());
            match (left, right) {
                (Some((key, mut node)), Some((_, other))) => {
                    node.combine(other);
                    self.entries.push((key, node));
                }
                (Some(entry), None) | (None, Some(entry)) => self.entries.push(entry),
                (None, None) => {}
            }
        }
    }
}

/// The order of the merged list: pairs of an index on the left (the list so far) and on the right (the contribution).
///
/// `here` gives for each entry on the left its index on the right, `there` the reverse. The rules are those of
/// server-side apply, so that steps give the object that field managers in the same order would give:
///
/// 1. The entries on the right keep their order.
/// 2. An entry that is only on the left stays behind the entry that it followed, as far as rule 1 allows.
///
/// The walk is the one of structured-merge-diff, the server's own library (`visitListItems` in
/// <https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/typed/merge.go>). It goes through both lists
/// at once. Shared entries are paired in the right list's order; between two of them come first the left's own entries,
/// then the right's own.
fn order(here: &[Option<usize>], there: &[Option<usize>]) -> Vec<(Option<usize>, Option<usize>)> {
    let mut pairs = Vec::with_capacity(here.len() + there.len());
    // The shared entries, as indices on the right. `awaited` is the next one that has not been paired.
    let mut shared = there.iter().enumerate().filter(|(_, left)| left.is_some()).map(|(right, _)| right);
    let mut awaited = shared.next();
    let (mut left, mut right) = (0, 0);
    while left < here.len() || right < there.len() {
        let twin = here.get(left).copied().flatten();
        if left < here.len() && right < there.len() {
            if twin == Some(right) {
                pairs.push((Some(left), Some(right)));
                awaited = shared.next();
                left += 1;
                right += 1;
                continue;
            }
            // Shared, but not the next one: the two lists differ in order and the right one wins (rule 1). The entry is
            // paired when the right list reaches it.
            if twin.is_some() && awaited.is_some() && awaited != twin {
                left += 1;
                continue;
            }
        }
        if left < here.len() {
            match twin {
                // Rule 2: it comes directly behind the entry that it followed on the left.
                None => {
                    pairs.push((Some(left), None));
                    left += 1;
                    continue;
                }
                // It was paired when the right list reached it.
                Some(place) if place < right => left += 1,
                // It is the awaited one. The right's own entries before it come first, below.
                Some(_) => {}
            }
        }
        if let Some(twin) = there.get(right) {
            pairs.push((*twin, Some(right)));
            if awaited == Some(right) {
                awaited = shared.next();
            }
            right += 1;
        }
    }
    pairs
}
