//! The PostgreSQL version of the members: once there is data, the version of the data.

use pgloom_kit::container::{DATABASE, name_of};
use pgloom_kit::{Result, Value, Warnings, invalid, json};

use crate::{Request, pod};

/// The id of the selector of the cluster's existing StatefulSet.
pub const RUNNING: &str = "running";

/// The images of Spilo by the newest major version of PostgreSQL, which is part of their name, with the oldest that they
/// have. See [its releases](https://github.com/zalando/spilo/releases).
const OLDEST: [(u32, u32); 2] = [(18, 14), (17, 13)];

/// The manifest's version for a new cluster. A running cluster keeps its version: PostgreSQL cannot start with the
/// files of another major version.
///
/// # Errors
/// If the image of a new cluster does not have the version.
pub fn effective(request: &Request, warnings: &mut Warnings) -> Result<String> {
    let wanted = &request.cluster.spec.postgresql.version;
    let found = request.observed::<Value>(RUNNING)?;
    let workload = found.iter().find(|(name, _)| *name == request.cluster.name).map(|(_, workload)| workload);
    let Some(workload) = workload else {
        check_image(pod::image(request), wanted)?;
        return Ok(wanted.clone());
    };
    let Some(running) = running(workload).filter(|running| running != wanted) else { return Ok(wanted.clone()) };
    warnings.warn(
        "spec.postgresql.version",
        format!("the version change \"{running}\" -> \"{wanted}\" has no effect: the data is that of {running}"),
        "write the running version; to upgrade, create a new cluster as a clone of this one",
    );
    Ok(running)
}

/// Checks that an image has a version, as far as its name says what it has: one of another name may have any.
fn check_image(image: &str, version: &str) -> Result<()> {
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split([':', '@']).next().unwrap_or_default();
    let newest = name.strip_prefix("spilo-").and_then(|number| number.parse::<u32>().ok());
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let (Some(newest), Some(major)) = (newest, major) else { return Ok(()) };
    let oldest = OLDEST.iter().find(|(of, _)| *of == newest).map(|(_, oldest)| *oldest);
    if major <= newest && oldest.is_none_or(|oldest| oldest <= major) {
        return Ok(());
    }
    let has = oldest.map_or_else(|| format!("up to {newest}"), |oldest| format!("{oldest} to {newest}"));
    Err(invalid(
        "spec.postgresql.version",
        format!("the image {image} has PostgreSQL {has}, not {version}"),
        "write a version that it has, or name an image that has this one in spec.dockerImage or docker_image",
    ))
}

fn running(workload: &Value) -> Option<String> {
    let containers =
        workload.get("spec").and_then(|spec| spec.get("template")?.get("spec")?.get("containers")?.as_array());
    let database = containers.into_iter().flatten().find(|container| name_of(container) == DATABASE);
    let variables = database.and_then(|database| database.get("env")?.as_array());
    let value = |name: &str| {
        let mut entries = variables.into_iter().flatten();
        entries.find(|entry| name_of(entry) == name)?.get("value")?.as_str()
    };
    value("PGVERSION").map(str::to_owned).or_else(|| value("SPILO_CONFIGURATION").and_then(in_bin_dir))
}

/// The version in `bin_dir`, as in `/usr/lib/postgresql/12/bin`, which earlier releases wrote into the configuration.
fn in_bin_dir(configuration: &str) -> Option<String> {
    let configuration = json::parse(configuration)?;
    let folder = configuration.get("postgresql")?.get("bin_dir")?.as_str()?;
    folder.strip_suffix("/bin")?.rsplit_once('/').map(|(_, version)| version.to_owned())
}
