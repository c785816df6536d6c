//! Which steps set the field that the API server names when it refuses an object.

use serde_json::Value;

use super::{HOST, Ownership};
use crate::{
    path::{Key, push_entry, push_field},
    schema::{Schema, TypeId},
    tree::{List, Node, normalize},
};

/// The steps that set a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setters {
    /// The field's path, with the keys of entries. It is that of the whole entry if the named field of it is not set.
    pub path: String,
    /// The names of the steps; [`HOST`] if no step set it.
    pub steps: Vec<String>,
    /// Whether the steps removed the field.
    pub removed: bool,
}

/// One part of a field as the API server writes it: a name, or what is in brackets.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Name(&'a str),
    Bracket(&'a str),
}

impl Ownership {
    /// The steps that set a field; `None` if that cannot be said. `field` is as the API server writes it, as in
    /// `spec.template.spec.containers[1].image`, or `.spec.ports[port=80,protocol="TCP"]`. `applied` is the object that
    /// was sent, of the type `root`. `live` is the object that exists, if one does: an index counts its entries, too, so a
    /// list of which others made entries is not looked into.
    pub fn setters(
        &self,
        schema: &Schema,
        root: TypeId,
        applied: &Value,
        live: Option<&Value>,
        field: &str,
    ) -> Option<Setters> {
        let tree = |object: &Value| Node::from_value(schema, root, object.clone(), 0).ok();
        let (applied, live) = (tree(applied)?, live.and_then(tree));
        let (mut node, mut live) = (&applied, live.as_ref());
        let (mut path, mut entry) = (String::new(), 0);
        for part in parts(field) {
            let length = path.len();
            let below = match (node, &part) {
                (Node::Map(fields, _), Part::Name(name) | Part::Bracket(name)) => {
                    push_field(&mut path, name);
                    live = live.and_then(|live| live.field(name));
                    fields.get(*name)
                }
                (Node::List(list), Part::Bracket(key)) => {
                    let found = find(list, live, key);
                    if let Some((key, _)) = found {
                        push_entry(&mut path, key);
                        entry = path.len();
                        live = live.and_then(|live| live_entry(live, key));
                    }
                    found.map(|(_, node)| node)
                }
                // It is set as a whole.
                (Node::Leaf(..), _) => break,
                _ => None,
            };
            let Some(below) = below else {
                if let Some(step) = self.removed.get(&path) {
                    return Some(Setters { path, steps: vec![step.clone()], removed: true });
                }
                path.truncate(if matches!(node, Node::List(_)) { length } else { entry });
                break;
            };
            node = below;
        }
        (!path.is_empty()).then(|| Setters { steps: self.owners_of(&path), removed: false, path })
    }

    /// The owners of a leaf, or of all leaves below.
    pub fn owners_of(&self, path: &str) -> Vec<String> {
        let mut steps: Vec<String> = Vec::new();
        for (_, owners) in self.leaves.iter().filter(|(leaf, _)| is_at_or_below(leaf, path)) {
            for owner in owners {
                if !steps.contains(owner) {
                    steps.push(owner.clone());
                }
            }
        }
        if steps.is_empty() {
            steps.push(HOST.to_owned());
        }
        steps
    }
}

/// Whether a path is this one or below; every path is below the empty one.
pub fn is_at_or_below(path: &str, parent: &str) -> bool {
    let rest = path.strip_prefix(parent);
    rest.is_some_and(|rest| parent.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path of a field of an object, with the keys of entries, and its value. `field` is as the API server or `kubectl`
/// write it, as in `.spec.template.spec.containers[0].env`; a `$` or a dot before it does not count. `None` if the object
/// has no such field.
pub fn locate(schema: &Schema, root: TypeId, object: &Value, field: &str) -> Option<(String, Value)> {
    let mut object = object.clone();
    normalize(&mut object);
    let tree = Node::from_value(schema, root, object, 0).ok()?;
    let (mut node, mut path) = (&tree, String::new());
    for part in parts(field.trim_start_matches('$')) {
        node = match (node, part) {
            (Node::Map(fields, _), Part::Name(name) | Part::Bracket(name)) => {
                let name = name.trim_matches(['"', '\'']);
                push_field(&mut path, name);
                fields.get(name)?
            }
            (Node::List(list), Part::Bracket(key)) => {
                let (key, below) = find(list, None, key)?;
                push_entry(&mut path, key);
                below
            }
            // It is set as a whole, and what is in it has no owner of its own.
            (Node::Leaf(..), _) => break,
            _ => return None,
        };
    }
    Some((path, node.to_value()))
}

/// The entry that the API server means.
fn find<'a>(list: &'a List, live: Option<&Node>, text: &str) -> Option<(&'a Key, &'a Node)> {
    let found = match text.parse::<usize>() {
        Ok(index) => {
            let is_ours = |key: &Key| list.entries.iter().any(|(ours, _)| ours == key);
            let of_others = match live {
                Some(Node::List(live)) => live.entries.iter().any(|(key, _)| !is_ours(key)),
                _ => false,
            };
            list.entries.get(index).filter(|_| !of_others)
        }
        Err(_) => {
            let key = key(text);
            list.entries.iter().find(|(full, _)| key.means(full))
        }
    };
    found.map(|(key, node)| (key, node))
}

fn live_entry<'a>(live: &'a Node, key: &Key) -> Option<&'a Node> {
    match live {
        Node::List(list) => list.entries.iter().find(|(full, _)| full == key).map(|(_, node)| node),
        _ => None,
    }
}

