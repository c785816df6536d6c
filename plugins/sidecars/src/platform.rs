//! The sidecars of the operator configuration, in every cluster: complete containers, images by name, and Scalyr's.

use pgloom_kit::container::{self, env, name_of};
use pgloom_kit::json::{is_set, object, text, unless_empty};
use pgloom_kit::resources::{Defaults, PerResource, Resources, Rules};
use pgloom_kit::{Result, Value, Warnings, invalid_config};

use crate::Request;

/// The containers, in order of precedence.
pub fn sidecars(request: &Request, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let config = &request.config;
    let mut sidecars = Vec::new();
    for container in &config.containers.sidecars {
        sidecars.push(whole(container)?);
    }
    for (name, image) in &config.containers.sidecar_docker_images {
        let resources = requirements(request, config.resources.defaults(), warnings)?;
        let image = container::image(image.as_str(), "sidecar_docker_images")?;
        sidecars.push(by_image(name, image, resources, Value::Null));
    }
    sidecars.extend(scalyr(request, warnings)?);
    Ok(sidecars)
}

/// A container of the operator configuration is used as it is.
fn whole(container: &Value) -> Result<Value> {
    let mut container = container.clone();
    if name_of(&container).is_empty() || !is_set(&container, "image") {
        return Err(invalid_config("sidecars: a container has no name or no image; add them"));
    }
    container::complete(&mut container);
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

fn requirements(request: &Request, defaults: PerResource<Defaults<'_>>, warnings: &mut Warnings) -> Result<Value> {
    let rules = Rules {
        path: "spec.sidecars",
        defaults,
        bounds: PerResource::default(),
        memory_request_to_limit: request.config.resources.set_memory_request_to_limit,
    };
    rules.requirements(&Resources::default(), warnings)
}

/// The container that ships logs to Scalyr, if key and image are configured.
fn scalyr(request: &Request, warnings: &mut Warnings) -> Result<Option<Value>> {
    let scalyr = &request.config.scalyr;
    match (scalyr.scalyr_api_key.is_empty(), scalyr.scalyr_image.is_empty()) {
        (true, true) => return Ok(None),
        (false, false) => {}
        (no_key, _) => {
            let missing = if no_key { "scalyr_api_key" } else { "scalyr_image" };
            warnings.warn_platform(
                format!("the Scalyr sidecar does not run, because {missing} is empty"),
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
    let general = request.config.resources.defaults();
    let defaults = PerResource {
        cpu: Defaults {
            request: either(&scalyr.scalyr_cpu_request, general.cpu.request),
            limit: either(&scalyr.scalyr_cpu_limit, general.cpu.limit),
        },
        memory: Defaults {
            request: either(&scalyr.scalyr_memory_request, general.memory.request),
            limit: either(&scalyr.scalyr_memory_limit, general.memory.limit),
        },
    };
    let resources = requirements(request, defaults, warnings)?;
    Ok(Some(by_image("scalyr-sidecar", &scalyr.scalyr_image, resources, Value::Array(variables))))
}

/// The own quantity, or if that is empty the default of every container.
fn either<'a>(own: &'a str, default: &'a str) -> &'a str {
    if own.is_empty() { default } else { own }
}
