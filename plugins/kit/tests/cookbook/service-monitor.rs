//! Service monitor: a ServiceMonitor of the Prometheus operator, and the Service that it selects.

use pgloom_kit::{Description, Plugin, Request, Response, Result, json, kind, register};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The plugin.
pub struct Monitor;

/// The keys of the operator configuration that the plugin reads.
#[derive(Deserialize)]
pub struct Config {
    cluster_name_label: String,
}

/// The configuration of the step.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The port of the exporter in the pods of the database.
    pub port: u16,
    /// The time between two questions, as in `30s`.
    pub interval: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { port: 9187, interval: "30s".to_owned() }
    }
}

impl Plugin for Monitor {
    type Spec = IgnoredAny;
    type Config = Config;
    type Settings = Settings;

    fn describe() -> Description {
        let names = ["{cluster}-metrics"];
        Description::of::<Self>("service-monitor", "0.1.0", "Has Prometheus ask the exporters of the database.")
            .creates(kind("v1", "Service"), &names)
            .creates(kind("monitoring.coreos.com/v1", "ServiceMonitor"), &names)
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let (cluster, settings) = (&request.cluster, &request.settings);
        let (name, label) = (format!("{}-metrics", cluster.name), &request.config.cluster_name_label);
        // The label tells this Service from the others of the cluster.
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": {"example.com/metrics": "true"}},
            "spec": {
                "clusterIP": "None",
                // A pooler's pods have the label of the cluster, too.
                "selector": {label: cluster.name, "application": "spilo"},
                "ports": [{"name": "metrics", "port": settings.port, "protocol": "TCP"}],
            },
        });
        // A custom resource has no type in the SDK.
        let monitor = json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": {label: cluster.name, "example.com/metrics": "true"}},
                "endpoints": [{"port": "metrics", "interval": settings.interval}],
            },
        });
        Ok(Response::new().apply(service).apply(monitor))
    }
}

register!(Monitor);
