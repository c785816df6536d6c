//! Whether a step that is left out can restart pods: whether it may write fields of a pod template.

use crate::model::ObjectKind;
use crate::path::{Pattern, Segment};
use crate::permission::ObjectRights;
use crate::reserved;

/// The kinds whose controller replaces running pods when the template changes, of the group `apps`. A CronJob's or a Job's does not.
const WITH_PODS: [&str; 4] = ["StatefulSet", "Deployment", "DaemonSet", "ReplicaSet"];

/// The one of them whose pods are the database's.
const SET: &str = "StatefulSet";

/// The lists of fields that a permission has: those that a step sets, overrides and removes.
const LISTS: [fn(&ObjectRights) -> &[Pattern]; 3] =
    [|rights| &rights.fields, |rights| &rights.overrides, |rights| &rights.removes];

/// The first field of a pod template that the step may write, as in `StatefulSet spec.template.spec.volumes`: the plugin
/// asks for it and the pipeline grants it.
///
/// The fields of a Deployment that the step itself creates do not count: without the step there is no object at all to
/// apply, and nothing is pruned while a step's response is missing.
pub(super) fn field_of_pods(asked: &[ObjectRights], granted: &[ObjectRights]) -> Option<String> {
    let template = ["spec", "template"].map(|name| Segment::Field(name.to_owned()));
    asked.iter().filter(|asked| has_pods(&asked.kind)).find_map(|asked| {
        let granted = || granted.iter().filter(|grant| grant.kind == asked.kind);
        let field = LISTS.iter().find_map(|of| {
            let is_granted = |pattern: &Pattern| {
                granted().flat_map(of).any(|granted| overlap(granted.segments(), pattern.segments()))
            };
            of(asked).iter().find(|pattern| overlap(pattern.segments(), &template) && is_granted(pattern))
        });
        let creates = asked.creates && asked.kind.kind == SET && granted().any(|grant| grant.creates);
        field.map(|field| format!("{} {field}", asked.kind.kind)).or_else(|| creates.then(|| asked.kind.kind.clone()))
    })
}

fn has_pods(kind: &ObjectKind) -> bool {
    restarts_pods(&kind.api_version, &kind.kind)
}

/// Whether running pods are replaced when the template of an object of this kind changes.
pub fn restarts_pods(api_version: &str, kind: &str) -> bool {
    reserved::group(api_version) == "apps" && WITH_PODS.contains(&kind)
}

/// Whether one pattern is in the other, or there are fields that both cover.
fn overlap(one: &[Segment], other: &[Segment]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.matches(other) || other.matches(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(kind: &str, fields: &[&str], creates: bool) -> ObjectRights {
        ObjectRights {
            kind: ObjectKind { api_version: "apps/v1".into(), kind: kind.into() },
            names: vec!["{cluster}".into()],
            creates,
            fields: fields.iter().map(|path| path.parse().unwrap()).collect(),
            overrides: Vec::new(),
            removes: Vec::new(),
        }
    }

    #[test]
    fn a_custom_resource_with_the_kind_of_a_built_in_one_has_no_pods_that_would_be_restarted() {
        let custom = ObjectKind::new("example.org/v1", "StatefulSet");
        for creates in [true, false] {
            let rights = [ObjectRights { kind: custom.clone(), ..rights("StatefulSet", &["spec.template"], creates) }];
            assert_eq!(granted_as_asked(&rights), None);
        }
    }

    fn granted_as_asked(rights: &[ObjectRights]) -> Option<String> {
        field_of_pods(rights, rights)
    }

    #[test]
    fn a_field_in_a_pod_template_is_found_whole_or_in_part() {
        for path in ["*", "spec", "spec.template", "spec.template.spec.volumes[name=tls]"] {
            let found = granted_as_asked(&[rights("StatefulSet", &["spec.replicas", path], false)]);
            assert_eq!(found, Some(format!("StatefulSet {path}")));
        }
    }

    #[test]
    fn fields_outside_of_templates_and_own_deployments_restart_no_pod() {
        assert_eq!(granted_as_asked(&[rights("StatefulSet", &["spec.replicas", "metadata.annotations"], false)]), None);
        assert_eq!(granted_as_asked(&[rights("CronJob", &["spec.jobTemplate.spec.template"], false)]), None);
        assert_eq!(granted_as_asked(&[rights("Deployment", &[], true)]), None);
        assert_eq!(granted_as_asked(&[rights("StatefulSet", &[], true)]), Some("StatefulSet".to_owned()));
    }

    #[test]
    fn only_what_is_granted_counts_and_overrides_and_removals_count_too() {
        let asked = [rights("StatefulSet", &["spec.template.spec.volumes"], false)];
        let granted = |path: &str| field_of_pods(&asked, &[rights("StatefulSet", &[path], false)]);
        assert_eq!(granted("spec.template.metadata"), None);
        assert!(granted("spec.template.spec").is_some());
        let field = || vec!["spec.template.spec.nodeName".parse().unwrap()];
        let base = || rights("StatefulSet", &["spec.replicas"], false);
        assert!(granted_as_asked(&[ObjectRights { overrides: field(), ..base() }]).is_some());
        assert!(granted_as_asked(&[ObjectRights { removes: field(), ..base() }]).is_some());
    }
}
