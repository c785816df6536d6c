//! Members of the cluster that run, each with its claim. Volumes of members that were scaled down are left as they are.

use pgloom_kit::common::quantity::Quantity;
use pgloom_kit::{Result, Value};

use crate::Request;

/// The selector of claims.
pub const CLAIMS: &str = "claims";
/// The selector of pods.
pub const PODS: &str = "pods";
/// What claims' names start with.
const CLAIM: &str = "pgdata-";

/// A member that runs.
pub struct Member {
    /// Its pod.
    pub pod: String,
    /// Its claim.
    pub claim: String,
    /// What the claim asks for.
    pub requested: Quantity,
    /// What it has; nothing while it is not bound.
    pub capacity: Option<Quantity>,
    /// What the storage provider could not do.
    pub problem: Option<String>,
}

/// All members that have a pod and a claim, by number.
///
/// # Errors
/// If the host sent something that cannot be read.
pub fn members(request: &Request) -> Result<Vec<Member>> {
    let cluster = request.cluster.name.as_str();
    let claims = request.observed::<Value>(CLAIMS)?;
    let mut members = Vec::new();
    for (pod, _) in request.observed::<Value>(PODS)? {
        let Some(number) = number(&pod, cluster) else { continue };
        let claim = [CLAIM, &pod].concat();
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
    /// Whether the volume itself, as far as Kubernetes knows, is smaller.
    pub fn is_smaller(&self, size: &Quantity) -> bool {
        self.capacity.as_ref().unwrap_or(&self.requested) < size
    }
}
