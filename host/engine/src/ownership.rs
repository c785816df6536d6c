//! Who set the fields of an object: steps, or the host.

mod setter;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    model::ObjectRef,
    path::{FieldPath, push_entry, push_field},
    schema::{Schema, TypeId},
    tree::{Node, TypeMismatch, normalize},
};

pub use setter::{Setters, is_at_or_below, locate};

/// The owner of the fields that the host sets: the identity of an object, its owner references.
pub const HOST: &str = "pgloom";

/// The leaves of each object by path, in the order of creation.
pub(crate) type Leaves = Vec<(ObjectRef, BTreeMap<String, Value>)>;

/// Who set the fields of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The names of all steps that set a leaf to its value, in the order of the pipeline, by field path. An empty map or
    /// list is a leaf.
    pub leaves: BTreeMap<String, Vec<String>>,
    /// The name of the step that removed a field or an entry, by field path.
    pub removed: BTreeMap<String, String>,
}

/// Why an object cannot be read as its kind.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Error {
    /// The field.
    pub path: FieldPath,
    /// What is wrong with its value.
    pub problem: String,
}

impl Ownership {
    /// Makes the host the owner of every leaf that it added to a desired object, or changed, before it is applied.
    /// `root` is the type of the object's kind.
    ///
    /// # Errors
    /// If one of the objects is not of that type.
    pub fn with_host(mut self, schema: &Schema, root: TypeId, desired: &Value, applied: &Value) -> Result<Self, Error> {
        let desired = leaves(schema, root, desired)?;
        for (path, value) in leaves(schema, root, applied)? {
            if desired.get(&path) != Some(&value) {
                self.leaves.insert(path, vec![HOST.to_owned()]);
            }
        }
        Ok(self)
    }
}

fn unreadable(mismatch: TypeMismatch) -> Error {
    Error { path: mismatch.path(), problem: mismatch.problem }
}

/// The leaves of an object by path. An empty map or list is a leaf. `root` is the type of the object's kind.
///
/// # Errors
/// If the object is not of that type.
pub fn leaves(schema: &Schema, root: TypeId, object: &Value) -> Result<BTreeMap<String, Value>, Error> {
    let mut object = object.clone();
    normalize(&mut object);
    let node = Node::from_value(schema, root, object, 0).map_err(unreadable)?;
    let mut leaves = BTreeMap::new();
    each_leaf(&node, &mut String::new(), &mut |path, leaf| {
        leaves.insert(path.to_owned(), leaf.to_value());
    });
    Ok(leaves)
}

/// Calls `found` with each leaf of the tree and its path. An empty map or list is a leaf.
pub(crate) fn each_leaf(node: &Node, path: &mut String, found: &mut impl FnMut(&str, &Node)) {
    let length = path.len();
    match node {
        Node::Map(fields, _) if node.has_parts() => {
            for (field, node) in fields {
                push_field(path, field);
                each_leaf(node, path, found);
                path.truncate(length);
            }
        }
        Node::List(list) if node.has_parts() => {
            for (key, node) in &list.entries {
                push_entry(path, key);
                each_leaf(node, path, found);
                path.truncate(length);
            }
        }
        leaf => found(path, leaf),
    }
}
