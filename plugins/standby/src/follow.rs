//! A cluster with the section: a standby of another one.

use pgloom_kit::json::field::text;
use pgloom_kit::{ConditionStatus, Response, Result, Warnings, bootstrap, invalid};

use crate::source::Source;
use crate::{Request, promote, report};

/// Adds the variables of a standby to the database's container, unless the cluster was made with data of its own.
///
/// # Errors
/// If the section is invalid.
pub fn follow(request: &Request, source: &Source) -> Result<Response> {
    let spec = &request.cluster.spec;
    let existing = promote::existing(request)?;
    let mut warnings = Warnings::default();
    if spec.clone.as_ref().is_some_and(|clone| !text(&clone.cluster).is_empty()) {
        let message = "a cluster is either a clone or a standby, and spec.clone is given too";
        let remedy = "remove spec.clone or spec.standby";
        // One that exists has its data, whichever section it is from.
        if existing.is_none() {
            return Err(invalid("spec.standby", message, remedy));
        }
        warnings.warn("spec.standby", message, remedy);
    }
    let variables = source.variables(&request.config.irsa_role_arn, &mut warnings)?;
    if existing.is_some_and(|existing| !existing.is_standby) {
        // Another template would restart every pod, and the cluster would follow nobody after that either.
        warnings.warn(
            "spec.standby",
            "the cluster exists already and does not become a standby",
            "remove the section, or create a new cluster with it",
        );
        return Ok(report(
            Response::new().with(warnings),
            ConditionStatus::False,
            "OwnData",
            "the cluster was not created as a standby; the section changes nothing",
        ));
    }
    if spec.instances.is_some_and(|instances| instances > 1) {
        warnings.warn(
            "spec.numberOfInstances",
            "a standby cluster should have one pod: further pods need the passwords of the source cluster",
            "write 1 until the cluster is promoted, or copy the source's Secrets",
        );
    }
    let response = Response::new().apply(bootstrap::contribution(request, &spec.env, variables, &mut warnings)?);
    let message = format!("the cluster is a standby of {}", source.name());
    Ok(report(response.with(warnings), ConditionStatus::True, "Following", &message))
}
