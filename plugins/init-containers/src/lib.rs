//! Init containers: containers that run in a pod before the database starts.

use pgloom_kit::common::api_default::pull_policy;
use pgloom_kit::container::{self, DATABASE, name_of, pod_contribution};
use pgloom_kit::json::{object, text};
use pgloom_kit::resources;
use pgloom_kit::{Description, NoSettings, Plugin, Response, Result, Value, Warnings, invalid, kind};
use pgloom_kit::{operator_config, register, spec};

/// The plugin: it adds `spec.initContainers` of the manifest to the pod template of the cluster's StatefulSet.
pub struct InitContainers;

type Request = pgloom_kit::Request<InitContainers>;

/// The id of the selector of the cluster's existing StatefulSet.
const RUNNING: &str = "running";

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        current: Vec<Value> = "initContainers",
        old: Vec<Value> = "init_containers",
    }
}

operator_config! {
    /// The keys of the operator configuration that the plugin reads.
    pub struct Config {
        enable_init_containers: bool,
    }
}

impl Plugin for InitContainers {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        let summary = "Runs containers before the database starts.";
        Description::of::<Self>("init-containers", env!("CARGO_PKG_VERSION"), summary)
            .when_manifest("/spec/initContainers")
            .when_manifest("/spec/init_containers")
            .observes_owned(RUNNING, kind("apps/v1", "StatefulSet"), &["metadata.name"])
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &["spec.template.spec.initContainers"])
            .privileges_of_containers()
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request) -> Result<Response> {
        let (path, containers) = given(&request.cluster.spec);
        if containers.is_empty() {
            return Ok(Response::new());
        }
        if !request.config.enable_init_containers {
            return switched_off(request, path);
        }
        let mut warnings = Warnings::default();
        check(path, containers, &mut warnings)?;
        let pod = object([("initContainers", containers.iter().map(with_policy).collect())]);
        Ok(Response::new().apply(pod_contribution(&request.cluster.name, pod)).with(warnings))
    }
}

/// The container with the pull policy that the API server would give its image. Stated, it follows the image; filled in by
/// the API server, it stays that of the first image.
fn with_policy(container: &Value) -> Value {
    let mut container = container.clone();
    container::complete(&mut container);
    if container["imagePullPolicy"].is_null() {
        container["imagePullPolicy"] = text(pull_policy(container["image"].as_str().unwrap_or_default()));
    }
    container
}

/// The path of the list in the manifest, and its containers. If both spellings are given, the current one is used.
fn given(spec: &Spec) -> (&'static str, &[Value]) {
    match spec.current.is_empty() {
        true => ("spec.init_containers", &spec.old),
        false => ("spec.initContainers", &spec.current),
    }
}

/// A new cluster is refused; a running one continues without init containers.
fn switched_off(request: &Request, path: &str) -> Result<Response> {
    let message = "initContainers specified but disabled in configuration";
    let remedy = "set enable_init_containers of the operator configuration to true, or remove the section";
    if request.exists(RUNNING, &request.cluster.name) {
        return Ok(Response::new().warn(path, message, remedy));
    }
    Err(invalid(path, message, remedy))
}

/// A container needs a name that no other one has, and an image; its resources have to be consistent. The API server
/// checks the other fields.
fn check(path: &str, containers: &[Value], warnings: &mut Warnings) -> Result<()> {
    for (index, container) in containers.iter().enumerate() {
        let path = format!("{path}[{index}]");
        container::check(&path, container)?;
        resources::check(&format!("{path}.resources"), &container["resources"], warnings)?;
        let name = name_of(container);
        if name == DATABASE {
            let message = "postgres is the name of the database's container";
            return Err(invalid(format!("{path}.name"), message, "choose another name"));
        }
        if containers.iter().take(index).any(|earlier| name_of(earlier) == name) {
            let message = format!("{name} is the name of an earlier init container");
            return Err(invalid(format!("{path}.name"), message, "choose another name"));
        }
    }
    Ok(())
}

register!(InitContainers);

#[cfg(test)]
mod tests;
