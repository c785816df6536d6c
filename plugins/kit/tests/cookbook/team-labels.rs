//! Team labels: who owns a cluster, as labels of its StatefulSet and its Service.

use std::collections::BTreeMap;

use pgloom_kit::k8s_openapi::api::apps::v1::StatefulSet;
use pgloom_kit::k8s_openapi::api::core::v1::Service;
use pgloom_kit::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_kit::{Description, Plugin, Request, Response, Result, json, kind, register};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The plugin.
pub struct TeamLabels;

/// The configuration of the step.
#[derive(Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The teams by `spec.teamId`.
    pub teams: BTreeMap<String, Team>,
}

/// A team.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// The value of `example.com/owner`.
    pub owner: String,
    /// The value of `example.com/on-call`.
    #[serde(rename = "onCall")]
    pub on_call: String,
}

impl Plugin for TeamLabels {
    type Spec = IgnoredAny;
    type Config = ();
    type Settings = Settings;

    fn describe() -> Description {
        // Each label by its name: a step with these grants can set no other one. A label of the pods would restart them.
        let labels = [r#"metadata.labels["example.com/owner"]"#, r#"metadata.labels["example.com/on-call"]"#];
        // With the defaults the plugin would do nothing; the example is what it is proven with.
        let example = json!({"teams": {"acid": {"owner": "shop-team", "onCall": "pager-7"}}});
        Description::of::<Self>("team-labels", "0.1.0", "Labels the StatefulSet and the Service with the team.")
            .example(&example)
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &labels)
            .writes(kind("v1", "Service"), &["{cluster}"], &labels)
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let cluster = &request.cluster;
        let Some(team) = request.settings.teams.get(&cluster.team) else {
            let message = format!("the team {:?} is not known, so the cluster has no label of its owner", cluster.team);
            return Ok(Response::new().warn("spec.teamId", message, "add the team to the step's configuration"));
        };
        let labels = [("example.com/owner", &team.owner), ("example.com/on-call", &team.on_call)];
        let metadata = ObjectMeta {
            name: Some(cluster.name.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.clone())).into()),
            ..Default::default()
        };
        Ok(Response::new()
            .apply(&StatefulSet { metadata: metadata.clone(), ..Default::default() })
            .apply(&Service { metadata, ..Default::default() }))
    }
}

register!(TeamLabels);
