//! Removes a field or an entry that an earlier step set.

use super::{
    error::{Change, Error},
    merger::{Merger, Object},
    writer::Writer,
};
use crate::{
    model::{ObjectKind, ObjectRef},
    path::{FieldPath, Key, Segment},
    reserved,
    tree::{List, Node},
};

impl Merger {
    /// Removes a field or a list entry, and the map or list around it if that becomes empty. Returns whether the field
    /// existed: to remove what does not exist, a field or an object, is not an error.
    ///
    /// # Errors
    /// If the path cannot be parsed, the field is reserved or part of an atomic value, or the step lacks the
    /// permission.
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
        if let Some(reason) = reserved::unremovable(&path, own, &self.scope) {
            return Err(refuse(reason));
        }
        let permissions = writer.permissions.of(&kind, object, &self.scope.cluster);
        if let Some(missing) = permissions.missing() {
            let (step, object) = (writer.step.to_owned(), Box::new(object.clone()));
            return Err(Error::Name { step, object, missing, change: Change::Remove(path) });
        }
        if let Some(missing) = permissions.missing_to_remove(&path) {
            let (step, object) = (writer.step.to_owned(), Box::new(object.clone()));
            return Err(Error::RemovePermission { step, object, path, missing });
        }
        let Some(before) = index.and_then(|index| self.objects.get_mut(index)) else { return Ok(false) };
        match find(&before.root, path.segments()) {
            Found::Nothing => Ok(false),
            Found::Place => {
                let before = Object::change(before);
                before.removed.insert(path.to_string(), step);
                self.changed.extend(index);
                Ok(cut(&mut before.root, path.segments()))
            }
            Found::Inside => {
                Err(refuse("it is part of a value that is merged as a whole; override that value instead"))
            }
            Found::Key => Err(refuse("it is a merge key; remove the entry instead")),
        }
    }
}

/// What a path leads to.
enum Found {
    Nothing,
    Place,
    /// A part of an atomic value.
    Inside,
    /// A merge key of an entry.
    Key,
}

fn find(node: &Node, path: &[Segment]) -> Found {
    let Some((first, rest)) = path.split_first() else { return Found::Place };
    match (node, first) {
        (Node::Map(fields, _), Segment::Field(name)) => {
            fields.get(name).map_or(Found::Nothing, |node| find(node, rest))
        }
        (Node::List(list), Segment::Entry(key)) => {
            let Some((_, entry)) = entry(list, key).and_then(|index| list.entries.get(index)) else {
                return Found::Nothing;
            };
            match rest {
                [Segment::Field(name)] if list.keys.iter().any(|key| key.name == *name) => Found::Key,
                _ => find(entry, rest),
            }
        }
        (Node::Leaf(value, _), _) if value.is_object() || value.is_array() => Found::Inside,
        _ => Found::Nothing,
    }
}

/// The index of the entry that a key means: the one with exactly that key, or the only one that matches the given merge
/// keys.
fn entry(list: &List, key: &Key) -> Option<usize> {
    let exact = list.entries.iter().position(|(entry, _)| entry == key);
    exact.or_else(|| {
        let mut meant =
            list.entries.iter().enumerate().filter(|(_, (entry, _))| key.means(entry)).map(|(index, _)| index);
        meant.next().filter(|_| meant.next().is_none())
    })
}

/// Removes what [`find`] found. Returns whether it did.
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
