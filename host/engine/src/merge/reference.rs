//! References to variables: no step refers by `$(NAME)` to a variable with a credential of another step.
//!
//! Kubernetes replaces `$(NAME)` in the values of variables, in commands, arguments and paths of mounts by the value of the
//! variable. So a reference would copy a credential to where its step did not put it. A reference and its variable may be
//! set in any order, so that what counts is the merged object.

use pgloom_api::{placeholder, pod_template};
use serde_json::Value;

use crate::{
    model::ObjectRef,
    path::{FieldPath, Segment},
    privilege::CONTAINERS,
    tree::Node,
};

/// The lists of a container's entries, and their fields in which Kubernetes replaces references.
const IN_ENTRIES: [(&str, &str); 2] = [("env", "value"), ("volumeMounts", "subPathExpr")];
/// The fields of a container in which Kubernetes replaces references.
const IN_FIELDS: [&str; 2] = ["command", "args"];

/// Whether containers in the object refer to variables.
pub(super) fn has_references(object: &ObjectRef, root: &Node) -> bool {
    each_container(object, root, |_, container| {
        texts(container).find(|(_, node)| !names(node).is_empty()).map(|_| FieldPath::new(Vec::new()))
    })
    .is_some()
}

/// The first reference to a credential of a step that did not set the reference.
pub(super) fn fault(object: &ObjectRef, root: &Node) -> Option<FieldPath> {
    each_container(object, root, |path, container| {
        let of_other = |node: &Node, name: &str| {
            let credential = credential(container, name);
            credential.is_some_and(|credential| node.owners().iter().any(|step| credential.foreign(step).is_some()))
        };
        let mut places = texts(container);
        let (place, _) = places.find(|(_, node)| names(node).iter().any(|name| of_other(node, name)))?;
        Some(FieldPath::new(path.into_iter().chain(place).collect()))
    })
}

/// The first path that `find` gives for a container, which it receives with its own path.
fn each_container(
    object: &ObjectRef,
    root: &Node,
    find: impl Fn(Vec<Segment>, &Node) -> Option<FieldPath>,
) -> Option<FieldPath> {
    let template = pod_template::path(&object.api_version, &object.kind)?;
    let path: Vec<&str> = template.iter().copied().chain(["spec"]).collect();
    let spec = path.iter().try_fold(root, |node, name| node.field(name))?;
    CONTAINERS.iter().find_map(|list| {
        let Node::List(containers) = spec.field(list)? else { return None };
        containers.entries.iter().find_map(|(key, container)| {
            let fields = path.iter().chain([list]).map(|name| Segment::Field((*name).to_owned()));
            find(fields.chain([Segment::Entry(key.clone())]).collect(), container)
        })
    })
}

/// The places of a container in which Kubernetes replaces references.
fn texts(container: &Node) -> impl Iterator<Item = (Vec<Segment>, &Node)> {
    let of_entries = IN_ENTRIES.iter().flat_map(move |(list, name)| {
        let entries = match container.field(list) {
            Some(Node::List(list)) => list.entries.as_slice(),
            _ => &[],
        };
        entries.iter().filter_map(move |(key, entry)| {
            let path = || vec![field(list), Segment::Entry(key.clone()), field(name)];
            entry.field(name).filter(|node| !names(node).is_empty()).map(|node| (path(), node))
        })
    });
    let of_fields = IN_FIELDS.iter().filter_map(move |name| Some((vec![field(name)], container.field(name)?)));
    of_entries.chain(of_fields)
}

fn field(name: &str) -> Segment {
    Segment::Field(name.to_owned())
}

/// The variables that a text, or a list of texts, refers to.
fn names(node: &Node) -> Vec<&str> {
    let Node::Leaf(value, _) = node else { return Vec::new() };
    match value {
        Value::String(text) => references(text).collect(),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The names in `$(NAME)`. A `$$` is one `$`, and begins no reference.
fn references(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, behind) = rest.split_once('$')?;
            rest = behind;
            if let Some(behind) = behind.strip_prefix('$') {
                rest = behind;
            } else if let Some((name, behind)) = behind.strip_prefix('(').and_then(|name| name.split_once(')')) {
                rest = behind;
                return Some(name);
            }
        }
    })
}

/// What a variable has of a credential: its placeholder, or its reference to a Secret.
fn credential<'a>(container: &'a Node, name: &str) -> Option<&'a Node> {
    let Node::List(variables) = container.field("env")? else { return None };
    let mut of_name = variables.entries.iter().map(|(_, variable)| variable);
    let variable = of_name.find(|variable| variable.field("name").is_some_and(|known| known.is_text(name)))?;
    let is_placeholder = |node: &&Node| match node {
        Node::Leaf(Value::String(text), _) => text.starts_with(placeholder::PREFIX),
        _ => false,
    };
    let secret = || variable.field("valueFrom")?.field("secretKeyRef");
    variable.field("value").filter(is_placeholder).or_else(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_in_parentheses_behind_one_dollar_sign() {
        let of = |text| references(text).collect::<Vec<_>>();
        assert_eq!(of("a $(A) $$(B) $$$(C) $(D"), ["A", "C"]);
        assert_eq!(of("$ $A $() $(A)(B)"), ["", "A"]);
        assert!(of("a$").is_empty());
    }
}
