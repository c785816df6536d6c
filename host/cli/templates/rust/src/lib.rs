//! Motto: a line of text from an annotation of the manifest, in a ConfigMap of the cluster.

use pgloom_kit::k8s_openapi::api::core::v1::ConfigMap;
use pgloom_kit::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_kit::{Description, Plugin, Request, Response, Result, invalid, kind, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of the plugin.
const NAME: &str = "motto";
/// The annotation with the text.
const ANNOTATION: &str = "example.com/motto";

/// The plugin.
pub struct MottoPlugin;

/// `spec` of the manifest: the fields that the plugin reads. Others are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    team_id: String,
}

/// The keys of the operator configuration that the plugin reads. The host sends no others.
#[derive(Deserialize)]
pub struct Config {
    cluster_domain: String,
}

/// The configuration of the step: its JSON Schema and its defaults are derived from this type.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// The longest text, in bytes.
    pub max_length: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_length: 80 }
    }
}

impl Plugin for MottoPlugin {
    type Spec = Spec;
    type Config = Config;
    type Settings = Settings;

    fn describe() -> Description {
        Description::of::<Self>(NAME, env!("CARGO_PKG_VERSION"), "Keeps a line of text in a ConfigMap.")
            .when_manifest("/metadata/annotations/example.com~1motto")
            .creates(kind("v1", "ConfigMap"), &["{cluster}-motto"])
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let cluster = &request.cluster;
        // The host asks only clusters with the annotation; a plugin that acts on nothing else can be proven.
        let Some(text) = cluster.annotations.get(ANNOTATION).cloned() else { return Ok(Response::new()) };
        let most = request.settings.max_length;
        if text.len() > most {
            let path = format!("metadata.annotations[\"{ANNOTATION}\"]");
            return Err(invalid(path, format!("has {} bytes, more than {most}", text.len()), "shorten it"));
        }
        let (team, domain) = (cluster.spec.team_id.clone(), request.config.cluster_domain.clone());
        let data = [("text", text), ("team", team), ("domain", domain)];
        let name = Some(format!("{}-{NAME}", cluster.name));
        Ok(Response::new().apply(&ConfigMap {
            metadata: ObjectMeta { name, ..Default::default() },
            data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
            ..Default::default()
        }))
    }
}

register!(MottoPlugin);

#[cfg(test)]
mod tests;
