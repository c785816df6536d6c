//! The PostgreSQL version of the members: once there is data, the version of the data.

use pgloom_kit::container::{DATABASE, name_of};
use pgloom_kit::{Result, Value, Warnings, json};

use crate::Request;

/// The id of the selector of the cluster's existing StatefulSet.
pub const RUNNING: &str = "running";

/// The manifest's version for a new cluster. A running cluster keeps its version: PostgreSQL cannot start with the
/// files of another major version.
pub fn effective(request: &Request, warnings: &mut Warnings) -> Result<String> {
    let wanted = &request.cluster.spec.postgresql.version;
    let Some(running) = running(request)?.filter(|running| running != wanted) else { return Ok(wanted.clone()) };
    warnings.warn(
        "spec.postgresql.version",
        format!("the version change \"{running}\" -> \"{wanted}\" has no effect: the data is that of {running}"),
        "write the running version; to upgrade, create a new cluster as a clone of this one",
    );
    Ok(running)
}

fn running(request: &Request) -> Result<Option<String>> {
    let found = request.observed::<Value>(RUNNING)?;
    let workload = found.iter().find(|(name, _)| *name == request.cluster.name);
    let containers = workload
        .and_then(|(_, workload)| workload.get("spec")?.get("template")?.get("spec")?.get("containers")?.as_array());
    let database = containers.into_iter().flatten().find(|container| name_of(container) == DATABASE);
    let variables = database.and_then(|database| database.get("env")?.as_array());
    let value = |name: &str| {
        let mut entries = variables.into_iter().flatten();
        entries.find(|entry| name_of(entry) == name)?.get("value")?.as_str()
    };
    Ok(value("PGVERSION").map(str::to_owned).or_else(|| value("SPILO_CONFIGURATION").and_then(in_bin_dir)))
}

/// The version in `bin_dir`, as in `/usr/lib/postgresql/12/bin`, which earlier releases wrote into the configuration.
fn in_bin_dir(configuration: &str) -> Option<String> {
    let configuration = json::parse(configuration)?;
    let folder = configuration.get("postgresql")?.get("bin_dir")?.as_str()?;
    folder.strip_suffix("/bin")?.rsplit_once('/').map(|(_, version)| version.to_owned())
}
