//! Sidecars: further containers in the database's pod, with access to its files and its superuser.

use pgloom_kit::container::{DataVolume, SharedVolumes, pod_contribution};
use pgloom_kit::json::object;
use pgloom_kit::metadata::Map;
use pgloom_kit::resources::PodResources;
use pgloom_kit::{Description, NoSettings, Plugin, Response, Result, Value, Warnings, kind};
use pgloom_kit::{operator_config, operator_config_groups, register, spec};

mod inject;
mod manifest;
mod merge;
mod platform;

/// The plugin: it adds the sidecars of the manifest and of the platform to the pod template of the cluster's
/// StatefulSet.
pub struct Sidecars;

type Request = pgloom_kit::Request<Sidecars>;

/// The id of the selector of the cluster's existing StatefulSet.
const RUNNING: &str = "running";

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        sidecars: Vec<Value> = "sidecars",
        volume: DataVolume = "volume",
    }
}

operator_config_groups! {
    /// All keys, by topic.
    pub struct Config {
        shared: SharedVolumes,
        resources: PodResources,
        containers: Containers,
        scalyr: Scalyr,
    }
}

operator_config! {
    /// The platform's sidecars, and the role that sidecars log in as.
    pub struct Containers {
        /// Whether manifests may have sidecars.
        enable_sidecars: bool,
        /// Complete containers for every cluster.
        sidecars: Vec<Value>,
        /// Images of further containers, by the container's name.
        sidecar_docker_images: Map,
        super_username: String,
        secret_name_template: String,
    }
}

operator_config! {
    /// The sidecar that ships logs to Scalyr.
    pub struct Scalyr {
        scalyr_api_key: String,
        scalyr_image: String,
        scalyr_server_url: String,
        scalyr_cpu_request: String,
        scalyr_memory_request: String,
        scalyr_cpu_limit: String,
        scalyr_memory_limit: String,
    }
}

impl Plugin for Sidecars {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        Description::of::<Self>("sidecars", env!("CARGO_PKG_VERSION"), "Runs further containers in the database's pod.")
            .when_manifest("/spec/sidecars")
            .when_config("sidecars")
            .when_config("sidecar_docker_images")
            .when_config("scalyr_api_key")
            .when_config("scalyr_image")
            .observes_owned(RUNNING, kind("apps/v1", "StatefulSet"), &["metadata.name"])
            .credential_of_config("scalyr_api_key")
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &["spec.template.spec.containers"])
            .privileges_of_containers()
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request) -> Result<Response> {
        let mut warnings = Warnings::default();
        let mut sidecars = merge::Merged::default();
        for (path, sidecar) in manifest::sidecars(request, &mut warnings)? {
            sidecars.add(&path, sidecar, &mut warnings)?;
        }
        for sidecar in platform::sidecars(request, &mut warnings)? {
            sidecars.add("", sidecar, &mut warnings)?;
        }
        let containers = inject::inject(request, sidecars, &mut warnings)?;
        if containers.is_empty() {
            return Ok(Response::new().with(warnings));
        }
        let pod = object([("containers", Value::Array(containers))]);
        Ok(Response::new().apply(pod_contribution(&request.cluster.name, pod)).with(warnings))
    }
}

register!(Sidecars);

#[cfg(test)]
mod tests;
