//! Variables and mounts that every sidecar gets: its pod, the database's superuser, the data volume, the shared
//! volumes.

use pgloom_kit::common::name::secret_name;
use pgloom_kit::container::{Env, env, env_from_field, env_from_secret, name_of};
use pgloom_kit::json::{list, text};
use pgloom_kit::{Result, Value, Warnings, invalid};

use crate::Request;
use crate::merge::Merged;

/// The sidecars with these variables and mounts. The variables are in front of the container's own, which cannot
/// override them; the mounts are behind the container's own.
///
/// # Errors
/// If a variable of the manifest has no name.
pub fn inject(request: &Request, sidecars: Merged, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let mut mounts = vec![request.cluster.spec.volume.mount()];
    mounts.extend(request.config.shared.mounts());
    let variables = variables(request);
    let mut containers = Vec::with_capacity(sidecars.0.len());
    for (path, mut container) in sidecars.0 {
        let own = container.get_mut("env").map(Value::take);
        container["env"] = Value::Array(merged(&path, &variables, own, warnings)?);
        mount(&mut container, &mounts);
        containers.push(container);
    }
    Ok(containers)
}

fn variables(request: &Request) -> Vec<Value> {
    let (cluster, config) = (&request.cluster, &request.config.containers);
    let secret = secret_name(&config.secret_name_template, &config.super_username, &cluster.name, &cluster.team);
    vec![
        env_from_field("POD_NAME", "metadata.name"),
        env_from_field("POD_NAMESPACE", "metadata.namespace"),
        env("POSTGRES_USER", &config.super_username),
        env_from_secret("POSTGRES_PASSWORD", &secret, "password"),
    ]
}

fn merged(path: &str, variables: &[Value], own: Option<Value>, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let mut merged = Env::of(variables.to_vec());
    let Some(Value::Array(own)) = own else { return Ok(merged.into_entries()) };
    for (index, entry) in own.into_iter().enumerate() {
        let name = name_of(&entry).to_owned();
        let at = format!("{path}.env[{index}].name");
        if name.is_empty() && !path.is_empty() {
            return Err(invalid(at, "the variable has no name", "write its name"));
        }
        if !merged.add(entry) && !path.is_empty() {
            let message = format!("the variable {name} is already set; this value is not used");
            warnings.warn(at, message, "remove the entry or give it another name");
        }
    }
    Ok(merged.into_entries())
}

/// Adds each mount whose path is not in use by the container's own mounts.
fn mount(container: &mut Value, mounts: &[Value]) {
    if !container["volumeMounts"].is_array() {
        container["volumeMounts"] = list([]);
    }
    let Some(own) = container["volumeMounts"].as_array_mut() else { return };
    let path = |mount: &Value| mount.get("mountPath").cloned().unwrap_or_else(|| text(""));
    for mount in mounts {
        if !own.iter().any(|own| path(own) == path(mount)) {
            own.push(mount.clone());
        }
    }
}
