//! Checks objects against the types of the Kubernetes API. Without this check a misspelt field of a partial object
//! would be noticed only when the API server refuses it.

use std::cell::RefCell;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde_json::Value;

/// The problems of a partial object: fields that its kind does not have, each with its path and the most similar field,
/// and the first value of another type. Objects of other kinds than the usual ones are not checked.
pub fn problems(object: &Value) -> Vec<String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("apps/v1", "Deployment") => check::<Deployment>(object),
        ("apps/v1", "StatefulSet") => check::<StatefulSet>(object),
        ("batch/v1", "CronJob") => check::<CronJob>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => check::<NetworkPolicy>(object),
        ("policy/v1", "PodDisruptionBudget") => check::<PodDisruptionBudget>(object),
        ("v1", "ConfigMap") => check::<ConfigMap>(object),
        ("v1", "Endpoints") => check::<Endpoints>(object),
        ("v1", "PersistentVolumeClaim") => check::<PersistentVolumeClaim>(object),
        ("v1", "Secret") => check::<Secret>(object),
        ("v1", "Service") => check::<Service>(object),
        _ => Vec::new(),
    }
}

fn check<T: DeserializeOwned>(object: &Value) -> Vec<String> {
    let unknown = RefCell::new(Vec::new());
    let place = RefCell::new(String::new());
    let typed = T::deserialize(Checked { value: object, path: String::new(), unknown: &unknown, place: &place });
    let mut problems = unknown.into_inner();
    if let Err(error) = typed {
        problems.push(format!("{}: {error}", place.into_inner()));
    }
    problems
}

/// A value that is deserialized, and compared with the field names that the target type gives to serde.
struct Checked<'a> {
    value: &'a Value,
    path: String,
    /// Fields that are unknown.
    unknown: &'a RefCell<Vec<String>>,
    /// The path of the value that was deserialized last, for the error of one that has another type.
    place: &'a RefCell<String>,
}

impl<'a> Checked<'a> {
    fn entry(&self, path: String, value: &'a Value) -> Self {
        Self { value, path, unknown: self.unknown, place: self.place }
    }
}

impl<'de> IntoDeserializer<'de> for Checked<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Checked<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.place.replace(self.path.clone());
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (_, Some(number)) => visitor.visit_i64(number),
                _ => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Value::Array(items) => {
                let entry = |(index, item)| self.entry(format!("{}[{index}]", self.path), item);
                visitor.visit_seq(SeqDeserializer::new(items.iter().enumerate().map(entry)))
            }
            Value::Object(fields) => {
                let prefix = if self.path.is_empty() { String::new() } else { format!("{}.", self.path) };
                let entry = |(key, value): (&'de String, &'de Value)| {
                    (key.as_str(), self.entry(format!("{prefix}{key}"), value))
                };
                visitor.visit_map(MapDeserializer::new(fields.iter().map(entry)))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        for key in self.value.as_object().into_iter().flat_map(|object| object.keys()) {
            if !fields.contains(&key.as_str()) {
                let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
                let hint = nearest(key, fields).map(|field| format!("; write {field}")).unwrap_or_default();
                self.unknown.borrow_mut().push(format!("{path}: {name} has no field {key}{hint}"));
            }
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// The field with the most similar name.
fn nearest(key: &str, fields: &[&'static str]) -> Option<&'static str> {
    // By common letters in order, for letters that are swapped, and by common pairs of letters, for words that are
    // missing.
    let similarity = |field: &str| {
        let (key, field) = (key.to_ascii_lowercase(), field.to_ascii_lowercase());
        strsim::jaro_winkler(&key, &field) + strsim::sorensen_dice(&key, &field)
    };
    fields.iter().copied().max_by(|left, right| similarity(left).total_cmp(&similarity(right)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::problems;

    fn statefulset(pod: serde_json::Value) -> serde_json::Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"},
            "spec": {"template": {"spec": pod}},
        })
    }

    #[test]
    fn a_partial_object_of_known_fields_has_no_problems() {
        let pod = json!({
            "containers": [{"name": "postgres", "resources": {"limits": {"cpu": "1"}}, "volumeMounts": []}],
            "securityContext": {"fsGroup": 103},
            "terminationGracePeriodSeconds": null,
        });
        assert_eq!(problems(&statefulset(pod)), [""; 0]);
        assert_eq!(problems(&json!({"apiVersion": "v1", "kind": "Other", "anything": 1})), [""; 0]);
    }

    #[test]
    fn a_misspelt_field_is_found_wherever_it_is_and_the_right_word_is_named() {
        let term = json!({"labelSelector": {"matchLabel": {"a": "b"}}, "topologykey": "zone"});
        for (pod, expected) in [
            (
                json!({"terminationGracePeriod": 5}),
                "spec.template.spec.terminationGracePeriod: PodSpec has no field terminationGracePeriod; \
                 write terminationGracePeriodSeconds",
            ),
            (
                json!({"containers": [{"name": "a", "env": [{"valueFrom": {"fieldRef": {"path": "c"}}}]}]}),
                "spec.template.spec.containers[0].env[0].valueFrom.fieldRef.path: \
                 ObjectFieldSelector has no field path; write fieldPath",
            ),
            (
                json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}),
                "spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]\
                 .topologykey: PodAffinityTerm has no field topologykey; write topologyKey",
            ),
        ] {
            let found = problems(&statefulset(pod));
            assert_eq!(found.first().map(String::as_str), Some(expected), "{found:?}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_found() {
        let object = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": "5432"}]}});
        let found = problems(&object);
        assert!(found.len() == 1 && found[0].starts_with("spec.ports[0].port: "), "{found:?}");
    }

    #[test]
    fn every_usual_kind_is_checked() {
        for (api_version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("batch/v1", "CronJob"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("policy/v1", "PodDisruptionBudget"),
            ("v1", "ConfigMap"),
            ("v1", "Endpoints"),
            ("v1", "PersistentVolumeClaim"),
            ("v1", "Secret"),
            ("v1", "Service"),
        ] {
            let found = problems(&json!({"apiVersion": api_version, "kind": kind, "metadata": {"lables": {}}}));
            assert_eq!(found, ["metadata.lables: ObjectMeta has no field lables; write labels"], "{kind}");
        }
    }
}
