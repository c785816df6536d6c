//! The manifest's sidecars: containers with any field of the API, and defaults for name, resources and ports.

use pgloom_kit::container;
use pgloom_kit::json::{is_set, text, unless_empty};
use pgloom_kit::resources::{self, PerResource, Rules};
use pgloom_kit::{Result, Value, Warnings, invalid};

use crate::{RUNNING, Request};

/// The containers, each with the path of its entry; none if sidecars are switched off.
pub fn sidecars(request: &Request, warnings: &mut Warnings) -> Result<Vec<(String, Value)>> {
    let entries = &request.cluster.spec.sidecars;
    if !entries.is_empty() && !request.config.containers.enable_sidecars {
        return switched_off(request, warnings);
    }
    let mut sidecars = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("spec.sidecars[{index}]");
        let sidecar = sidecar(request, &path, index, entry, warnings)?;
        sidecars.push((path, sidecar));
    }
    Ok(sidecars)
}

/// A new cluster is refused; a running one continues without sidecars.
fn switched_off(request: &Request, warnings: &mut Warnings) -> Result<Vec<(String, Value)>> {
    let message = "sidecar containers specified but disabled in configuration";
    let remedy = "set enable_sidecars of the operator configuration to true, or remove the section";
    if request.exists(RUNNING, &request.cluster.name) {
        warnings.warn("spec.sidecars", message, remedy);
        return Ok(Vec::new());
    }
    Err(invalid("spec.sidecars", message, remedy))
}

fn sidecar(request: &Request, path: &str, index: usize, entry: &Value, warnings: &mut Warnings) -> Result<Value> {
    let Some(entry) = entry.as_object() else {
        return Err(invalid(path, "the entry is not a container", "write an object with at least an image"));
    };
    let mut fields = entry.clone();
    // Null means a missing field.
    fields.retain(|_, value| !value.is_null());
    let given = fields.remove("resources").unwrap_or_default();
    let mut container = Value::Object(fields);
    if !is_set(&container, "name") {
        container["name"] = text(&format!("sidecar-{index}"));
    }
    container::check(path, &container)?;
    if container.get("imagePullPolicy").is_none() {
        container["imagePullPolicy"] = text("IfNotPresent");
    }
    container::complete(&mut container);
    let resources = unless_empty(requirements(request, &format!("{path}.resources"), &given, warnings)?);
    if !resources.is_null() {
        container["resources"] = resources;
    }
    Ok(container)
}

fn requirements(request: &Request, path: &str, given: &Value, warnings: &mut Warnings) -> Result<Value> {
    let rules = Rules {
        path,
        defaults: request.config.resources.defaults(),
        bounds: PerResource::default(),
        memory_request_to_limit: request.config.resources.set_memory_request_to_limit,
    };
    rules.requirements(&resources::read(path, given)?, warnings)
}
