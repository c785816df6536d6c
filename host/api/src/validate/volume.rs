//! Additional volumes of a manifest.

use std::collections::BTreeSet;

use serde_json::Value;

use super::container::{DATABASE, is_label, sidecar_name};
use super::{entries, filled};
use crate::problem::{Problem, entry};

const DATA_DIRECTORY: &str = "/home/postgres/pgdata";

pub fn check(spec: &Value, problems: &mut Vec<Problem>) {
    let mut known: BTreeSet<String> =
        entries(&spec["sidecars"]).map(|(index, sidecar)| sidecar_name(index, sidecar)).collect();
    known.insert(DATABASE.to_owned());
    let mut mounts = BTreeSet::from([DATA_DIRECTORY]);
    let mut names = BTreeSet::new();
    for (index, volume) in entries(&spec["additionalVolumes"]) {
        let path = entry("spec.additionalVolumes", index);
        check_targets(&volume["targetContainers"], &known, &path, problems);
        let (Some(name), Some(mount)) = (filled(volume, "name"), filled(volume, "mountPath")) else { continue };
        if !mounts.insert(mount) {
            let problem = Problem::warning(
                format!("{path}.mountPath"),
                format!("{mount} is taken; the volume {name:?} is left out"),
            );
            problems.push(problem.remedy("mount it elsewhere"));
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

fn check_targets(targets: &Value, known: &BTreeSet<String>, path: &str, problems: &mut Vec<Problem>) {
    let names: Vec<_> = entries(targets).filter_map(|(index, value)| Some((index, value.as_str()?))).collect();
    if names.len() > 1 && names.iter().any(|(_, name)| *name == "all") {
        let problem = Problem::error(
            format!("{path}.targetContainers"),
            "all means every container, but others are named beside it",
        );
        problems.push(problem.remedy("give all alone, or the names of the containers"));
        return;
    }
    for (index, name) in names {
        if name != "all" && !known.contains(name) {
            let problem = Problem::warning(
                format!("{path}.targetContainers[{index}]"),
                format!("no container of this manifest is called {name:?}"),
            );
            let names: Vec<_> = known.iter().map(String::as_str).collect();
            problems.push(problem.remedy(format!("known here: {}", names.join(", "))));
        }
    }
}
