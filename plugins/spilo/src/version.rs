//! Which version of PostgreSQL the members run: that of the data, once there is data.

use pgloom_kit::container::DATABASE;
use pgloom_kit::{Notes, Result, serde_json};
use serde::Deserialize;

use crate::Request;

/// The selector of the cluster's StatefulSet as it is.
pub const RUNNING: &str = "running";

/// The manifest's version for a new cluster. A running one keeps its own: the files of another version cannot be started.
pub fn effective(request: &Request, notes: &mut Notes) -> Result<String> {
    let wanted = &request.cluster.spec.postgresql.version;
    let Some(running) = running(request)?.filter(|running| running != wanted) else { return Ok(wanted.clone()) };
    notes.warn(
        "spec.postgresql.version",
        ["the version change \"", &running, "\" -> \"", wanted, "\" has no effect: the data is that of ", &running]
            .concat(),
        "write the version that runs; to move to another one, clone the cluster into a new one",
    );
    Ok(running)
}

#[derive(Deserialize)]
struct StatefulSet {
    spec: Workload,
}

#[derive(Deserialize)]
struct Workload {
    template: Template,
}

#[derive(Deserialize)]
struct Template {
    spec: Pod,
}

#[derive(Deserialize)]
struct Pod {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    env: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

fn running(request: &Request) -> Result<Option<String>> {
    let found = request.observed::<StatefulSet>(RUNNING)?;
    let Some((_, workload)) = found.into_iter().find(|(name, _)| *name == request.cluster.name) else {
        return Ok(None);
    };
    let containers = workload.spec.template.spec.containers;
    let Some(database) = containers.into_iter().find(|container| container.name == DATABASE) else { return Ok(None) };
    let value =
        |name: &str| database.env.iter().find(|variable| variable.name == name).map(|variable| variable.value.as_str());
    Ok(value("PGVERSION").or_else(|| value("SPILO_CONFIGURATION").and_then(in_bin_dir)).map(str::to_owned))
}

/// The version of the folder of programs that earlier releases wrote into the configuration.
fn in_bin_dir(configuration: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Configuration<'a> {
        #[serde(borrow)]
        postgresql: Programs<'a>,
    }
    #[derive(Deserialize)]
    struct Programs<'a> {
        bin_dir: &'a str,
    }
    let Configuration { postgresql: Programs { bin_dir } } = serde_json::from_str(configuration).ok()?;
    bin_dir.strip_suffix("/bin")?.rsplit_once('/').map(|(_, version)| version)
}
