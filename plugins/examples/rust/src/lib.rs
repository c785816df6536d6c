//! Badge: the labels of the step's configuration on the cluster's objects, and a list of them in a ConfigMap.

use std::collections::BTreeMap;

use pgloom_kit::k8s_openapi::api::apps::v1::StatefulSet;
use pgloom_kit::k8s_openapi::api::core::v1::{ConfigMap, Service};
use pgloom_kit::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_kit::{Description, Plugin, Request, Response, Result, kind, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The plugin.
pub struct Badge;

/// `spec` of the manifest: the fields that the plugin reads. Others are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    team_id: String,
}

/// The configuration of the step. A label has the form that the Kubernetes API demands, so that the host refuses another
/// one with the configuration.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The labels.
    #[serde(default)]
    #[schemars(extend(
        "propertyNames" = {
            "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
        },
        "additionalProperties" = {
            "type": "string", "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
        }
    ))]
    pub labels: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let labels = [("cost-center", "platform"), ("example.com/tier", "gold")];
        Self { labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into() }
    }
}

impl Plugin for Badge {
    type Spec = Spec;
    type Config = ();
    type Settings = Settings;

    fn describe() -> Description {
        let summary = "Labels the objects of a cluster, and lists the labels in a ConfigMap.";
        Description::of::<Self>("badge", env!("CARGO_PKG_VERSION"), summary)
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &["metadata.labels"])
            .writes(kind("v1", "Service"), &["{cluster}"], &["metadata.labels"])
            .creates(kind("v1", "ConfigMap"), &["{cluster}-badge"])
            .requires("spilo", ">=0.1")
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let (cluster, labels) = (&request.cluster, &request.settings.labels);
        if labels.is_empty() {
            return Ok(Response::new());
        }

        let metadata = |name: &str| ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        let lines = labels.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let data = [("labels".to_owned(), lines), ("team".to_owned(), cluster.spec.team_id.clone())];
        let mut response = Response::new()
            .apply(&StatefulSet { metadata: metadata(&cluster.name), ..Default::default() })
            .apply(&Service { metadata: metadata(&cluster.name), ..Default::default() })
            .apply(&ConfigMap {
                metadata: metadata(&format!("{}-badge", cluster.name)),
                data: Some(data.into()),
                ..Default::default()
            });
        for (key, value) in labels {
            if cluster.labels.get(key).is_some_and(|own| own != value) {
                response = response.warn(
                    &format!("metadata.labels[\"{key}\"]"),
                    format!("the manifest has another value of the label {key} than the step"),
                    "give it the value of the step, or remove it from the manifest",
                );
            }
        }
        Ok(response)
    }
}

register!(Badge);

#[cfg(test)]
mod tests {
    use pgloom_kit::testing::golden;

    use super::*;

    #[test]
    fn every_case_of_the_golden_folder_is_answered_as_expected() {
        golden::replay::<Badge>(env!("CARGO_MANIFEST_DIR"));
    }
}
