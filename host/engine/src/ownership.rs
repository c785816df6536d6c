//! Which step set which leaf of an object, by field path.

use std::collections::BTreeMap;

use crate::{
    merge::{Node, Step},
    path::{push_entry, push_field},
};

/// The step of every leaf of the tree. An empty map or list is a leaf.
pub(crate) fn owners(root: &Node, steps: &[Step]) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    collect(root, steps, &mut String::new(), &mut owners);
    owners
}

fn collect(node: &Node, steps: &[Step], path: &mut String, owners: &mut BTreeMap<String, String>) {
    let length = path.len();
    match node {
        Node::Map(fields, _) if node.has_parts() => {
            for (name, node) in fields {
                push_field(path, name);
                collect(node, steps, path, owners);
                path.truncate(length);
            }
        }
        Node::List(list) if node.has_parts() => {
            for (key, node) in &list.entries {
                push_entry(path, key);
                collect(node, steps, path, owners);
                path.truncate(length);
            }
        }
        leaf => {
            let step = steps.get(usize::from(leaf.step())).map(|step| step.name.clone());
            owners.insert(path.clone(), step.unwrap_or_default());
        }
    }
}
