//! The members of the cluster that run, each with its claim. Volumes of members that were scaled down do not change.

use pgloom_kit::common::quantity::Quantity;
use pgloom_kit::{Result, Value};

use crate::Request;

/// The id of the selector of PersistentVolumeClaims.
pub const CLAIMS: &str = "claims";
/// The id of the selector of Pods.
pub const PODS: &str = "pods";
/// The prefix of the names of claims.
const CLAIM: &str = "pgdata-";

/// A member that runs.
pub struct Member {
    /// The name of its Pod.
    pub pod: String,
    /// The name of its PersistentVolumeClaim.
    pub claim: String,
    /// `spec.resources.requests.storage` of the claim.
    pub requested: Quantity,
    /// `status.capacity.storage` of the claim; none while it is not bound.
    pub capacity: Option<Quantity>,
    /// The message of a condition of the claim that reports an error of the storage provider.
    pub problem: Option<String>,
}

/// All members that have a Pod and a claim, by number.
///
/// # Errors
/// If the host sent an object that cannot be read.
pub fn members(request: &Request) -> Result<Vec<Member>> {
    let cluster = request.cluster.name.as_str();
    let claims = request.observed::<Value>(CLAIMS)?;
    let mut members = Vec::new();
    for (pod, _) in request.observed::<Value>(PODS)? {
        let Some(number) = number(&pod, cluster) else { continue };
        let claim = format!("{CLAIM}{pod}");
        let found = claims.iter().find(|(name, _)| *name == claim).and_then(|(_, object)| read(&claim, &pod, object));
        members.extend(found.map(|member| (number, member)));
    }
    members.sort_by_key(|(number, _)| *number);
    Ok(members.into_iter().map(|(_, member)| member).collect())
}

fn number(pod: &str, cluster: &str) -> Option<u32> {
    pod.strip_prefix(cluster)?.strip_prefix('-')?.parse().ok()
}

fn read(claim: &str, pod: &str, object: &Value) -> Option<Member> {
    let quantity = |value: &Value| Quantity::parse(value.as_str()?).ok();
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut problems = conditions.filter(|condition| {
        condition["status"] == "True" && condition["type"].as_str().is_some_and(|kind| kind.ends_with("Error"))
    });
    Some(Member {
        pod: pod.to_owned(),
        claim: claim.to_owned(),
        requested: quantity(&object["spec"]["resources"]["requests"]["storage"])?,
        capacity: quantity(&object["status"]["capacity"]["storage"]),
        problem: problems.next().map(|problem| problem["message"].as_str().unwrap_or_default().to_owned()),
    })
}

impl Member {
    /// Whether the volume is smaller, as far as Kubernetes knows its capacity.
    pub fn is_smaller(&self, size: &Quantity) -> bool {
        self.capacity.as_ref().unwrap_or(&self.requested) < size
    }
}
