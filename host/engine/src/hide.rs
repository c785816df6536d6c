//! What no plugin sees of an existing object: values of variables, and fields that hold a credential.
//!
//! An object that was applied has the credentials that the host filled in, as values of containers' variables. After a
//! credential is changed the object still has the former one, so that values alone cannot tell what to hide. The rule is
//! about the place instead, whatever the kind: a variable has no value, unless the step is granted that variable by name.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use pgloom_api::placeholder::Source;
use serde_json::Value;

use crate::path::{Key, Pattern, Segment};

/// The field with the variables of a container.
const VARIABLES: &str = "env";

/// The paths among `fields` that name one variable each: these variables are shown.
pub(crate) fn shown_variables(fields: &[String]) -> Vec<Pattern> {
    fields.iter().filter_map(|path| path.parse().ok()).filter(names_variable).collect()
}

/// Removes the values of variables, except the `shown` ones, and each field with the name of a credential, as in
/// `s3_secret_access_key`.
///
/// Show none of an object of another cluster: which of its variables are credentials is unknown here.
pub(crate) fn hide(object: &mut Value, shown: &[Pattern]) {
    Hider { shown, path: Vec::new() }.hide(object);
}

/// Whether a path names one variable, as in `spec.template.spec.containers[name=postgres].env[name=PGVERSION]`.
pub(crate) fn names_variable(path: &Pattern) -> bool {
    let mut of_variable = path.segments().iter().skip_while(|segment| segment.name() != Some(VARIABLES));
    matches!(of_variable.nth(1), Some(Segment::Entry(_)))
}

struct Hider<'a> {
    shown: &'a [Pattern],
    /// Where the walk is; empty if no variable is shown.
    path: Vec<Segment>,
}

impl Hider<'_> {
    fn hide(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !credentials().contains(name));
                for (name, value) in fields {
                    let at = self.follows(|| Segment::Field(name.clone()));
                    self.below(at, |hider| hider.hide_field(name, value));
                }
            }
            Value::Array(entries) => {
                for entry in entries {
                    let at = self.follows(|| segment(entry));
                    self.below(at, |hider| hider.hide(entry));
                }
            }
            _ => {}
        }
    }

    fn hide_field(&mut self, name: &str, value: &mut Value) {
        if let (VARIABLES, Value::Array(variables)) = (name, &mut *value) {
            for variable in variables {
                let at = self.follows(|| segment(variable));
                self.below(at, |hider| hider.hide_value(variable));
            }
        }
        self.hide(value);
    }

    fn hide_value(&self, variable: &mut Value) {
        if !self.shown.iter().any(|pattern| pattern.covers(&self.path))
            && let Some(fields) = variable.as_object_mut()
        {
            fields.remove("value");
        }
    }

    /// The next segment of the path, if paths are compared at all.
    fn follows(&self, segment: impl FnOnce() -> Segment) -> Option<Segment> {
        (!self.shown.is_empty()).then(segment)
    }

    fn below(&mut self, segment: Option<Segment>, walk: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        self.path.extend(segment);
        walk(self);
        self.path.truncate(before);
    }
}

/// The entry of a list of containers or variables, by its name.
fn segment(entry: &Value) -> Segment {
    Segment::Entry(Key::new(entry.get("name").map(|name| ("name", name))))
}

/// The names of the fields of a manifest and of the operator configuration that hold a credential.
fn credentials() -> &'static BTreeSet<String> {
    static NAMES: OnceLock<BTreeSet<String>> = OnceLock::new();
    let name = |source| match source {
        Source::Config(key) => key,
        Source::Manifest(pointer) => pointer.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    NAMES.get_or_init(|| Source::all().map(name).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hidden(mut object: Value, fields: &[&str]) -> Value {
        hide(&mut object, &shown_variables(&fields.iter().map(|&path| path.to_owned()).collect::<Vec<_>>()));
        object
    }

    fn pod(variables: &Value) -> Value {
        json!({"containers": [{"name": "postgres", "image": "i", "env": variables}, {"name": "other", "env": variables}]})
    }

    #[test]
    fn a_variable_of_any_kind_of_object_has_no_value() {
        let variables = json!([
            {"name": "KEY", "value": "hush"},
            {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]);
        let without =
            json!([{"name": "KEY"}, {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        for (kind, around) in [
            ("Pod", (|pod| json!({"spec": pod})) as fn(Value) -> Value),
            ("StatefulSet", |pod| json!({"spec": {"template": {"spec": pod}}})),
            ("CronJob", |pod| json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}})),
            ("ControllerRevision", |pod| json!({"data": {"spec": {"template": {"spec": pod}}}})),
            ("PodTemplate", |pod| json!({"template": {"spec": pod}})),
        ] {
            for list in ["initContainers", "containers", "ephemeralContainers"] {
                let of = |variables: &Value| {
                    let mut pod = pod(variables);
                    let containers = pod["containers"].take();
                    around(json!({list: containers}))
                };
                assert_eq!(hidden(of(&variables), &[]), of(&without), "{kind} {list}");
            }
        }
    }

    #[test]
    fn a_variable_that_is_named_is_shown_in_its_container_and_a_list_of_variables_names_none() {
        let of = |variables: &Value| json!({"spec": {"template": {"spec": pod(variables)}}});
        let both = of(&json!([{"name": "PGVERSION", "value": "15"}, {"name": "KEY", "value": "hush"}]));
        let place = "spec.template.spec.containers[name=postgres].env";
        let shown = hidden(both.clone(), &[&format!("{place}[name=PGVERSION]")]);
        let containers = &shown["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[0]["env"], json!([{"name": "PGVERSION", "value": "15"}, {"name": "KEY"}]));
        assert_eq!(containers[1]["env"], json!([{"name": "PGVERSION"}, {"name": "KEY"}]));
        for path in [place, &format!("{place}[*]"), "spec", "*", "spec.template.spec.containers[*]"] {
            assert!(!hidden(both.clone(), &[path]).to_string().contains("hush"), "{path}");
        }
    }

    #[test]
    fn a_field_with_the_name_of_a_credential_is_left_out() {
        for object in [
            json!({"spec": {"clone": {"cluster": "c", "s3_secret_access_key": "hush"}}}),
            json!({"data": {"scalyr_api_key": "hush", "cluster": "c"}}),
            json!({"configuration": {"logging_rest_api": {"cluster": "c", "logical_backup_s3_secret_access_key": "hush"}}}),
        ] {
            let shown = hidden(object, &[]).to_string();
            assert!(shown.contains("cluster") && !shown.contains("hush"), "{shown}");
        }
    }
}
