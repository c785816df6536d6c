//! Volumes by their claims: expands a PersistentVolumeClaim and returns the phase of the expansion. See
//! [expanding
//! claims](https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims).

pub mod cloud;
mod filesystem;
mod modification;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{Patch, PatchParams};
use pgloom_api::ActionPhase;
use pgloom_common::quantity::Quantity;
use pgloom_decide::field_manager::MANAGER;
use serde_json::json;

/// The name of the resource in a claim's requests and capacity.
const STORAGE: &str = "storage";
/// A part of the API server's message if a storage class does not have `allowVolumeExpansion: true`. The
/// text is that of the admission plugin `PersistentVolumeClaimResize`, whose answer has no other reason than `Forbidden`.
const NOT_EXPANDABLE: &str = "must support resize";

/// The phase of an action, with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: ActionPhase,
    /// The reason, or more about the phase.
    pub message: String,
}

impl Progress {
    fn new(phase: ActionPhase, message: impl Into<String>) -> Self {
        Self { phase, message: message.into() }
    }
}

/// Raises the storage request of a claim to `size` (a Kubernetes quantity) and returns the phase. Idempotent; a request
/// is never lowered.
pub async fn expand(claims: &Api<PersistentVolumeClaim>, name: &str, size: &str) -> Progress {
    let Ok(wanted) = Quantity::parse(size) else {
        return Progress::new(ActionPhase::Failed, format!("\"{size}\" is no quantity: write a size as in 5Gi"));
    };
    let claim = match claims.get_opt(name).await {
        Ok(Some(claim)) => claim,
        Ok(None) => return Progress::new(ActionPhase::Failed, format!("there is no claim {name}")),
        Err(error) => return Progress::new(ActionPhase::Pending, format!("claim {name} could not be read: {error}")),
    };
    if requested(&claim).is_some_and(|requested| requested >= wanted) || !is_bound(&claim) {
        return progress(&claim, &wanted);
    }
    let patch = json!({"spec": {"resources": {"requests": {STORAGE: size}}}});
    let how = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    match claims.patch(name, &how, &Patch::Merge(patch)).await {
        Ok(claim) => progress(&claim, &wanted),
        Err(error) => refusal(&claim, name, &error),
    }
}

/// The phase of the expansion of a claim to `wanted`, by its capacity and conditions.
#[must_use]
pub fn progress(claim: &PersistentVolumeClaim, wanted: &Quantity) -> Progress {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let size = wanted.text();
    if capacity(claim).is_some_and(|capacity| capacity >= *wanted) {
        return Progress::new(ActionPhase::Done, format!("claim {name} has {size}"));
    }
    if !is_bound(claim) {
        return Progress::new(ActionPhase::Pending, format!("claim {name} has no volume yet"));
    }
    if let Some(reason) = failure(claim) {
        return Progress::new(
            ActionPhase::Failed,
            format!("the volume of claim {name} does not grow to {size}: {reason}"),
        );
    }
    if has(claim, "FileSystemResizePending") {
        let message =
            format!("the volume of claim {name} has grown to {size}; its filesystem follows where it is mounted");
        return Progress::new(ActionPhase::Running, message);
    }
    if has(claim, "Resizing") {
        return Progress::new(ActionPhase::Running, format!("the volume of claim {name} grows to {size}"));
    }
    Progress::new(
        ActionPhase::Pending,
        format!("claim {name} asks for {size}; its storage has not begun to grow the volume"),
    )
}

fn refusal(claim: &PersistentVolumeClaim, name: &str, error: &kube::Error) -> Progress {
    let kube::Error::Api(status) = error else {
        return Progress::new(ActionPhase::Pending, format!("claim {name} could not be changed: {error}"));
    };
    if status.message.contains(NOT_EXPANDABLE) {
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
        let message = match class {
            Some(class) if !class.is_empty() => format!(
                "storage class {class} does not let claim {name} grow: set allowVolumeExpansion: true on the class if its storage can"
            ),
            _ => format!("claim {name} cannot grow: its volume was not made by a storage class"),
        };
        return Progress::new(ActionPhase::Failed, message);
    }
    match status.code {
        403 | 422 => {
            Progress::new(ActionPhase::Failed, format!("the API server refuses claim {name}: {}", status.message))
        }
        _ => Progress::new(ActionPhase::Pending, format!("claim {name} could not be changed: {}", status.message)),
    }
}

fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    Quantity::parse(&requests.get(STORAGE)?.0).ok()
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let capacity = claim.status.as_ref()?.capacity.as_ref()?;
    Quantity::parse(&capacity.get(STORAGE)?.0).ok()
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

fn has(claim: &PersistentVolumeClaim, condition: &str) -> bool {
    let conditions = claim.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|one| one.type_ == condition && one.status == "True")
}

/// The storage provider's reason for a failed expansion.
fn failure(claim: &PersistentVolumeClaim) -> Option<String> {
    let status = claim.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let failed = |type_: &str| matches!(type_, "ControllerResizeError" | "NodeResizeError");
    let mut failed_conditions = conditions.filter(|one| failed(&one.type_) && one.status == "True");
    if let Some(condition) = failed_conditions.next() {
        return Some(condition.message.clone().unwrap_or_else(|| condition.type_.clone()));
    }
    let statuses = status.allocated_resource_statuses.as_ref()?;
    statuses.get(STORAGE).filter(|status| status.ends_with("Infeasible")).cloned()
}

#[cfg(test)]
mod tests;
