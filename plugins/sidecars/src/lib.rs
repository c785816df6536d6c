//! Sidecars: containers that run beside the database, see its files and know its superuser.

use pgloom_kit::container::{DataVolume, Shared, to_pod};
use pgloom_kit::metadata::Map;
use pgloom_kit::object::object;
use pgloom_kit::resources::PodResources;
use pgloom_kit::{Description, NoSettings, Notes, Plugin, Response, Result, Value, kind};
use pgloom_kit::{operator_config, operator_config_groups, register, spec};

mod access;
mod join;
mod manifest;
mod platform;

/// The plugin.
pub struct Sidecars;

type Request = pgloom_kit::Request<Sidecars>;

/// The selector of the cluster's StatefulSet as it is.
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
        shared: Shared,
        resources: PodResources,
        containers: Containers,
        scalyr: Scalyr,
    }
}

operator_config! {
    /// Which sidecars there are, and whom they log in as.
    pub struct Containers {
        /// Whether manifests may have sidecars.
        enable_sidecars: bool,
        /// Containers beside every database, whole.
        sidecars: Vec<Value>,
        /// Images of further ones, by the container's name.
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
        Description::of::<Self>("sidecars", env!("CARGO_PKG_VERSION"), "Runs further containers beside the database.")
            .when_manifest("/spec/sidecars")
            .when_config("sidecars")
            .when_config("sidecar_docker_images")
            .when_config("scalyr_api_key")
            .when_config("scalyr_image")
            .observes_owned(RUNNING, kind("apps/v1", "StatefulSet"), &["metadata.name"])
            .writes(kind("apps/v1", "StatefulSet"), &["spec.template.spec.containers"])
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request) -> Result<Response> {
        let mut notes = Notes::default();
        let mut sidecars = join::Sidecars::default();
        // Of two with one name the first stays.
        for (path, sidecar) in manifest::sidecars(request, &mut notes)? {
            sidecars.add(&path, sidecar, &mut notes)?;
        }
        for sidecar in platform::sidecars(request, &mut notes)? {
            sidecars.add("", sidecar, &mut notes)?;
        }
        let containers = access::grant(request, sidecars, &mut notes)?;
        if containers.is_empty() {
            return Ok(Response::new().with(notes));
        }
        let pod = object([("containers", Value::Array(containers))]);
        Ok(Response::new().apply(to_pod(&request.cluster.name, pod)).with(notes))
    }
}

register!(Sidecars);

#[cfg(test)]
mod tests;
