//! The ClusterRole that a pipeline needs, as YAML: a rule for each resource, with the steps that need it in a comment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pgloom_engine::Pipeline;

use super::host::OWN;
use super::rule::{Resource, Rule, Verb, quoted};
use super::step::{Need, of_steps};

/// The begin of the document.
const HEAD: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: pgloom
rules:
";

/// The steps that need a resource, in their order, and what for.
#[derive(Default)]
struct Steps {
    verbs: BTreeSet<Verb>,
    creating: Vec<String>,
    observing: Vec<String>,
    running: Vec<String>,
}

/// The rights that the operator needs in the watched namespaces with this pipeline, as a ClusterRole. First those that it has
/// with any pipeline, then those for other kinds of the steps, by API group and name. The same pipeline gives the same
/// text.
pub fn cluster_role(pipeline: &Pipeline) -> String {
    let mut steps = by_resource(of_steps(pipeline));
    let mut text = HEAD.to_owned();
    for own in OWN {
        let resource = Resource { group: own.group.to_owned(), plural: own.plural.to_owned() };
        let of_steps = steps.remove(&resource).unwrap_or_default();
        let verbs = own.verbs.iter().copied().chain(of_steps.verbs.iter().copied()).collect();
        comment(&mut text, Some(own.why), &of_steps);
        rule(&mut text, &Rule { resource, verbs }, own.names);
    }
    for (resource, of_steps) in steps {
        comment(&mut text, None, &of_steps);
        rule(&mut text, &Rule { resource, verbs: of_steps.verbs }, &[]);
    }
    text
}

fn by_resource(needs: Vec<Need>) -> BTreeMap<Resource, Steps> {
    let mut steps: BTreeMap<Resource, Steps> = BTreeMap::new();
    for need in needs {
        let of_resource = steps.entry(need.resource(Resource::of(&need.kind))).or_default();
        let names = match need.creates() {
            true => &mut of_resource.creating,
            false if need.part.is_empty() => &mut of_resource.observing,
            false => &mut of_resource.running,
        };
        // Two versions of a kind have one resource.
        if !names.contains(&need.step) {
            names.push(need.step);
        }
        of_resource.verbs.extend(need.verbs);
    }
    steps
}

// Writing to a `String` does not fail.

fn comment(text: &mut String, why: Option<&str>, steps: &Steps) {
    why.into_iter().for_each(|why| _ = writeln!(text, "# {why}"));
    let running = "Commands are run in containers";
    for (what, names) in [("Created", &steps.creating), ("Observed", &steps.observing), (running, &steps.running)] {
        let noun = if names.len() == 1 { "step" } else { "steps" };
        if !names.is_empty() {
            _ = writeln!(text, "# {what} for the {noun} {}.", names.join(", "));
        }
    }
}

fn rule(text: &mut String, rule: &Rule, names: &[&str]) {
    let Resource { group, plural } = &rule.resource;
    _ = writeln!(text, "- apiGroups: [{}]\n  resources: [{plural}]", quoted(group));
    if !names.is_empty() {
        _ = writeln!(text, "  resourceNames: [{}]", names.join(", "));
    }
    _ = writeln!(text, "  verbs: [{}]", rule.verbs(", "));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pgloom_engine::{Description, ObjectKind, ObjectPermission, ObservedSelector, Plugin, Response, Selection};

    use super::*;

    fn plugin(name: &str, creates: &[(&str, &str)], observes: &[(&str, &str, Selection)]) -> Arc<Plugin> {
        let kind = |api_version: &str, kind: &str| ObjectKind::new(api_version.to_owned(), kind.to_owned());
        let created = creates.iter().map(|(version, name)| ObjectPermission::creates(kind(version, name), &["*"]));
        let observed = observes.iter().map(|(version, name, from)| ObservedSelector {
            id: "seen".into(),
            kind: kind(version, name),
            from: from.clone(),
            fields: vec![],
        });
        let description = Description {
            name: name.into(),
            objects: created.collect(),
            observed: observed.collect(),
            ..Description::default()
        };
        Arc::new(Plugin::native(description, |_| Ok(Response::default())))
    }

    fn rules(text: &str) -> BTreeMap<String, Vec<String>> {
        let role: serde_json::Value = serde_yaml_ng::from_str(text).unwrap();
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let verbs = |rule: &serde_json::Value| rule["verbs"].as_array().unwrap().iter().map(word).collect();
        let rules = role["rules"].as_array().unwrap().iter();
        rules.map(|rule| (word(&rule["resources"][0]), verbs(rule))).collect()
    }

    #[test]
    fn a_step_adds_what_the_operator_does_with_its_kinds_and_is_named() {
        let pipeline = Pipeline::of(vec![
            plugin("one", &[("v1", "ConfigMap"), ("example.com/v1", "Monitor")], &[]),
            plugin("two", &[("v1", "ConfigMap")], &[("example.com/v1", "Backup", Selection::Owned)]),
            plugin("three", &[], &[("example.com/v1", "Policy", Selection::Config("docker_image".into()))]),
        ])
        .unwrap();
        let text = cluster_role(&pipeline);
        let rules = rules(&text);
        let all = ["create", "delete", "get", "list", "patch", "watch"];
        assert_eq!(
            (&rules["configmaps"][..], &rules["monitors"][..]),
            (&all.map(str::to_owned)[..], &all.map(str::to_owned)[..])
        );
        assert_eq!((rules["backups"].join(" "), rules["policies"].join(" ")), ("list watch".into(), "get".into()));
        for comment in [
            "with the cluster.\n# Created for the steps one, two.\n- apiGroups: [\"\"]\n  resources: [configmaps]",
            "\n# Observed for the step two.\n- apiGroups: [example.com]\n  resources: [backups]",
        ] {
            assert!(text.contains(comment), "{text}");
        }
    }

    #[test]
    fn commands_are_run_only_for_a_step_that_is_granted_an_action_that_needs_them() {
        use pgloom_engine::{ActionKind, ActionPermission};
        let asking = |kind| {
            let actions = vec![ActionPermission::new(kind, &["*"])];
            let description = Description { name: "grow".into(), actions, ..Description::default() };
            cluster_role(
                &Pipeline::of(vec![Arc::new(Plugin::native(description, |_| Ok(Response::default())))]).unwrap(),
            )
        };
        let text = asking(ActionKind::GrowFilesystem);
        let rule = "# Commands are run in containers for the step grow.\n- apiGroups: [\"\"]\n  resources: [pods/exec]\n  verbs: [create, get]";
        assert!(text.contains(rule), "{text}");
        assert!(!asking(ActionKind::ModifyVolume).contains("exec"));
    }

    #[test]
    fn without_steps_nothing_of_the_clusters_is_created_but_what_the_host_makes() {
        let rules = rules(&cluster_role(&Pipeline::of(vec![]).unwrap()));
        let creates =
            |(resource, verbs): (&String, &Vec<String>)| verbs.contains(&"create".to_owned()).then(|| resource.clone());
        assert_eq!(
            rules.iter().filter_map(creates).collect::<Vec<_>>(),
            ["events", "rolebindings", "secrets", "serviceaccounts"]
        );
    }
}
