//! Puts a partial object into a desired one, after all was found to be in order.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use serde_json::Value;

use super::node::{List, Node};
use crate::path::Key;

/// Lists up to this length are searched; longer ones are indexed.
const SEARCHED: usize = 8;

impl Node {
    /// Takes over what the other says. Equal leaves stay with the step that set them first.
    pub(crate) fn combine(&mut self, other: Self) {
        if other.is_idle(self) {
            return;
        }
        match (self, other) {
            (Self::Map(fields, _), Self::Map(others, _)) => combine_fields(fields, others),
            (Self::List(list), Self::List(other)) => list.combine(other),
            (Self::Leaf(value, _), Self::Leaf(other, _)) if same(value, &other) => {}
            (place, other) => *place = other,
        }
    }

    /// Whether it changes nothing: empty maps and lists do not clear what others put there.
    pub(crate) fn is_idle(&self, before: &Self) -> bool {
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

/// For each entry of `of`, where the entry with the same key is `among` the others.
pub(crate) fn positions(among: &[(Key, Node)], of: &[(Key, Node)]) -> Vec<Option<usize>> {
    if among.len() <= SEARCHED {
        return of.iter().map(|(key, _)| among.iter().position(|(other, _)| other == key)).collect();
    }
    let index: HashMap<&Key, usize> = among.iter().enumerate().map(|(index, (key, _))| (key, index)).collect();
    of.iter().map(|(key, _)| index.get(key).copied()).collect()
}

/// In which order the entries of two lists come together, by the rules of server-side apply: the right list's order holds
/// for its own entries; an entry of the left alone stays behind the one that it followed, as far as both can be had.
///
/// `here` gives for each entry on the left its place on the right, `there` the reverse; the answer is pairs of places.
fn order(here: &[Option<usize>], there: &[Option<usize>]) -> Vec<(Option<usize>, Option<usize>)> {
    let mut pairs = Vec::with_capacity(here.len() + there.len());
    // The shared entries in the right list's order; the next of them is the one that the left waits for.
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
            if twin.is_some() && awaited.is_some() && awaited != twin {
                left += 1;
                continue;
            }
        }
        if left < here.len() {
            match twin {
                None => {
                    pairs.push((Some(left), None));
                    left += 1;
                    continue;
                }
                // It was paired when the right list came to it.
                Some(place) if place < right => left += 1,
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

/// Whether two leaves say the same.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    left == right
}
