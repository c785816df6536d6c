//! What every sidecar gets: who and where it is, the database's superuser, its files, and what the platform shares.

use pgloom_kit::common::name::secret_name;
use pgloom_kit::container::{Env, env, env_from_field, env_from_secret, name_of};
use pgloom_kit::object::{list, text};
use pgloom_kit::{Notes, Result, Value, invalid};

use crate::{Request, join::Sidecars};

/// The sidecars with it. The variables come first, and nobody overrides them; the mounts come behind the container's own.
///
/// # Errors
/// If a variable of the manifest has no name.
pub fn grant(request: &Request, sidecars: Sidecars, notes: &mut Notes) -> Result<Vec<Value>> {
    let mut mounts = vec![request.cluster.spec.volume.mount()];
    mounts.extend(request.config.shared.mounts());
    let variables = variables(request);
    let mut containers = Vec::with_capacity(sidecars.0.len());
    for (path, mut container) in sidecars.0 {
        let own = container.get_mut("env").map(Value::take);
        container["env"] = Value::Array(joined(&path, &variables, own, notes)?);
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

fn joined(path: &str, variables: &[Value], own: Option<Value>, notes: &mut Notes) -> Result<Vec<Value>> {
    let mut joined = Env::of(variables.to_vec());
    let Some(Value::Array(own)) = own else { return Ok(joined.into_entries()) };
    for (index, entry) in own.into_iter().enumerate() {
        let name = name_of(&entry).to_owned();
        let at = [path, ".env[", &index.to_string(), "].name"].concat();
        if name.is_empty() && !path.is_empty() {
            return Err(invalid(at, "the variable has no name", "write it"));
        }
        if !joined.add(entry) && !path.is_empty() {
            let message = ["the variable ", &name, " is already set; this value is not used"].concat();
            notes.warn(at, message, "remove the entry or give it another name");
        }
    }
    Ok(joined.into_entries())
}

/// Mounts each where the container mounts nothing itself.
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
