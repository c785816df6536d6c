//! Additional volumes: claims, ConfigMaps, Secrets and other sources, mounted in containers of the database's pod.

use pgloom_kit::container::pod_contribution;
use pgloom_kit::json::object;
use pgloom_kit::tls::Tls;
use pgloom_kit::{Description, NoSettings, Plugin, Response, Result, Value, Warnings, kind};
use pgloom_kit::{fields, register, spec};

mod choose;
mod place;

/// The plugin: it adds `spec.additionalVolumes` of the manifest to the pod template, with a mount in each target
/// container.
pub struct AdditionalVolumes;

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        volumes: Vec<Volume> = "additionalVolumes",
        /// What a later step mounts.
        tls: Tls = "tls",
    }
}

fields! {
    /// An entry of `additionalVolumes`.
    pub struct Volume {
        name: String = "name",
        mount_path: String = "mountPath",
        sub_path: Option<String> = "subPath",
        is_sub_path_expr: Option<bool> = "isSubPathExpr",
        /// Names of containers, or `all`; an empty list means the database's container.
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
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &["spec.template.spec.volumes", mounts])
            // A manifest may name a volume of any type.
            .privilege("foreign-config-map")
            .privilege("foreign-secret")
            .privilege("host-path")
            .privilege("other-volume")
            .privilege("service-account")
            .privilege("claim")
            // A manifest may name any path in the containers of the database.
            .privilege("database-command")
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &pgloom_kit::Request<Self>) -> Result<Response> {
        let workload = request.desired_statefulset()?;
        let mut warnings = Warnings::default();
        let chosen = choose::volumes(&request.cluster.spec, &workload, &mut warnings)?;
        let containers = place::mounts(&chosen, &workload, &mut warnings)?;
        let volumes = place::volumes(&chosen, &mut warnings);
        if volumes.is_empty() {
            return Ok(Response::new().with(warnings));
        }
        let pod = object([("containers", Value::Array(containers)), ("volumes", Value::Array(volumes))]);
        Ok(Response::new().apply(pod_contribution(&request.cluster.name, pod)).with(warnings))
    }
}

register!(AdditionalVolumes);

#[cfg(test)]
mod tests;
