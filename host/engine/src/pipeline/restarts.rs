//! Whether a step that is left out can restart pods: whether it may write fields of a pod template.

use crate::contract::ObjectKind;
use crate::path::{Pattern, Segment};
use crate::permission::{FieldPermission, WritePermission};

/// The kinds whose controller replaces running pods when the template changes. A CronJob's or a Job's does not.
const WITH_PODS: [&str; 4] = ["StatefulSet", "Deployment", "DaemonSet", "ReplicaSet"];

/// The first field of a pod template that the step may write, as in `StatefulSet spec.template.spec.volumes`.
///
/// The fields of a Deployment that the step itself creates do not count: without the step there is no object at all to
/// apply, and nothing is pruned while a step's response is missing.
pub(super) fn field_of_pods(
    described: &[WritePermission],
    granted: Option<&[WritePermission]>,
    overrides: &[FieldPermission],
    removes: &[FieldPermission],
) -> Option<String> {
    let template = ["spec", "template"].map(|name| Segment::Field(name.to_owned()));
    let of_template = |pattern: &&Pattern| overlap(pattern.segments(), &template);
    let written = described.iter().filter(|write| has_pods(&write.kind)).find_map(|write| {
        let reaches = |pattern: &Pattern| granted.is_none_or(|granted| is_granted(granted, &write.kind, pattern));
        let field = write.paths.iter().filter(of_template).find(|pattern| reaches(pattern));
        let creates = write.creates && write.kind.kind == "StatefulSet";
        field.map(|pattern| title(&write.kind, pattern)).or_else(|| creates.then(|| write.kind.kind.clone()))
    });
    written.or_else(|| {
        overrides.iter().chain(removes).find_map(|permission| {
            let kind = permission.kind.as_ref().filter(|kind| has_pods(kind))?;
            permission.paths.iter().find(of_template).map(|pattern| title(kind, pattern))
        })
    })
}

fn has_pods(kind: &ObjectKind) -> bool {
    WITH_PODS.contains(&kind.kind.as_str())
}

fn is_granted(granted: &[WritePermission], kind: &ObjectKind, pattern: &Pattern) -> bool {
    let mut paths = granted.iter().filter(|grant| grant.kind == *kind).flat_map(|grant| &grant.paths);
    paths.any(|granted| overlap(granted.segments(), pattern.segments()))
}

/// Whether one pattern is in the other, or there are fields that both cover.
fn overlap(one: &[Segment], other: &[Segment]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.matches(other) || other.matches(one))
}

fn title(kind: &ObjectKind, pattern: &Pattern) -> String {
    format!("{} {pattern}", kind.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(kind: &str, paths: &[&str], creates: bool) -> WritePermission {
        let kind = ObjectKind { api_version: "apps/v1".into(), kind: kind.into() };
        WritePermission { kind, creates, paths: paths.iter().map(|path| path.parse().unwrap()).collect() }
    }

    fn described(writes: &[WritePermission]) -> Option<String> {
        field_of_pods(writes, None, &[], &[])
    }

    #[test]
    fn a_field_in_a_pod_template_is_found_whole_or_in_part() {
        for path in ["*", "spec", "spec.template", "spec.template.spec.volumes[name=tls]"] {
            let found = described(&[write("StatefulSet", &["spec.replicas", path], false)]);
            assert_eq!(found, Some(format!("StatefulSet {path}")));
        }
    }

    #[test]
    fn fields_outside_of_templates_and_own_deployments_restart_no_pod() {
        assert_eq!(described(&[write("StatefulSet", &["spec.replicas", "metadata.annotations"], false)]), None);
        assert_eq!(described(&[write("CronJob", &["spec.jobTemplate.spec.template"], false)]), None);
        assert_eq!(described(&[write("Deployment", &[], true)]), None);
        assert_eq!(described(&[write("StatefulSet", &[], true)]), Some("StatefulSet".to_owned()));
    }

    #[test]
    fn only_what_is_granted_counts_and_overrides_and_removals_count_too() {
        let writes = [write("StatefulSet", &["spec.template.spec.volumes"], false)];
        let granted = |path: &str| field_of_pods(&writes, Some(&[write("StatefulSet", &[path], false)]), &[], &[]);
        assert_eq!(granted("spec.template.metadata"), None);
        assert!(granted("spec.template.spec").is_some());
        let kind = Some(writes[0].kind.clone());
        let fields = [FieldPermission { kind, paths: vec!["spec.template.spec.nodeName".parse().unwrap()] }];
        assert!(field_of_pods(&[], None, &fields, &[]).is_some() && field_of_pods(&[], None, &[], &fields).is_some());
    }
}
