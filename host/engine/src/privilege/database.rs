//! What a container of the database's pods runs: what a step sets in a container of another step only with a privilege, or with
//! a grant for exactly that variable or mount.
//!
//! A permission for the variables or the mounts of a container would else be one for any command: the image, the loader
//! and the shell take what they run from variables, and a mount can replace any file of the image. Which ones the host
//! cannot know, so that a container's fields, variables and mounts are an allow-list.

use pgloom_api::{Privilege, pod_template};

use super::{CONTAINERS, Needed};
use crate::{
    model::ObjectRef,
    owners::StepId,
    path::{FieldPath, Key, Segment},
    scope::Scope,
    tree::Node,
};

/// The fields of a container that do not change what it runs, or need privileges of their own.
const HARMLESS: [&str; 7] =
    ["imagePullPolicy", "name", "ports", "resizePolicy", "resources", "securityContext", "terminationMessagePolicy"];
/// The lists of a container whose entries may be granted by their keys.
const BY_NAME: [&str; 2] = ["env", "volumeMounts"];

/// Whether grants name an entry of a list by its keys.
type IsGranted<'a> = dyn Fn(&[Segment]) -> bool + 'a;

/// The field by which a step changes what a container of the members runs that another step has made; `before` is the object
/// without what the step contributes, and `is_granted` says whether grants name an entry of a list by its keys.
pub(crate) fn command(
    object: &ObjectRef,
    before: Option<&Node>,
    root: &Node,
    step: StepId,
    (scope, is_granted): (&Scope, &IsGranted<'_>),
) -> Option<Needed> {
    if object.kind != "StatefulSet" || object.name != scope.cluster {
        return None;
    }
    let template = pod_template::path(&object.api_version, &object.kind)?;
    let found = CONTAINERS.iter().find_map(|list| {
        let path: Vec<&str> = template.iter().copied().chain(["spec", list]).collect();
        let containers = |root| entries(path.iter().try_fold(root, |node: &Node, name| node.field(name)));
        let of_others = |key: &Key| {
            let (_, there) = containers(before?).iter().find(|(name, _)| name == key)?;
            there.field("name")?.foreign(step)
        };
        let mut changed = containers(root).iter().filter(|(key, _)| of_others(key).is_some());
        changed.find_map(|(key, container)| {
            let fields = path.iter().map(|name| Segment::Field((*name).to_owned()));
            change(container, fields.chain([Segment::Entry(key.clone())]).collect(), is_granted)
        })
    });
    Some(Needed { path: FieldPath::new(found?).to_string(), privilege: Privilege::DatabaseCommand })
}

/// The first field, variable or mount of a container by which it may run something else; `path` is the container's.
fn change(container: &Node, path: Vec<Segment>, is_granted: &IsGranted<'_>) -> Option<Vec<Segment>> {
    let below = |segments: &[Segment]| [path.as_slice(), segments].concat();
    container.fields().filter(|(name, _)| !HARMLESS.contains(name)).find_map(|(name, node)| {
        let field = Segment::Field(name.to_owned());
        let Node::List(list) = node else { return Some(below(&[field])) };
        if !BY_NAME.contains(&name) {
            return Some(below(&[field]));
        }
        // An entry with nothing but its key only gives a place.
        let is_set = |node: &Node| node.fields().any(|(name, _)| !list.keys.iter().any(|key| key.name == name));
        let set = list.entries.iter().filter(|(_, node)| is_set(node));
        let mut paths = set.map(|(key, _)| below(&[field.clone(), Segment::Entry(key.clone())]));
        paths.find(|path| !is_granted(path))
    })
}

fn entries(list: Option<&Node>) -> &[(Key, Node)] {
    match list {
        Some(Node::List(list)) => &list.entries,
        _ => &[],
    }
}
