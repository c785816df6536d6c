//! Variables that tell the image where a new cluster's data comes from, for the clone and the standby plugin.
//!
//! They have a fixed place in the list: behind the variables that make the cluster and those of the manifest, before
//! those of the platform. Another order is another pod template, and that restarts the database.

pub mod variables;

use serde_json::Value;

use crate::container::{DATABASE, anchor, name_of, pod_contribution};
use crate::json::{list, object, text};
use crate::{Plugin, Request, Result, Warnings};

/// The remedy for a variable that has a value already.
pub const REMOVE_VARIABLE: &str =
    "remove it from spec.env, or from the objects of pod_environment_secret and pod_environment_configmap";

/// The variables that can be the last one of those that make the cluster.
const LAST: [&str; 4] =
    ["DCS_ENABLE_KUBERNETES_API", "ETCD_HOST", "KUBERNETES_BOOTSTRAP_LABELS", "KUBERNETES_USE_CONFIGMAPS"];

/// The variables of a StatefulSet's database container; empty if there is none.
pub fn variables(statefulset: &Value) -> &[Value] {
    let containers = statefulset["spec"]["template"]["spec"]["containers"].as_array();
    let database = containers.into_iter().flatten().find(|container| name_of(container) == DATABASE);
    database.and_then(|container| container["env"].as_array()).map_or(&[], Vec::as_slice)
}

/// The partial StatefulSet that adds `entries` to the variables of the database's container; `own` are the manifest's
/// variables. A variable that exists already keeps its value; if that value is another one, there is a warning.
///
/// # Errors
/// If no earlier step creates the StatefulSet.
pub fn contribution<P: Plugin>(
    request: &Request<P>,
    own: &[Value],
    entries: Vec<Value>,
    warnings: &mut Warnings,
) -> Result<Value> {
    let statefulset = request.desired_statefulset()?;
    let variables = insert(variables(&statefulset), own, entries, warnings);
    let container = object([("name", text(DATABASE)), ("env", Value::Array(variables))]);
    let pod = object([("containers", list([container]))]);
    Ok(pod_contribution(&request.cluster.name, pod))
}

fn insert(existing: &[Value], own: &[Value], entries: Vec<Value>, warnings: &mut Warnings) -> Vec<Value> {
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
            warnings.warn(
                "spec.env",
                format!("the variable {} already has another value; that value is used", name_of(&entry)),
                REMOVE_VARIABLE,
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
    fn variables_are_behind_the_manifests_and_before_the_platforms() {
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
            let mut warnings = Warnings::default();
            let list = insert(&existing(there), &existing(own), vec![env("CLONE_SCOPE", "x")], &mut warnings);
            assert_eq!(names(&list), expected);
        }
    }

    #[test]
    fn a_variable_that_the_platform_sets_to_the_same_value_is_moved_and_one_with_another_value_stays() {
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
        let mut warnings = Warnings::default();
        let list = insert(&there, &[], wanted, &mut warnings);
        assert_eq!(names(&list), ["ETCD_HOST", "CLONE_SCOPE", "CLONE_METHOD", "CLONE_AWS_ACCESS_KEY_ID"]);
        assert_eq!(list[3], anchor("CLONE_AWS_ACCESS_KEY_ID"));
        let findings = crate::Response::new().with(warnings).build().findings;
        assert!(findings[0].message.starts_with("the variable CLONE_AWS_ACCESS_KEY_ID"), "{findings:?}");
    }

    #[test]
    fn the_manifests_own_variable_wins() {
        let own = [env("CLONE_METHOD", "mine")];
        let there = [env("ETCD_HOST", "etcd"), env("CLONE_METHOD", "mine")];
        let mut warnings = Warnings::default();
        let list = insert(&there, &own, vec![env("CLONE_SCOPE", "x"), env("CLONE_METHOD", "y")], &mut warnings);
        assert_eq!(names(&list), ["CLONE_METHOD", "CLONE_SCOPE"]);
        assert_eq!(crate::Response::new().with(warnings).build().findings.len(), 1);
    }
}
