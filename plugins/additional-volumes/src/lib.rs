//! Additional volumes: claims, ConfigMaps, Secrets and other sources that a manifest mounts into the database's pod.

use pgloom_kit::container::to_pod;
use pgloom_kit::object::object;
use pgloom_kit::{Description, NoSettings, Notes, Plugin, Response, Result, Value, internal, kind};
use pgloom_kit::{fields, register, spec};

mod choose;
mod place;

/// The plugin.
pub struct AdditionalVolumes;

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        volumes: Vec<Volume> = "additionalVolumes",
    }
}

fields! {
    /// An entry of `additionalVolumes`.
    pub struct Volume {
        name: String = "name",
        mount_path: String = "mountPath",
        sub_path: Option<String> = "subPath",
        is_sub_path_expr: Option<bool> = "isSubPathExpr",
        /// Names of containers, or `all`; none means the database's own.
        targets: Vec<String> = "targetContainers",
        source: Value = "volumeSource",
    }
}

impl Plugin for AdditionalVolumes {
    type Spec = Spec;
    type Config = ();
    type Settings = NoSettings;

    fn describe() -> Description {
        let summary = "Mounts further volumes into the database's pod.";
        let mounts = "spec.template.spec.containers[*].volumeMounts";
        Description::of::<Self>("additional-volumes", env!("CARGO_PKG_VERSION"), summary)
            .when_manifest("/spec/additionalVolumes")
            .reads_desired(kind("apps/v1", "StatefulSet"))
            .writes(kind("apps/v1", "StatefulSet"), &["spec.template.spec.volumes", mounts])
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &pgloom_kit::Request<Self>) -> Result<Response> {
        let name = &request.cluster.name;
        let Some(workload) = request.desired::<Value>("StatefulSet", name)? else {
            return Err(internal(
                "no earlier step makes the cluster's StatefulSet; put this step behind that of spilo",
            ));
        };
        let mut notes = Notes::default();
        let chosen = choose::volumes(&request.cluster.spec.volumes, &mut notes)?;
        let containers = place::mounts(&chosen, &workload, &mut notes);
        let volumes = place::volumes(&chosen);
        if volumes.is_empty() {
            return Ok(Response::new().with(notes));
        }
        let pod = object([("containers", Value::Array(containers)), ("volumes", Value::Array(volumes))]);
        Ok(Response::new().apply(to_pod(name, pod)).with(notes))
    }
}

register!(AdditionalVolumes);

#[cfg(test)]
mod tests;
