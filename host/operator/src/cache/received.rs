//! Objects as a watch receives them: JSON of any kind, parsed once.
//!
//! Most events are of pods, because the Patroni of each writes an annotation every few seconds. Of a pod only the fields
//! are parsed that can be kept.

use std::borrow::Cow;
use std::fmt;

use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};

/// An object. `POD` is whether it is a pod of which no `spec` is kept but the node's name.
#[derive(Clone, Debug)]
pub struct Received<const POD: bool> {
    /// The resource version alone, which kube's watcher reads.
    version: ObjectMeta,
    object: Value,
}

impl<const POD: bool> Received<POD> {
    /// The object.
    pub fn into_object(self) -> Value {
        self.object
    }
}

impl<'de, const POD: bool> Deserialize<'de> for Received<POD> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = match POD {
            true => Pod::deserialize(deserializer)?.into_object(),
            false => Value::deserialize(deserializer)?,
        };
        let resource_version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        Ok(Self { version: ObjectMeta { resource_version, ..ObjectMeta::default() }, object })
    }
}

impl<const POD: bool> Resource for Received<POD> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.version
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.version
    }
}

/// The fields of a pod that are parsed; all others are skipped.
#[derive(serde::Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
}

impl Pod {
    fn into_object(self) -> Value {
        json!({"metadata": self.metadata.0, "spec": {"nodeName": self.spec.node_name}, "status": self.status})
    }
}

/// The metadata without the managed fields, which are most of it: the operator applies no pod.
struct Metadata(Map<String, Value>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the metadata of an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Metadata, A::Error> {
        let mut metadata = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if name == "managedFields" {
                fields.next_value::<IgnoredAny>()?;
            } else {
                metadata.insert(name, fields.next_value()?);
            }
        }
        Ok(Metadata(metadata))
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use pgloom_decide::Kind;
    use pgloom_decide::transform::transform;

    use super::*;

    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "c-0", "namespace": "ns", "uid": "u", "resourceVersion": "7",
                "labels": {"cluster-name": "c", "spilo-role": "master"}, "annotations": {"status": "{}", "note": "n"},
                "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {}}}],
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "c", "uid": "s"}],
            },
            "spec": {"nodeName": "n", "containers": [{"name": "postgres", "image": "i"}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "postgres", "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
            },
        })
    }

    #[test]
    fn of_a_pod_everything_is_parsed_that_is_kept() {
        let mut unscheduled = pod();
        unscheduled["spec"].as_object_mut().unwrap().remove("nodeName");
        unscheduled.as_object_mut().unwrap().remove("status");
        for pod in [pod(), unscheduled] {
            let received: Received<true> = serde_json::from_str(&pod.to_string()).unwrap();
            assert_eq!(received.resource_version().as_deref(), Some("7"));
            let kept = |object| transform(&Kind::new("v1", "Pod"), object, false);
            assert_eq!(kept(received.into_object()), kept(pod));
        }
    }

    #[test]
    fn any_other_object_is_parsed_as_it_is() {
        let received: Received<false> = serde_json::from_str(&pod().to_string()).unwrap();
        assert_eq!(received.resource_version().as_deref(), Some("7"));
        assert_eq!(received.into_object(), pod());
    }
}
