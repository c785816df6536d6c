//! Init containers: what runs in a pod before the database starts.

use pgloom_kit::container::{name_of, to_pod};
use pgloom_kit::object::{object, unless_empty};
use pgloom_kit::{Description, NoSettings, Notes, Plugin, Response, Result, Value, invalid, kind};
use pgloom_kit::{operator_config, register, spec};

/// The plugin.
pub struct InitContainers;

type Request = pgloom_kit::Request<InitContainers>;

/// The selector of the cluster's StatefulSet as it is.
const RUNNING: &str = "running";

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        current: Vec<Value> = "initContainers",
        old: Vec<Value> = "init_containers",
    }
}

operator_config! {
    /// What the plugin reads of the operator configuration.
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
            .writes(kind("apps/v1", "StatefulSet"), &["spec.template.spec.initContainers"])
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
        check(path, containers)?;
        let pod = object([("initContainers", Value::Array(containers.to_vec()))]);
        Ok(Response::new().apply(to_pod(&request.cluster.name, pod)))
    }
}

/// The containers, and how the manifest spells their list; the current spelling counts if there are both, as the host says.
fn given(spec: &Spec) -> (&'static str, &[Value]) {
    match spec.current.is_empty() {
        true => ("spec.init_containers", &spec.old),
        false => ("spec.initContainers", &spec.current),
    }
}

/// A new cluster is not made without what its manifest asks for; one that runs goes on without it.
fn switched_off(request: &Request, path: &str) -> Result<Response> {
    let message = "initContainers specified but disabled in configuration";
    let remedy = "set enable_init_containers of the operator configuration to true, or remove them";
    let running = request.observed::<Value>(RUNNING)?;
    if running.iter().any(|(name, _)| *name == request.cluster.name) {
        let mut notes = Notes::default();
        notes.warn(path, message, remedy);
        return Ok(Response::new().with(notes));
    }
    Err(invalid(path, message, remedy))
}

/// A container needs a name of its own and an image; the rest is the API server's to judge.
fn check(path: &str, containers: &[Value]) -> Result<()> {
    for (index, container) in containers.iter().enumerate() {
        let at = |field: &str| [path, "[", &index.to_string(), "].", field].concat();
        let name = name_of(container);
        if name.is_empty() {
            return Err(invalid(at("name"), "the init container has no name", "give it a name"));
        }
        if containers.iter().take(index).any(|earlier| name_of(earlier) == name) {
            return Err(invalid(
                at("name"),
                ["there is an earlier init container ", name].concat(),
                "give it another name",
            ));
        }
        if unless_empty(container.get("image").cloned().unwrap_or_default()).is_null() {
            return Err(invalid(at("image"), "the init container has no image", "write the image that it runs"));
        }
    }
    Ok(())
}

register!(InitContainers);

#[cfg(test)]
mod tests;
