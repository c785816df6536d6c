//! What a container of the database's pods runs: the fields and variables that a step sets in a container of another step only
//! with a privilege.
//!
//! A permission for the variables of a container would else be one for any command: Patroni and Spilo take their
//! configuration from variables, and the loader and the shell take code.

use pgloom_api::{Privilege, pod_template};

use super::Needed;
use crate::{
    model::ObjectRef,
    owners::StepId,
    path::{FieldPath, Key, Segment},
    scope::Scope,
    tree::Node,
};

/// The fields of a container by which it runs something else.
const FIELDS: [&str; 8] =
    ["args", "command", "envFrom", "image", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];
/// The variables by which a container runs something else.
const VARIABLES: [&str; 6] = ["BASH_ENV", "CALLBACK_SCRIPT", "CRONTAB", "ENV", "PATH", "SPILO_CONFIGURATION"];
/// The beginnings of the names of such variables.
const PREFIXES: [&str; 6] = ["BASH_FUNC_", "LD_", "PATRONI_", "PERL5", "PYTHON", "SPILO_"];

/// The field by which a step changes what a container of the members runs that another step has made; `before` is the object
/// without what the step contributes.
pub(crate) fn command(
    object: &ObjectRef,
    before: Option<&Node>,
    root: &Node,
    step: StepId,
    scope: &Scope,
) -> Option<Needed> {
    if object.kind != "StatefulSet" || object.name != scope.cluster {
        return None;
    }
    let template = pod_template::path(&object.api_version, &object.kind)?;
    let path: Vec<&str> = template.iter().copied().chain(["spec", "containers"]).collect();
    let list = |root| entries(path.iter().try_fold(root, |node: &Node, name| node.field(name)));
    let of_others = |key: &Key| {
        let there = list(before?).iter().find(|(name, _)| name == key)?;
        there.1.field("name")?.foreign(step)
    };
    let (key, below) = list(root)
        .iter()
        .filter(|(key, _)| of_others(key).is_some())
        .find_map(|(key, container)| Some((key, changed(container)?)))?;
    let segments = path.iter().map(|name| Segment::Field((*name).to_owned()));
    let path = FieldPath::new(segments.chain([Segment::Entry(key.clone())]).chain(below).collect());
    Some(Needed { path: path.to_string(), privilege: Privilege::DatabaseCommand })
}

/// The first field of a container by which it runs something else.
fn changed(container: &Node) -> Option<Vec<Segment>> {
    if let Some(field) = FIELDS.iter().find(|field| container.field(field).is_some()) {
        return Some(vec![Segment::Field((*field).to_owned())]);
    }
    let variables = entries(container.field("env"));
    let (key, _) = variables.iter().find(|(_, variable)| variable.field("name").is_some_and(is_command))?;
    Some(vec![Segment::Field("env".to_owned()), Segment::Entry(key.clone())])
}

fn is_command(name: &Node) -> bool {
    let Node::Leaf(name, _) = name else { return false };
    let name = name.as_str().unwrap_or_default();
    VARIABLES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn entries(list: Option<&Node>) -> &[(Key, Node)] {
    match list {
        Some(Node::List(list)) => &list.entries,
        _ => &[],
    }
}
