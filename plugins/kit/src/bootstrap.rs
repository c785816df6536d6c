//! Variables that tell the image where a new cluster's data comes from, put where they always were: behind the variables that
//! make the cluster and those of the manifest, before those of the platform.

use serde_json::Value;

use crate::container::{DATABASE, anchor, name_of};
use crate::object::{list, object, text};
use crate::{Cluster, Notes, Plugin, Request, Result, internal};

/// The variables of which the last one ends those that make a cluster.
const LAST: [&str; 4] =
    ["DCS_ENABLE_KUBERNETES_API", "ETCD_HOST", "KUBERNETES_BOOTSTRAP_LABELS", "KUBERNETES_USE_CONFIGMAPS"];

/// The variables of a StatefulSet's database container, as far as it has any.
pub fn variables(statefulset: &Value) -> &[Value] {
    let containers = statefulset["spec"]["template"]["spec"]["containers"].as_array();
    let database = containers.into_iter().flatten().find(|container| name_of(container) == DATABASE);
    database.and_then(|container| container["env"].as_array()).map_or(&[], Vec::as_slice)
}

/// What a plugin contributes to have `entries` among the variables of the database's container; `own` are the manifest's
/// variables. A variable that is already there keeps its value, which is told if it is another one.
///
/// # Errors
/// If no earlier step makes the StatefulSet.
pub fn contribution<P: Plugin>(
    request: &Request<P>,
    own: &[Value],
    entries: Vec<Value>,
    notes: &mut Notes,
) -> Result<Value> {
    let Cluster { name, .. } = &request.cluster;
    let Some(statefulset) = request.desired::<Value>("StatefulSet", name)? else {
        return Err(internal("no earlier step makes the cluster's StatefulSet; put this step behind that of spilo"));
    };
    let variables = placed(variables(&statefulset), own, entries, notes);
    let container = object([("name", text(DATABASE)), ("env", Value::Array(variables))]);
    let pod = object([("containers", list([container]))]);
    Ok(object([
        ("apiVersion", text("apps/v1")),
        ("kind", text("StatefulSet")),
        ("metadata", object([("name", text(name))])),
        ("spec", object([("template", object([("spec", pod)]))])),
    ]))
}

fn placed(existing: &[Value], own: &[Value], entries: Vec<Value>, notes: &mut Notes) -> Vec<Value> {
    let is_before = |entry: &Value| LAST.contains(&name_of(entry)) || own.iter().any(|own| is_same(own, entry));
    let end = existing.iter().rposition(is_before).map_or(0, |last| last + 1);
    let (before, behind) = existing.split_at(end);

    let mut list: Vec<Value> = before.last().map(|last| anchor(name_of(last))).into_iter().collect();
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        let is_there = before.iter().any(|there| is_same(there, &entry));
        let is_free = !is_there && !behind.iter().any(|there| is_same(there, &entry) && *there != entry);
        if is_free {
            names.push(name_of(&entry).to_owned());
            list.push(entry);
        } else if !existing.contains(&entry) {
            notes.warn(
                "spec.env",
                ["the variable ", name_of(&entry), " is already set in another way; that value is used"].concat(),
                "remove it from spec.env, or from what pod_environment_secret and pod_environment_configmap name",
            );
        }
    }
    let next = behind.iter().map(name_of).find(|next| !names.iter().any(|name| name == next));
    list.extend(next.map(anchor));
    list
}

fn is_same(left: &Value, right: &Value) -> bool {
    name_of(left).eq_ignore_ascii_case(name_of(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{env, env_from_secret};

    fn names(list: &[Value]) -> Vec<&str> {
        list.iter().map(name_of).collect()
    }

    fn existing(names: &[&str]) -> Vec<Value> {
        names.iter().map(|name| env(name, "there")).collect()
    }

    #[test]
    fn variables_come_behind_the_manifests_and_before_the_platforms() {
        for (own, there, expected) in [
            (
                &[][..],
                &["SCOPE", "DCS_ENABLE_KUBERNETES_API", "KUBERNETES_BOOTSTRAP_LABELS"][..],
                &["KUBERNETES_BOOTSTRAP_LABELS", "CLONE_SCOPE"][..],
            ),
            (&[], &["SCOPE", "ETCD_HOST", "WAL_S3_BUCKET"], &["ETCD_HOST", "CLONE_SCOPE", "WAL_S3_BUCKET"]),
            (
                &["b", "a"],
                &["DCS_ENABLE_KUBERNETES_API", "KUBERNETES_USE_CONFIGMAPS", "b", "A", "FROM_SECRET"],
                &["A", "CLONE_SCOPE", "FROM_SECRET"],
            ),
        ] {
            let mut notes = Notes::default();
            let list = placed(&existing(there), &existing(own), vec![env("CLONE_SCOPE", "x")], &mut notes);
            assert_eq!(names(&list), expected);
        }
    }

    #[test]
    fn what_the_platform_sets_alike_is_moved_and_what_it_sets_otherwise_stays() {
        let there = [
            env("ETCD_HOST", "etcd"),
            env("CLONE_METHOD", "CLONE_WITH_WALE"),
            env_from_secret("CLONE_AWS_ACCESS_KEY_ID", "platform", "key"),
            env("OTHER", "x"),
        ];
        let wanted = vec![
            env("CLONE_SCOPE", "x"),
            env("CLONE_METHOD", "CLONE_WITH_WALE"),
            env("CLONE_AWS_ACCESS_KEY_ID", "mine"),
        ];
        let mut notes = Notes::default();
        let list = placed(&there, &[], wanted, &mut notes);
        assert_eq!(names(&list), ["ETCD_HOST", "CLONE_SCOPE", "CLONE_METHOD", "CLONE_AWS_ACCESS_KEY_ID"]);
        assert_eq!(list[3], anchor("CLONE_AWS_ACCESS_KEY_ID"));
        let told = crate::Response::new().with(notes).build().findings;
        assert!(told[0].message.starts_with("the variable CLONE_AWS_ACCESS_KEY_ID"), "{told:?}");
    }

    #[test]
    fn the_manifests_own_variable_wins() {
        let own = [env("CLONE_METHOD", "mine")];
        let there = [env("ETCD_HOST", "etcd"), env("CLONE_METHOD", "mine")];
        let mut notes = Notes::default();
        let list = placed(&there, &own, vec![env("CLONE_SCOPE", "x"), env("CLONE_METHOD", "y")], &mut notes);
        assert_eq!(names(&list), ["CLONE_METHOD", "CLONE_SCOPE"]);
        assert_eq!(crate::Response::new().with(notes).build().findings.len(), 1);
    }
}
