//! Additional volumes of a manifest: what the API server would refuse. Which of them can be mounted is for the step that does it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::container::is_label;
use super::{entries, filled};
use crate::problem::{Problem, entry};

const DATA_DIRECTORY: &str = "/home/postgres/pgdata";

pub fn check(spec: &Value, problems: &mut Vec<Problem>) {
    let mut mounts = BTreeSet::from([DATA_DIRECTORY]);
    let mut names = BTreeSet::new();
    for (index, volume) in entries(&spec["additionalVolumes"]) {
        let path = entry("spec.additionalVolumes", index);
        check_targets(&volume["targetContainers"], &path, problems);
        let (Some(name), Some(mount)) = (filled(volume, "name"), filled(volume, "mountPath")) else { continue };
        // Two volumes cannot be mounted at one place: the later one is left out, so its name is free.
        if !mounts.insert(mount) {
            continue;
        }
        if !is_label(name) {
            let problem = Problem::error(format!("{path}.name"), format!("{name:?} cannot be the name of a volume"));
            problems.push(problem.remedy("use lower case letters, digits and hyphens, no hyphen first or last"));
        } else if !names.insert(name) || matches!(name, "pgdata" | "dshm") {
            let problem =
                Problem::error(format!("{path}.name"), format!("{name:?} is the name of another volume of the pod"));
            problems.push(problem.remedy("give each volume a name of its own"));
        }
    }
}

fn check_targets(targets: &Value, path: &str, problems: &mut Vec<Problem>) {
    let names: Vec<_> = entries(targets).filter_map(|(_, value)| value.as_str()).collect();
    if names.len() > 1 && names.contains(&"all") {
        let problem = Problem::error(
            format!("{path}.targetContainers"),
            "all means every container, but others are named beside it",
        );
        problems.push(problem.remedy("give all alone, or the names of the containers"));
    }
}
