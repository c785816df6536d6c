//! The pod's volumes, and their mounts in the containers of the earlier steps.

use pgloom_kit::container::{mount_sub_path, name_of};
use pgloom_kit::json::{field, object, text};
use pgloom_kit::{Result, Value, Warnings, invalid};

use crate::Volume;
use crate::choose::{ALL, is_same_folder, is_target, path, source};

/// The volumes, in the order of their entries, without duplicates.
pub fn volumes(chosen: &[(usize, &Volume)], warnings: &mut Warnings) -> Vec<Value> {
    let mut volumes: Vec<Value> = Vec::with_capacity(chosen.len());
    for (index, entry) in chosen {
        if volumes.iter().any(|volume| name_of(volume) == entry.name) {
            continue;
        }
        let mut volume = source(*index, entry, warnings);
        volume["name"] = text(&entry.name);
        volumes.push(volume);
    }
    volumes
}

/// The containers that mount something, with their mounts.
///
/// # Errors
/// If something else is mounted at the path of an entry.
pub fn mounts(chosen: &[(usize, &Volume)], workload: &Value, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let existing = workload["spec"]["template"]["spec"]["containers"].as_array();
    let existing: Vec<&Value> = existing.into_iter().flatten().collect();
    let names: Vec<&str> = existing.iter().copied().map(name_of).collect();
    for &(index, entry) in chosen {
        warn_of_unknown_containers(index, entry, &names, warnings);
    }
    let mut containers = Vec::new();
    for (name, container) in names.into_iter().zip(existing) {
        let mut mounts = Vec::new();
        for (index, entry) in chosen.iter().filter(|(_, entry)| is_target(entry, name)) {
            check_place(*index, entry, container)?;
            let is_expression = entry.is_sub_path_expr.unwrap_or_default();
            mounts.push(mount_sub_path(&entry.name, &entry.mount_path, field::text(&entry.sub_path), is_expression));
        }
        if !mounts.is_empty() {
            containers.push(object([("name", text(name)), ("volumeMounts", Value::Array(mounts))]));
        }
    }
    Ok(containers)
}

fn check_place(index: usize, entry: &Volume, container: &Value) -> Result<()> {
    let mounted = container["volumeMounts"].as_array().into_iter().flatten();
    match mounted
        .into_iter()
        .find(|mount| is_same_folder(mount["mountPath"].as_str().unwrap_or_default(), &entry.mount_path))
    {
        None => Ok(()),
        Some(mount) => {
            let message = format!(
                "in the container {} the volume {} is mounted at this path",
                name_of(container),
                name_of(mount)
            );
            Err(invalid(path(index, "mountPath"), message, "choose another path"))
        }
    }
}

fn warn_of_unknown_containers(index: usize, entry: &Volume, names: &[&str], warnings: &mut Warnings) {
    for target in &entry.targets {
        if target != ALL && !names.contains(&target.as_str()) {
            warnings.warn(
                path(index, "targetContainers"),
                format!("there is no container {target}; {} is not mounted in it", entry.name),
                "write postgres, the name of a sidecar, or all",
            );
        }
    }
}
