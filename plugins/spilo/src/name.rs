//! The length of the cluster's name: the StatefulSet has to get pods.

use pgloom_kit::common::name::MAX_STATEFUL_SET_NAME;
use pgloom_kit::{Result, Value, Warnings, invalid};

use crate::{Request, version};

/// Refuses a new cluster whose StatefulSet would get no pods. A cluster that has its StatefulSet already keeps it, with a
/// warning: a short hash may have let its pods be made.
pub fn check(request: &Request, warnings: &mut Warnings) -> Result<()> {
    const PATH: &str = "metadata.name";
    let name = &request.cluster.name;
    if name.len() <= MAX_STATEFUL_SET_NAME {
        return Ok(());
    }
    let message = format!(
        "with a name of {} characters a StatefulSet gets no pods: their label controller-revision-hash would be longer \
         than 63",
        name.len()
    );
    if request.observed::<Value>(version::RUNNING)?.iter().any(|(running, _)| *running == *name) {
        let remedy =
            format!("create a new cluster with at most {MAX_STATEFUL_SET_NAME} characters, as a clone of this one");
        warnings.warn(PATH, message, remedy);
        return Ok(());
    }
    Err(invalid(PATH, message, format!("choose a name of at most {MAX_STATEFUL_SET_NAME} characters")))
}
