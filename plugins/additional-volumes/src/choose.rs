//! The entries that can be mounted. For the others there is a warning, and neither a volume nor a mount.

use pgloom_kit::common::name::is_dns1123_label;
use pgloom_kit::container::{DATA_MOUNT, DATABASE, name_of};
use pgloom_kit::json::object;
use pgloom_kit::tls::Files;
use pgloom_kit::{Result, Value, Warnings, invalid};

use crate::{Spec, Volume};

/// The value of `targetContainers` that means every container.
pub const ALL: &str = "all";

/// The volumes that every pod has: data, and shared memory.
const RESERVED: [&str; 2] = ["pgdata", "dshm"];

/// The entries that are mounted, each with its index in the list.
pub fn volumes<'a>(spec: &'a Spec, workload: &Value, warnings: &mut Warnings) -> Result<Vec<(usize, &'a Volume)>> {
    let entries = &spec.volumes;
    let certificates = spec.tls.files();
    let mut chosen: Vec<(usize, &Volume)> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let at = |field: &str| path(index, field);
        check(entry, at)?;
        if let Some(files) = &certificates {
            check_certificates(entry, files, at)?;
        }
        let is_same = |(_, earlier): &&(usize, &Volume)| is_same_folder(&earlier.mount_path, &entry.mount_path);
        if let Some((_, earlier)) = chosen.iter().find(is_same) {
            warnings.warn(
                at("mountPath"),
                format!("the volume {} is mounted at this path already; {} is not mounted", earlier.name, entry.name),
                "choose another path",
            );
        } else if is_same_folder(&entry.mount_path, DATA_MOUNT) {
            let message = format!("the data volume is mounted at this path; {} is not mounted", entry.name);
            warnings.warn(at("mountPath"), message, "choose another path, as in a directory below this one");
        } else if RESERVED.contains(&entry.name.as_str()) || is_taken(entry, workload) {
            let message = format!("{} is the name of a volume of the pod", entry.name);
            return Err(invalid(at("name"), message, "choose another name"));
        } else if !is_dns1123_label(&entry.name) {
            let message = format!("\"{}\" is not a valid name of a volume", entry.name);
            let remedy =
                "use at most 63 lower case letters, digits and hyphens; the first and the last are not a hyphen";
            return Err(invalid(at("name"), message, remedy));
        } else if chosen.iter().any(|(_, earlier)| earlier.name == entry.name && earlier.source != entry.source) {
            let message = format!("{} is the name of an earlier volume with another source", entry.name);
            return Err(invalid(at("name"), message, "choose another name"));
        } else {
            chosen.push((index, entry));
        }
    }
    Ok(chosen)
}

/// Whether an entry is mounted in a container.
pub fn is_target(entry: &Volume, container: &str) -> bool {
    if entry.targets.is_empty() {
        return container == DATABASE;
    }
    entry.targets.iter().any(|target| target == ALL || target == container)
}

/// Whether two paths name one folder: `/a//b/` is `/a/b`.
pub fn is_same_folder(path: &str, other: &str) -> bool {
    let parts =
        |path: &str| path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect::<Vec<_>>();
    parts(path) == parts(other)
}

/// Whether an earlier step makes another volume of the name.
fn is_taken(entry: &Volume, workload: &Value) -> bool {
    let existing = workload["spec"]["template"]["spec"]["volumes"].as_array();
    let mut named = existing.into_iter().flatten().filter(|volume| name_of(volume) == entry.name);
    named
        .any(|volume| entry.source.as_object().is_none_or(|source| source.iter().any(|(key, own)| volume[key] != *own)))
}

fn check(entry: &Volume, at: impl Fn(&str) -> String) -> Result<()> {
    for (field, value) in [("name", &entry.name), ("mountPath", &entry.mount_path)] {
        if value.is_empty() {
            return Err(invalid(at(field), format!("the volume has no {field}"), format!("add {field}")));
        }
    }
    if entry.targets.len() > 1 && entry.targets.iter().any(|target| target == ALL) {
        let message = "\"all\" cannot be combined with names of containers";
        return Err(invalid(at("targetContainers"), message, "write [all], or the containers by their names"));
    }
    if !entry.source.is_object() {
        let remedy = "add a source, as in configMap: {name: settings}";
        return Err(invalid(at("volumeSource"), "the volume has no source", remedy));
    }
    Ok(())
}

/// A later step mounts the certificates of `spec.tls` in the database's container.
fn check_certificates(entry: &Volume, files: &Files, at: impl Fn(&str) -> String) -> Result<()> {
    let is_another = |mount: &Value| mount["mountPath"] == *entry.mount_path && name_of(mount) != entry.name;
    if is_target(entry, DATABASE) && files.mounts().iter().any(is_another) {
        let message = format!("the certificates of spec.tls are mounted at {}", entry.mount_path);
        return Err(invalid(at("mountPath"), message, "choose another path, or remove spec.tls"));
    }
    Ok(())
}

/// The source of a volume. Without one it is a folder of the pod, as Kubernetes has it.
pub fn source(index: usize, entry: &Volume, warnings: &mut Warnings) -> Value {
    if entry.source.as_object().is_some_and(|source| source.values().any(|value| !value.is_null())) {
        return entry.source.clone();
    }
    let message = format!("the volume {} has no source, so it is an empty folder that goes with its pod", entry.name);
    warnings.warn(path(index, "volumeSource"), message, "write emptyDir: {} if that is meant, or add a source");
    object([("emptyDir", object([]))])
}

/// The path of a field of an entry.
pub fn path(index: usize, field: &str) -> String {
    format!("spec.additionalVolumes[{index}].{field}")
}
