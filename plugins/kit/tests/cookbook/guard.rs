//! Guard: a policy that refuses manifests, and writes nothing.

use pgloom_kit::{Description, Plugin, Request, Response, Result, invalid, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The plugin.
pub struct Guard;

/// `spec` of the manifest: the fields that the plugin reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    number_of_instances: i32,
    #[serde(default)]
    resources: Resources,
}

/// `spec.resources`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    limits: Limits,
}

/// `spec.resources.limits`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Limits {
    memory: Option<String>,
}

/// The configuration of the step.
#[derive(Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// The fewest instances. A stopped cluster, which has none, is not refused.
    pub min_instances: i32,
    /// Whether the memory of the database must have a limit.
    pub memory_limit: bool,
}

impl Plugin for Guard {
    type Spec = Spec;
    type Config = ();
    type Settings = Settings;

    fn describe() -> Description {
        Description::of::<Self>("guard", "0.1.0", "Refuses clusters that are not fit for production.")
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let (spec, fewest) = (&request.cluster.spec, request.settings.min_instances);
        if spec.number_of_instances != 0 && spec.number_of_instances < fewest {
            let message = format!("has {}, and production needs {fewest}", spec.number_of_instances);
            return Err(invalid("spec.numberOfInstances", message, format!("set it to {fewest} or more")));
        }
        if request.settings.memory_limit && spec.resources.limits.memory.is_none() {
            let message = "is missing, so that one query can take the memory of the node";
            return Err(invalid("spec.resources.limits.memory", message, "set it, as in 4Gi"));
        }
        Ok(Response::new())
    }
}

register!(Guard);
