//! Which step set each leaf of an object, by field path.

use std::collections::BTreeMap;

use crate::{
    path::{push_entry, push_field},
    tree::{Node, StepId},
};

/// The name of the step that set each leaf of the tree. An empty map or list is a leaf.
pub(crate) fn owners<'a>(root: &Node, name: impl Fn(StepId) -> &'a str) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    collect(root, &name, &mut String::new(), &mut owners);
    owners
}

fn collect<'a>(
    node: &Node,
    name: &impl Fn(StepId) -> &'a str,
    path: &mut String,
    owners: &mut BTreeMap<String, String>,
) {
    let length = path.len();
    match node {
        Node::Map(fields, _) if node.has_parts() => {
            for (field, node) in fields {
                push_field(path, field);
                collect(node, name, path, owners);
                path.truncate(length);
            }
        }
        Node::List(list) if node.has_parts() => {
            for (key, node) in &list.entries {
                push_entry(path, key);
                collect(node, name, path, owners);
                path.truncate(length);
            }
        }
        leaf => {
            owners.insert(path.clone(), name(leaf.step()).to_owned());
        }
    }
}
