//! Where objects have the template of their pods.

/// The kinds whose objects have pods, and the path of the template.
const TEMPLATES: [(&str, &str, &[&str]); 5] = [
    ("apps/v1", "DaemonSet", &["spec", "template"]),
    ("apps/v1", "Deployment", &["spec", "template"]),
    ("apps/v1", "StatefulSet", &["spec", "template"]),
    ("batch/v1", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
    ("batch/v1", "Job", &["spec", "template"]),
];

/// The path of the template, as in `["spec", "template"]` of an `apps/v1` `StatefulSet`; `None` if objects of the kind
/// have no pods.
#[must_use]
pub fn path(api_version: &str, kind: &str) -> Option<&'static [&'static str]> {
    let of_kind = TEMPLATES.iter().find(|(version, name, _)| (*version, *name) == (api_version, kind));
    of_kind.map(|(_, _, path)| *path)
}
