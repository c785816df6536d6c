//! The feature `typed`: the operator configuration by serde, and objects as the types of `k8s_openapi`.

use k8s_openapi::Resource;
use serde::Serialize;
use serde::de::value::Error as NoFields;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde_json::{Map, Value};

use crate::failure::{Result, internal, invalid_config};
use crate::json::field::{Error, RawObject, Reader};
use crate::plugin::{OperatorConfig, Plugin};
use crate::request::Request;
use crate::response::Partial;

/// Any struct that derives `Deserialize`: its fields are the keys. A key that has no default needs an `Option`.
impl<T: DeserializeOwned> OperatorConfig for T {
    fn keys() -> Vec<&'static str> {
        let mut keys = Vec::new();
        // Never a value: only the names of the fields are asked for.
        _ = T::deserialize(Names(&mut keys));
        keys
    }

    fn pick(config: &RawObject<'_>) -> Result<Self, Error> {
        let reader = Reader::of_raw(config);
        let value = |key: &&'static str| Some(((*key).to_owned(), serde_json::from_str(reader.text(key)?).ok()?));
        let keys: Map<String, Value> = Self::keys().iter().filter_map(value).collect();
        Self::deserialize(Value::Object(keys))
            .map_err(|error| Error { path: String::new(), expected: format!("as the plugin expects: {error}").into() })
    }

    fn read(json: &str) -> Result<Self> {
        // A type without fields, as `()`, takes nothing of the object.
        let of_unit = || serde_json::from_str("null").ok();
        serde_json::from_str(json).or_else(|error| {
            let unit = Self::keys().is_empty().then(of_unit).flatten();
            unit.ok_or_else(|| invalid_config(format!("the operator configuration: {error}")))
        })
    }
}

