//! Containers that a manifest adds: sidecars and init containers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{entries, filled};
use crate::problem::{Problem, entry};

/// The database's own container.
pub const DATABASE: &str = "postgres";

/// Whether containers may be added at all, and which of two with one name runs, is for the steps that add them to say.
pub fn check(spec: &Value, problems: &mut Vec<Problem>) {
    check_sidecars(&spec["sidecars"], problems);
    for section in ["initContainers", "init_containers"] {
        check_init_containers(&spec[section], &format!("spec.{section}"), problems);
    }
}

fn check_sidecars(sidecars: &Value, problems: &mut Vec<Problem>) {
    for (index, sidecar) in entries(sidecars) {
        let path = entry("spec.sidecars", index);
        let name = sidecar_name(index, sidecar);
        check_image(sidecar, &name, &path, problems);
        check_name(&name, &path, problems);
        if name == DATABASE {
            let problem = Problem::error(format!("{path}.name"), "postgres is the database's own container");
            problems.push(problem.remedy("choose another name"));
        }
    }
}

fn check_init_containers(containers: &Value, path: &str, problems: &mut Vec<Problem>) {
    let mut names = BTreeSet::new();
    for (index, container) in entries(containers) {
        let path = entry(path, index);
        let Some(name) = filled(container, "name") else {
            let problem = Problem::error(format!("{path}.name"), format!("container[{index}]: name is required"));
            problems.push(problem.remedy("add it, as in date"));
            continue;
        };
        check_image(container, name, &path, problems);
        check_name(name, &path, problems);
        if !names.insert(name) {
            let problem =
                Problem::error(format!("{path}.name"), format!("{name:?} is the name of an earlier container"));
            problems.push(problem.remedy("give each container a name of its own"));
        }
    }
}

/// The name of a sidecar: its own, or one made of its place.
pub fn sidecar_name(index: usize, sidecar: &Value) -> String {
    filled(sidecar, "name").map_or_else(|| format!("sidecar-{index}"), str::to_owned)
}

fn check_image(container: &Value, name: &str, path: &str, problems: &mut Vec<Problem>) {
    // A value of another type has been named already.
    if container.get("image").is_none_or(|image| image == "") {
        let problem = Problem::error(format!("{path}.image"), format!("container '{name}': image is required"));
        problems.push(problem.remedy("add it, as in quay.io/exporter:1"));
    }
}

fn check_name(name: &str, path: &str, problems: &mut Vec<Problem>) {
    if !is_label(name) {
        let problem = Problem::error(format!("{path}.name"), format!("{name:?} cannot be the name of a container"));
        problems.push(problem.remedy("use at most 63 lower case letters, digits and hyphens, no hyphen first or last"));
    }
}

/// Whether a text is a DNS label (RFC 1123), as names of containers and volumes have to be.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
