//! A recorded series of changes of one cluster, with the Zalando operator's writes for each.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::case::{self, Case};

/// The folder of the series, in that of a release.
pub const FOLDER: &str = "_update";

/// One change.
#[derive(Debug)]
pub struct Change {
    /// The change's name, and the manifest after it with the configuration.
    pub case: Case,
    /// The objects that were written as a whole, in their last state of the step.
    pub made: Vec<Value>,
    /// `Kind/name` of the objects that were deleted and not created again.
    pub deleted: Vec<String>,
}

/// Reads all steps but the deletion of the cluster.
///
/// # Errors
/// If a file cannot be read.
pub fn read(release: &Path) -> Result<Vec<Change>> {
    let folder = release.join(FOLDER);
    let recorded = case::one(&folder.join("steps.yaml"))?;
    let config = case::one(&folder.join("config.yaml"))?;
    let mut manifest = case::one(&folder.join("manifest.yaml"))?;
    let namespace = recorded.pointer("/0/writes").and_then(Value::as_array).into_iter().flatten();
    let namespace = namespace.map(|write| &write["body"]["metadata"]["namespace"]).find(|it| it.is_string());
    manifest["metadata"]["namespace"] = namespace.context("no write names a namespace")?.clone();
    manifest["metadata"]["uid"] = json!(case::UID);
    let mut steps = Vec::new();
    for step in recorded.as_array().into_iter().flatten().filter(|step| step["step"] != "delete") {
        json_patch::merge(&mut manifest, &step["merge_patch"]);
        let writes = step["writes"].as_array().cloned().unwrap_or_default();
        let made = made(&writes);
        steps.push(Change {
            deleted: deleted(&writes)
                .into_iter()
                .filter(|gone| made.iter().all(|it| case::identity(it) != *gone))
                .collect(),
            made,
            case: Case {
                name: step["step"].as_str().unwrap_or_default().to_owned(),
                manifest: manifest.clone(),
                config: config.clone(),
                prerequisites: Vec::new(),
                made: Vec::new(),
                stored: Vec::new(),
                refused: None,
            },
        });
    }
    Ok(steps)
}

/// The accepted writes: whole objects of `create` and `update`, and a patch of a StatefulSet, which has its whole
/// `spec`.
fn made(writes: &[Value]) -> Vec<Value> {
    let mut made: Vec<Value> = Vec::new();
    for write in writes.iter().filter(|write| write["code"].as_u64().is_some_and(|code| code < 300)) {
        let mut object = write["body"].clone();
        match (write["verb"].as_str().unwrap_or_default(), write["resource"].as_str().unwrap_or_default()) {
            (_, "postgresqls/status" | "persistentvolumeclaims" | "pods" | "endpoints") => continue,
            ("create", _) => {}
            ("update", _) => {
                // The operator read the values that the API server chose before it wrote.
                for field in ["clusterIP", "clusterIPs"] {
                    object["spec"].as_object_mut().and_then(|spec| spec.remove(field));
                }
            }
            ("patch", "statefulsets") => {
                object["apiVersion"] = json!("apps/v1");
                object["kind"] = json!("StatefulSet");
                object["metadata"] = json!({"name": write["name"]});
                for claim in object["spec"]["volumeClaimTemplates"].as_array_mut().into_iter().flatten() {
                    claim.as_object_mut().and_then(|claim| claim.remove("status"));
                }
            }
            _ => continue,
        }
        made.retain(|earlier| case::identity(earlier) != case::identity(&object));
        made.push(object);
    }
    made
}

fn deleted(writes: &[Value]) -> Vec<String> {
    let kind = |resource: &str| match resource {
        "cronjobs" => Some("CronJob"),
        "deployments" => Some("Deployment"),
        "services" => Some("Service"),
        "secrets" => Some("Secret"),
        "statefulsets" => Some("StatefulSet"),
        _ => None,
    };
    let gone = writes.iter().filter(|write| write["verb"] == "delete");
    gone.filter_map(|write| Some(format!("{}/{}", kind(write["resource"].as_str()?)?, write["name"].as_str()?)))
        .collect()
}
