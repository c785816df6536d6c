//! The pod's volumes, and their mounts in the containers that earlier steps made.

use pgloom_kit::container::{DATABASE, mount_folder, name_of};
use pgloom_kit::object::{object, text};
use pgloom_kit::{Notes, Value};

use crate::Volume;
use crate::choose::{ALL, path};

/// The volumes, in the order of their entries; one that two entries mount is there once.
pub fn volumes(chosen: &[(usize, &Volume)]) -> Vec<Value> {
    let mut volumes: Vec<Value> = Vec::with_capacity(chosen.len());
    for (_, entry) in chosen {
        if volumes.iter().any(|volume| name_of(volume) == entry.name) {
            continue;
        }
        let mut volume = entry.source.clone();
        volume["name"] = text(&entry.name);
        volumes.push(volume);
    }
    volumes
}

/// The containers with what they mount; those that mount nothing are left out.
pub fn mounts(chosen: &[(usize, &Volume)], workload: &Value, notes: &mut Notes) -> Vec<Value> {
    let existing = workload["spec"]["template"]["spec"]["containers"].as_array();
    let names: Vec<&str> = existing.into_iter().flatten().map(name_of).collect();
    for &(index, entry) in chosen {
        warn_of_strangers(index, entry, &names, notes);
    }
    let mut containers = Vec::new();
    for name in names {
        let mut mounts = Vec::new();
        for (_, entry) in chosen.iter().filter(|(_, entry)| is_target(entry, name)) {
            let folder = entry.sub_path.as_deref().unwrap_or_default();
            let expression = entry.is_sub_path_expr.unwrap_or_default();
            mounts.push(mount_folder(&entry.name, &entry.mount_path, folder, expression));
        }
        if !mounts.is_empty() {
            containers.push(object([("name", text(name)), ("volumeMounts", Value::Array(mounts))]));
        }
    }
    containers
}

fn is_target(entry: &Volume, container: &str) -> bool {
    if entry.targets.is_empty() {
        return container == DATABASE;
    }
    entry.targets.iter().any(|target| target == ALL || target == container)
}

fn warn_of_strangers(index: usize, entry: &Volume, names: &[&str], notes: &mut Notes) {
    for target in &entry.targets {
        if target != ALL && !names.contains(&target.as_str()) {
            notes.warn(
                path(index, "targetContainers"),
                ["there is no container ", target, " to mount ", &entry.name, " in"].concat(),
                "write postgres, the name of a sidecar, or all",
            );
        }
    }
}
