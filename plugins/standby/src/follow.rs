//! A cluster that follows another one.

use pgloom_kit::{ConditionStatus, Notes, Response, Result, bootstrap, invalid};

use crate::source::Source;
use crate::{Request, promote, report};

/// Gives the database's container the variables that make it follow.
///
/// # Errors
/// If the section cannot be satisfied.
pub fn follow(request: &Request, source: &Source) -> Result<Response> {
    let spec = &request.cluster.spec;
    if spec.clone.as_ref().is_some_and(|clone| clone.cluster.as_ref().is_some_and(|name| !name.is_empty())) {
        return Err(invalid(
            "spec.standby",
            "a cluster is either a clone or a standby, and there is spec.clone too",
            "remove spec.clone to follow, or spec.standby to have a copy of its own",
        ));
    }
    let mut notes = Notes::default();
    let variables = source.variables(&mut notes)?;
    if spec.instances.is_some_and(|instances| instances > 1) {
        notes.warn(
            "spec.numberOfInstances",
            "a standby cluster is recommended to have one pod, because further ones need the source's passwords",
            "set it to 1 until the cluster is promoted, or copy the source's Secrets",
        );
    }
    let response = Response::new().apply(bootstrap::contribution(request, &spec.env, variables, &mut notes)?);
    if promote::existing(request)?.is_some_and(|existing| !existing.is_standby) {
        notes.warn(
            "spec.standby",
            "the cluster has data of its own, so it does not become a standby",
            "create a new cluster with this section, or remove it",
        );
        return Ok(report(
            response.with(notes),
            ConditionStatus::No,
            "OwnData",
            "the cluster was not made as a standby",
        ));
    }
    let message = ["the cluster follows ", source.name()].concat();
    Ok(report(response.with(notes), ConditionStatus::Yes, "Following", &message))
}
