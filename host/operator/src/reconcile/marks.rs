//! The marks by which the Zalando operator, or a person, asks for a rolling update: its newest release puts them on pods,
//! older ones on the StatefulSet.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::members::Members;
use serde_json::{Value, json};

use super::{Error, Reconciliation};

/// The annotation; with the value `true` a pod is replaced, or all pods of a StatefulSet are.
const MARK: &str = "zalando-postgres-operator-rolling-update-required";

/// Whether an object has the mark.
pub fn is_marked(metadata: &ObjectMeta) -> bool {
    metadata.annotations.as_ref().and_then(|annotations| annotations.get(MARK)).is_some_and(|value| value == "true")
}

impl Reconciliation<'_> {
    /// Moves the mark of the StatefulSet to its pods. Each pod loses it when it is replaced, so a rolling update that is
    /// interrupted goes on. This is done before the StatefulSet is applied, which may remove the annotation.
    pub async fn hand_on_marks(&self, members: &Members) -> Result<(), Error> {
        let Some(set) = self.stateful_set().filter(|set| is_marked(&set.metadata)) else { return Ok(()) };
        for pod in members.pods.iter().filter(|pod| !is_marked(&pod.metadata)) {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            self.patch_pod(name, uid, annotated(&json!("true"))).await?;
        }
        let api: Api<StatefulSet> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let mut patch = annotated(&Value::Null);
        patch["metadata"]["uid"] = json!(set.metadata.uid);
        match api.patch_metadata(&self.key.name, &params, &Patch::Merge(patch)).await {
            Ok(_) => self.context.metrics.wrote("StatefulSet", "patch"),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(source) => return Err(Error::Roll { pod: self.key.name.to_string(), source: Box::new(source) }),
        }
        Ok(())
    }
}

fn annotated(value: &Value) -> Value {
    json!({"metadata": {"annotations": {MARK: value}}})
}
