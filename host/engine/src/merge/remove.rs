//! Removes a field or an entry that an earlier step set.

use std::sync::Arc;

use super::{Error, Merger, Node, Writer, node::List};
use crate::{
    claim,
    contract::{ObjectKind, ObjectRef},
    path::{FieldPath, Key, Segment},
};

impl Merger {
    /// Removes a field or a list entry, and the map or list around it if that is empty then. Says whether it was there:
    /// what is not there, be it the field or the object, is as it shall be.
    pub fn remove(&mut self, writer: &Writer<'_>, object: &ObjectRef, path: &str) -> Result<bool, Error> {
        let path: FieldPath = path.parse().map_err(|source| Error::Path {
            step: writer.step.to_owned(),
            object: Box::new(object.clone()),
            source,
        })?;
        let refuse = |reason| Error::Remove {
            step: writer.step.to_owned(),
            object: Box::new(object.clone()),
            path: path.clone(),
            reason,
        };
        let kind = ObjectKind { api_version: object.api_version.clone(), kind: object.kind.clone() };
        let index = self.find(writer.step, object)?;
        let step = self.step(writer);
        let own = index.and_then(|index| self.objects.get(index)).is_some_and(|object| object.creator == step);
        if let Some(reason) = claim::unremovable(&path, own) {
            return Err(refuse(reason));
        }
        if !writer.rights.may_remove(&kind, &path) {
            return Err(refuse("the pipeline does not grant the step its removal"));
        }
        let Some(before) = index.and_then(|index| self.objects.get_mut(index)) else { return Ok(false) };
        match look(&before.root, path.segments()) {
            Found::Nothing => Ok(false),
            Found::Place => Ok(cut(&mut Arc::make_mut(before).root, path.segments())),
            Found::Inside => {
                Err(refuse("it lies inside a value that is merged as a whole; override that value instead"))
            }
            Found::Key => Err(refuse("it is a merge key; remove the entry instead")),
        }
    }
}

enum Found {
    Nothing,
    Place,
    /// Below a leaf.
    Inside,
    /// A merge key of an entry.
    Key,
}

fn look(node: &Node, path: &[Segment]) -> Found {
    let Some((first, rest)) = path.split_first() else { return Found::Place };
    match (node, first) {
        (Node::Map(fields, _), Segment::Field(name)) => {
            fields.get(name).map_or(Found::Nothing, |node| look(node, rest))
        }
        (Node::List(list), Segment::Entry(key)) => {
            let Some((_, entry)) = entry(list, key).and_then(|index| list.entries.get(index)) else {
                return Found::Nothing;
            };
            match rest {
                [Segment::Field(name)] if list.keys.iter().any(|key| key.name == name) => Found::Key,
                _ => look(entry, rest),
            }
        }
        (Node::Leaf(value, _), _) if value.is_object() || value.is_array() => Found::Inside,
        _ => Found::Nothing,
    }
}

/// The entry that a key means: the one with that very key, or the only one with those of its merge keys that are given.
fn entry(list: &List, key: &Key) -> Option<usize> {
    let exact = list.entries.iter().position(|(entry, _)| entry == key);
    exact.or_else(|| {
        let mut meant =
            list.entries.iter().enumerate().filter(|(_, (entry, _))| key.means(entry)).map(|(index, _)| index);
        meant.next().filter(|_| meant.next().is_none())
    })
}

/// Takes out what `look` found.
fn cut(node: &mut Node, path: &[Segment]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match (node, first) {
        (Node::Map(fields, _), Segment::Field(name)) => {
            if let Some(below) = fields.get_mut(name).filter(|_| !rest.is_empty()) {
                let done = cut(below, rest);
                if done && !below.has_parts() {
                    fields.remove(name);
                }
                return done;
            }
            fields.remove(name).is_some()
        }
        (Node::List(list), Segment::Entry(key)) => {
            let Some(index) = entry(list, key) else { return false };
            if rest.is_empty() {
                list.entries.remove(index);
                return true;
            }
            list.entries.get_mut(index).is_some_and(|(_, below)| cut(below, rest))
        }
        _ => false,
    }
}