/// A deserializer that has no value, and takes the names of a struct's fields.
struct Names<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = NoFields;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, NoFields> {
        Err(NoFields::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, NoFields> {
        self.0.extend_from_slice(fields);
        Err(NoFields::custom("only names are asked for"))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NoFields> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

impl<P: Plugin> Request<P> {
    /// The object of this type that has the cluster's name, as the earlier steps want it: `desired::<StatefulSet>()` is
    /// the database's. The description has to say [`reads_desired`](crate::Description::reads_desired) of the kind.
    ///
    /// # Errors
    /// If no earlier step creates it, if the description does not read its kind, or if it is not a `T`.
    pub fn desired<T: Resource + DeserializeOwned>(&self) -> Result<T> {
        let name = &self.cluster.name;
        self.desired_named(name)?.ok_or_else(|| {
            internal(format!("no earlier step creates {} {name}; move this step behind the one that does", T::KIND))
        })
    }

    /// The object of this type and name as the earlier steps want it, if there is one.
    ///
    /// # Errors
    /// If the description does not read its kind, or if it is not a `T`.
    pub fn desired_named<T: Resource + DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.desired_text(T::API_VERSION, T::KIND, name) else {
            let is_it = |kind: &crate::ObjectKind| kind.kind == T::KIND && kind.api_version == T::API_VERSION;
            return match P::describe().build().desired.iter().any(is_it) {
                true => Ok(None),
                false => Err(internal(unread(T::API_VERSION, T::KIND))),
            };
        };
        let object = serde_json::from_str(text).map_err(|error| internal(format!("{} {name}: {error}", T::KIND)))?;
        Ok(Some(object))
    }
}

/// The sentence about a kind that the description does not read.
fn unread(api_version: &str, kind: &str) -> String {
    format!(
        "the description does not read desired objects of {api_version} {kind}; add to describe: \
         .reads_desired(kind(\"{api_version}\", \"{kind}\"))"
    )
}

impl<T: Resource + Serialize> Partial for &T {
    fn into_json(self) -> String {
        // An object of the API has texts as the keys of its maps, and no other value that JSON has not.
        let mut object = serde_json::to_value(self).unwrap_or_default();
        leave_out_required(&mut object);
        object.to_string()
    }
}

/// Removes fields that a type always writes, and that are empty: of a partial object they are not meant.
fn leave_out_required(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_pod = |key: &str| key == "template" || key == "jobTemplate";
            fields.iter_mut().for_each(|(_, value)| leave_out_required(value));
            // A workload has no empty selector or template, and a pod no empty list of containers. An empty
            // `podSelector` is another field: it selects every pod.
            fields.retain(|key, value| match key.as_str() {
                "selector" | "spec" => value.as_object().is_none_or(|fields| !fields.is_empty()),
                "containers" => value.as_array().is_none_or(|items| !items.is_empty()),
                key if is_pod(key) => value.as_object().is_none_or(|fields| !fields.is_empty()),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_required),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
    use k8s_openapi::api::core::v1::{ConfigMap, PodSpec, PodTemplateSpec, Volume};
    use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::testing::{Call, reason};
    use crate::{Description, NoSettings, Response, kind};

    #[derive(Deserialize)]
    struct Config {
        enable_sidecars: bool,
        #[serde(default)]
        cluster_labels: BTreeMap<String, String>,
        pod_role_label: Option<String>,
    }

    #[test]
    fn the_keys_of_the_configuration_are_the_fields_of_the_struct() {
        assert_eq!(Config::keys(), ["enable_sidecars", "cluster_labels", "pod_role_label"]);
        assert_eq!(<()>::keys(), [""; 0]);
        assert!(<() as OperatorConfig>::read("{}").is_ok());
    }

    #[test]
    fn a_configuration_is_read_whole_and_as_one_group_of_many() {
        let text = r#"{"enable_sidecars": true, "other": [1], "pod_role_label": null}"#;
        for config in [Config::read(text).unwrap(), Config::pick(&RawObject::of(text)).unwrap()] {
            assert!(config.enable_sidecars && config.cluster_labels.is_empty() && config.pod_role_label.is_none());
        }
        let failure = Config::read(r#"{"enable_sidecars": "yes"}"#).err().unwrap();
        assert!(reason(&failure).starts_with("the operator configuration: invalid type"), "{failure:?}");
    }

    #[test]
    fn an_object_is_written_without_the_fields_that_are_not_set() {
        let metadata = ObjectMeta { name: Some("acid-orders".to_owned()), ..ObjectMeta::default() };
        let volumes = Some(vec![Volume { name: "scratch".to_owned(), ..Volume::default() }]);
        let template = PodTemplateSpec { spec: Some(PodSpec { volumes, ..PodSpec::default() }), ..Default::default() };
        let spec = Some(StatefulSetSpec { template, ..StatefulSetSpec::default() });
        let set = StatefulSet { metadata: metadata.clone(), spec, status: None };
        let written: Value = serde_json::from_str(&(&set).into_json()).unwrap();
        let pod = json!({"volumes": [{"name": "scratch"}]});
        let expected = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"},
            "spec": {"template": {"spec": pod}},
        });
        assert_eq!(written, expected);
        let every_pod = NetworkPolicySpec { pod_selector: Some(Default::default()), ..Default::default() };
        let policy = NetworkPolicy { metadata, spec: Some(every_pod) };
        let written: Value = serde_json::from_str(&(&policy).into_json()).unwrap();
        assert_eq!(written["spec"], json!({"podSelector": {}}), "an empty selector that is meant");
    }

    /// Copies the replicas of the StatefulSet to a ConfigMap; `READS` says whether it asks to read it.
    struct Copies<const READS: bool>;

    impl<const READS: bool> Plugin for Copies<READS> {
        type Spec = Value;
        type Config = ();
        type Settings = NoSettings;

        fn describe() -> Description {
            let asked = Description::of::<Self>("copies", "0.1.0", "Copies.")
                .creates(kind("v1", "ConfigMap"), &["{cluster}-copy"]);
            if READS { asked.reads_desired(kind("apps/v1", "StatefulSet")) } else { asked }
        }

        fn mutate(request: &Request<Self>) -> Result<Response> {
            let set: StatefulSet = request.desired()?;
            let replicas = set.spec.and_then(|spec| spec.replicas).unwrap_or_default();
            let name = Some(format!("{}-copy", request.cluster.name));
            Ok(Response::new().apply(&ConfigMap {
                metadata: ObjectMeta { name, ..ObjectMeta::default() },
                data: Some(BTreeMap::from([("replicas".to_owned(), replicas.to_string())])),
                ..ConfigMap::default()
            }))
        }
    }

    fn call() -> Call {
        Call::new(&json!({"metadata": {"name": "acid-orders", "namespace": "shop"}, "spec": {}}))
    }

    #[test]
    fn a_desired_object_has_its_type() {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"}, "spec": {"replicas": 3},
        });
        let answer = call().desired(&set).mutate::<Copies<true>>().unwrap();
        assert_eq!(answer.object("ConfigMap", "acid-orders-copy").unwrap()["data"], json!({"replicas": "3"}));
    }

    #[test]
    fn a_desired_object_that_is_not_there_has_one_reason() {
        let absent = call().mutate::<Copies<true>>().unwrap_err();
        assert!(reason(&absent).starts_with("no earlier step creates StatefulSet acid-orders"), "{absent:?}");
        let unread = call().mutate::<Copies<false>>().unwrap_err();
        assert!(reason(&unread).ends_with(".reads_desired(kind(\"apps/v1\", \"StatefulSet\"))"), "{unread:?}");
    }
}