/// The key of an entry as server-side apply writes it, as in `name="postgres"`.
fn key(text: &str) -> Key {
    let pairs: Vec<(&str, Value)> = text
        .split(',')
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name, serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
        })
        .collect();
    Key::new(pairs.iter().map(|(name, value)| (*name, value)))
}

/// The parts of a field. The keys of maps are in brackets, too, as in `resources.limits[cpu]`, and may have dots.
fn parts(field: &str) -> Vec<Part<'_>> {
    let (mut rest, mut parts) = (field, Vec::new());
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        match rest.strip_prefix('[') {
            Some(inner) => {
                let (key, after) = inner.split_once(']').unwrap_or((inner, ""));
                parts.push(Part::Bracket(key));
                rest = after;
            }
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                if !name.is_empty() {
                    parts.push(Part::Name(name));
                }
                rest = after;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schemas;
    use serde_json::json;

    /// The owners of a StatefulSet with two containers of two steps, and the object.
    fn set() -> (Ownership, Value) {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "c", "labels": {"a.b/c": "x"}},
            "spec": {"replicas": 1, "template": {"spec": {
                "containers": [
                    {"name": "postgres", "image": "spilo", "command": ["a", "b"]},
                    {"name": "proxy", "image": "p q", "resources": {"limits": {"cpu": "much"}}},
                ],
            }}},
        });
        let own = |path: &str, steps: &[&str]| (path.to_owned(), steps.iter().map(|step| (*step).to_owned()).collect());
        let at = |rest: &str| format!("spec.template.spec.containers[{rest}");
        let leaves = [
            own("spec.replicas", &["spilo"]),
            own(&at("name=postgres].name"), &["spilo"]),
            own(&at("name=postgres].image"), &["spilo", "patches"]),
            own(&at("name=postgres].command"), &["spilo"]),
            own(&at("name=proxy].name"), &["sidecars"]),
            own(&at("name=proxy].image"), &["sidecars"]),
            own(&at("name=proxy].resources.limits.cpu"), &["patches"]),
        ];
        let removed = [("spec.serviceName".to_owned(), "patches".to_owned())].into();
        (Ownership { leaves: leaves.into(), removed }, object)
    }

    /// What is said of a field, as `path: steps`.
    fn said(field: &str, live: Option<&Value>) -> Option<String> {
        let (owners, object) = set();
        let schemas = Schemas::built_in().unwrap();
        let (schema, kind) = schemas.kind("apps/v1", "StatefulSet");
        let found = owners.setters(schema, kind.root, &object, live, field)?;
        let removed = if found.removed { " removed" } else { "" };
        Some(format!("{}: {}{removed}", found.path, found.steps.join(", ")))
    }

    #[test]
    fn a_field_that_the_api_server_names_by_index_or_key_leads_to_the_steps_that_set_it() {
        let at = |rest: &str| format!("spec.template.spec.containers[{rest}");
        for (field, expected) in [
            ("spec.replicas".to_owned(), "spec.replicas: spilo".to_owned()),
            (at("0].image"), at("name=postgres].image: spilo, patches")),
            (at("1].image"), at("name=proxy].image: sidecars")),
            (format!(".{}", at("name=\"proxy\"].image")), at("name=proxy].image: sidecars")),
            (at("1].resources.limits[cpu]"), at("name=proxy].resources.limits.cpu: patches")),
            (at("0].command[1]"), at("name=postgres].command: spilo")),
            // What an entry lacks is missing in the whole entry.
            (at("1].ports[0].containerPort"), at("name=proxy]: sidecars, patches")),
            ("metadata.labels[a.b/c]".to_owned(), "metadata.labels[\"a.b/c\"]: pgloom".to_owned()),
            ("spec.serviceName".to_owned(), "spec.serviceName: patches removed".to_owned()),
        ] {
            assert_eq!(said(&field, None).as_deref(), Some(&*expected), "{field}");
        }
    }

    #[test]
    fn a_field_is_located_by_index_or_by_key_and_what_does_not_exist_is_not() {
        let (_, object) = set();
        let schemas = Schemas::built_in().unwrap();
        let (schema, kind) = schemas.kind("apps/v1", "StatefulSet");
        let found = |field: &str| locate(schema, kind.root, &object, field);
        let image = Some(("spec.template.spec.containers[name=proxy].image".to_owned(), json!("p q")));
        assert_eq!(found(".spec.template.spec.containers[1].image"), image);
        assert_eq!(found("spec.template.spec.containers[name=proxy].image"), image);
        let label = Some((r#"metadata.labels["a.b/c"]"#.to_owned(), json!("x")));
        assert_eq!(found(r#"metadata.labels["a.b/c"]"#), label);
        for missing in ["spec.paused", "spec.template.spec.containers[2]", "spec.replicas.x"] {
            assert_eq!(found(missing).filter(|(path, _)| path != "spec.replicas"), None, "{missing}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_not_guessed() {
        assert_eq!(said("spec.selector", None), None, "no step set it");
        assert_eq!(said("", None), None);
        let (_, mut live) = set();
        let others = json!({"name": "injected", "image": "i"});
        live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().insert(0, others);
        let all = "spec.template.spec.containers: spilo, patches, sidecars";
        assert_eq!(said("spec.template.spec.containers[1].image", Some(&live)).as_deref(), Some(all));
        let by_key = said("spec.template.spec.containers[name=\"proxy\"].image", Some(&live)).unwrap();
        assert!(by_key.ends_with(": sidecars"), "{by_key}");
    }
}
