//! The platform's sidecars, beside every database: whole containers, images by name, and the one of Scalyr.

use pgloom_kit::container::{env, name_of};
use pgloom_kit::object::{object, text, unless_empty};
use pgloom_kit::resources::{Bounds, Defaults, Resources, Rules};
use pgloom_kit::{Notes, Result, Value, invalid_config};

use crate::{Request, manifest};

/// The containers, in order of precedence.
pub fn sidecars(request: &Request, notes: &mut Notes) -> Result<Vec<Value>> {
    let config = &request.config;
    let mut sidecars = Vec::new();
    for container in &config.containers.sidecars {
        sidecars.push(whole(container)?);
    }
    for (name, image) in &config.containers.sidecar_docker_images {
        let resources = requirements(request, config.resources.defaults(), notes)?;
        sidecars.push(by_image(name, image, resources, Value::Null));
    }
    sidecars.extend(scalyr(request, notes)?);
    Ok(sidecars)
}

/// A container of the operator configuration is taken as it is.
fn whole(container: &Value) -> Result<Value> {
    let mut container = container.clone();
    if name_of(&container).is_empty() || unless_empty(container.get("image").cloned().unwrap_or_default()).is_null() {
        return Err(invalid_config("sidecars: every container needs a name and an image"));
    }
    if let Some(fields) = container.as_object_mut() {
        manifest::complete(fields);
    }
    Ok(container)
}

fn by_image(name: &str, image: &str, resources: Value, env: Value) -> Value {
    object([
        ("name", text(name)),
        ("image", text(image)),
        ("imagePullPolicy", text("IfNotPresent")),
        ("resources", unless_empty(resources)),
        ("env", env),
    ])
}

fn requirements(request: &Request, defaults: Defaults<'_>, notes: &mut Notes) -> Result<Value> {
    let rules = Rules {
        path: "spec.sidecars",
        defaults,
        bounds: Bounds::default(),
        memory_request_to_limit: request.config.resources.set_memory_request_to_limit,
    };
    rules.requirements(&Resources::default(), notes)
}

/// Ships logs to Scalyr, if the platform has a key and an image for it.
fn scalyr(request: &Request, notes: &mut Notes) -> Result<Option<Value>> {
    let scalyr = &request.config.scalyr;
    match (scalyr.scalyr_api_key.is_empty(), scalyr.scalyr_image.is_empty()) {
        (true, true) => return Ok(None),
        (false, false) => {}
        (no_key, _) => {
            let missing = if no_key { "scalyr_api_key" } else { "scalyr_image" };
            notes.warn_platform(
                ["the Scalyr sidecar does not run, because ", missing, " is empty"].concat(),
                "set both scalyr_api_key and scalyr_image in the operator configuration, or neither",
            );
            return Ok(None);
        }
    }
    let mut variables =
        vec![env("SCALYR_API_KEY", &scalyr.scalyr_api_key), env("SCALYR_SERVER_HOST", &request.cluster.name)];
    if !scalyr.scalyr_server_url.is_empty() {
        variables.push(env("SCALYR_SERVER_URL", &scalyr.scalyr_server_url));
    }
    let usual = request.config.resources.defaults();
    let defaults = Defaults {
        cpu_request: either(&scalyr.scalyr_cpu_request, usual.cpu_request),
        memory_request: either(&scalyr.scalyr_memory_request, usual.memory_request),
        cpu_limit: either(&scalyr.scalyr_cpu_limit, usual.cpu_limit),
        memory_limit: either(&scalyr.scalyr_memory_limit, usual.memory_limit),
    };
    let resources = requirements(request, defaults, notes)?;
    Ok(Some(by_image("scalyr-sidecar", &scalyr.scalyr_image, resources, Value::Array(variables))))
}

/// Its own amount, or where that is empty the one of every container.
fn either<'a>(own: &'a str, usual: &'a str) -> &'a str {
    if own.is_empty() { usual } else { own }
}
