//! The manifest's own sidecars: any field of a container, as it is, and what a container cannot be without.

use pgloom_kit::field::Field;
use pgloom_kit::object::{text, unless_empty};
use pgloom_kit::resources::{Bounds, Resources, Rules};
use pgloom_kit::{Notes, Result, Value, invalid, serde_json};

use crate::{RUNNING, Request};

/// The containers, each with the path of its entry; none if sidecars are switched off.
pub fn sidecars(request: &Request, notes: &mut Notes) -> Result<Vec<(String, Value)>> {
    let entries = &request.cluster.spec.sidecars;
    if !entries.is_empty() && !request.config.containers.enable_sidecars {
        return switched_off(request, notes);
    }
    let mut sidecars = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let path = ["spec.sidecars[", &index.to_string(), "]"].concat();
        let sidecar = sidecar(request, &path, index, entry, notes)?;
        sidecars.push((path, sidecar));
    }
    Ok(sidecars)
}

/// A new cluster is not made without what its manifest asks for; one that runs goes on without it.
fn switched_off(request: &Request, notes: &mut Notes) -> Result<Vec<(String, Value)>> {
    let message = "sidecar containers specified but disabled in configuration";
    let remedy = "set enable_sidecars of the operator configuration to true, or remove them";
    let running = request.observed::<Value>(RUNNING)?;
    if running.iter().any(|(name, _)| *name == request.cluster.name) {
        notes.warn("spec.sidecars", message, remedy);
        return Ok(Vec::new());
    }
    Err(invalid("spec.sidecars", message, remedy))
}

fn sidecar(request: &Request, path: &str, index: usize, entry: &Value, notes: &mut Notes) -> Result<Value> {
    let Some(entry) = entry.as_object() else {
        return Err(invalid(path, "the entry is no container", "write at least the image that it runs"));
    };
    let mut container = entry.clone();
    // A key without a value says nothing.
    container.retain(|_, value| !value.is_null());
    if unless_empty(container.get("image").cloned().unwrap_or_default()).is_null() {
        return Err(invalid([path, ".image"].concat(), "the sidecar has no image", "write the image that it runs"));
    }
    if unless_empty(container.get("name").cloned().unwrap_or_default()).is_null() {
        container.insert("name".to_owned(), text(&["sidecar-", &index.to_string()].concat()));
    }
    container.entry("imagePullPolicy").or_insert_with(|| text("IfNotPresent"));
    complete(&mut container);
    let resources = container.remove("resources").unwrap_or_default();
    let resources = requirements(request, &[path, ".resources"].concat(), &resources, notes)?;
    if !unless_empty(resources.clone()).is_null() {
        container.insert("resources".to_owned(), resources);
    }
    Ok(Value::Object(container))
}

/// What the API server would fill in too, but not where entries are matched by it.
pub fn complete(container: &mut serde_json::Map<String, Value>) {
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        port.entry("protocol").or_insert_with(|| text("TCP"));
    }
}

fn requirements(request: &Request, path: &str, given: &Value, notes: &mut Notes) -> Result<Value> {
    let rules = Rules {
        path,
        defaults: request.config.resources.defaults(),
        bounds: Bounds::default(),
        memory_request_to_limit: request.config.resources.set_memory_request_to_limit,
    };
    let given = if given.is_null() { Ok(Resources::default()) } else { Resources::take(given) };
    let given = given.map_err(|wrong| {
        let path = if wrong.path.is_empty() { path.to_owned() } else { [path, ".", &wrong.path].concat() };
        invalid(path, ["this is not ", &wrong.wanted].concat(), "write it as in limits: {cpu: 500m, memory: 500Mi}")
    })?;
    rules.requirements(&given, notes)
}
