//! The end of a cluster: what is removed, stage by stage, when its manifest is deleted.
//!
//! A stage begins when the one before has nothing left, so that no member comes back and finds its Services gone. Nothing
//! here rests on the manifest being valid.

use kube::api::DeleteParams;
use pgloom_decide::Kind;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::ownership::{Origin, PATRONI};
use serde_json::Value;

use super::{Error, Writer, has_deletion_timestamp, uid};
use crate::cache::ClusterKey;

/// What the operator puts on a manifest so that it is asked before the manifest goes.
pub const FINALIZER: &str = "postgres-operator.acid.zalan.do";

/// What of a cluster stays when its manifest is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The claims, with the data.
    pub claims: bool,
    /// The credentials.
    pub secrets: bool,
}

/// An object of the cluster that exists, as far as a deletion goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Remains {
    /// Its kind.
    pub kind: Kind,
    /// The cluster by whose key it is found: its namespace may be another one than the manifest's.
    pub key: ClusterKey,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
    /// Whether it is being deleted.
    pub ending: bool,
}

impl Remains {
    fn of(key: &ClusterKey, kind: &Kind, object: &Value) -> Self {
        Self {
            kind: kind.clone(),
            key: key.clone(),
            name: ObjectKey::of(object).name.to_owned(),
            uid: uid(object),
            ending: has_deletion_timestamp(object),
        }
    }
}

/// The objects of the first stage that has any left; empty if nothing is left.
pub fn stage(remains: &[Remains], keep: Keep) -> Vec<&Remains> {
    let numbered = remains.iter().filter_map(|object| Some((number(object, keep)?, object)));
    let first = numbered.clone().map(|(number, _)| number).min();
    numbered.filter(|(number, _)| Some(*number) == first).map(|(_, object)| object).collect()
}

/// The stage in which an object is removed; `None` if it stays.
fn number(object: &Remains, keep: Keep) -> Option<u8> {
    match &*object.kind.kind {
        // What would make new pods goes before the pods.
        "CronJob" | "Deployment" => Some(0),
        "StatefulSet" => Some(1),
        "Pod" => Some(2),
        "PersistentVolumeClaim" => (!keep.claims).then_some(3),
        "Secret" => (!keep.secrets).then_some(4),
        "PodDisruptionBudget" => Some(5),
        "Endpoints" => Some(6),
        "Service" => Some(7),
        "ServiceAccount" | "RoleBinding" => None,
        _ => Some(8),
    }
}

/// Why a deletion has to wait for its annotations; `None` if it may go on. `date_key` and `name_key` are the configured
/// names of the annotations, empty where none is asked for; `today` is as in `2031-05-14`.
pub fn guard(annotations: &Value, name: &str, date_key: &str, name_key: &str, today: &str) -> Option<String> {
    let lacking = |key: &str, wanted: &str| {
        let lacks = !key.is_empty() && annotations[key] != wanted;
        lacks.then(|| format!("the manifest is kept until its annotation {key} is {wanted}"))
    };
    lacking(date_key, today).or_else(|| lacking(name_key, name))
}

/// Removes what is left of the first stage; whether anything was left.
pub async fn advance(writer: &Writer, key: &ClusterKey, keep: Keep) -> Result<bool, Error> {
    let mut remains = Vec::new();
    for kept in writer.store.objects(key) {
        let object = kept.object();
        if writer.origin(&object).is_own() {
            remains.push(Remains::of(key, &kept.kind, &object));
        }
    }
    for (elsewhere, kept) in writer.store.namesakes(key) {
        let object = kept.object();
        if is_made_elsewhere(writer, key, &object) {
            remains.push(Remains::of(&elsewhere, &kept.kind, &object));
        }
    }
    let left = stage(&remains, keep);
    remove(writer, &left).await?;
    Ok(!left.is_empty())
}

/// Whether an object in another namespace is the cluster's. Without a mark it may be that of a cluster of the same name in that
/// namespace.
fn is_made_elsewhere(writer: &Writer, key: &ClusterKey, object: &Value) -> bool {
    let ObjectKey { namespace, .. } = ObjectKey::of(object);
    matches!(writer.origin(object), Origin::Marked | Origin::Former)
        || writer.identity.is_upstream_elsewhere(object)
            && writer.store.manifest(&ClusterKey::new(namespace, &key.name)).is_none()
}

/// Removes what the watches have not reported, or do not report, as the API server has it now; whether anything was left.
/// `kinds` are those beyond every cluster's of which objects were made; `everywhere` is whether Secrets of other
/// namespaces are looked for.
pub async fn advance_unwatched(
    writer: &Writer,
    key: &ClusterKey,
    keep: Keep,
    kinds: &[Kind],
    everywhere: bool,
) -> Result<bool, Error> {
    let selector = writer.identity.name_selector();
    let mut remains = Vec::new();
    let made_by_kubernetes = [("Pod", false), ("PersistentVolumeClaim", keep.claims)];
    for (kind, _) in made_by_kubernetes.into_iter().filter(|(_, kept)| !kept) {
        let kind = Kind::new("v1", kind);
        let objects = writer.list(Some(key), &kind, Some(&selector)).await?;
        let own = objects.iter().filter(|object| writer.origin(object).is_own());
        remains.extend(own.map(|object| Remains::of(key, &kind, object)));
    }
    for kind in kinds {
        let objects = writer.list(Some(key), kind, None).await?;
        let own = objects.iter().filter(|object| writer.origin(object).is_own());
        remains.extend(own.map(|object| Remains::of(key, kind, object)));
    }
    if everywhere && !keep.secrets {
        let kind = Kind::new("v1", "Secret");
        let objects = writer.list(None, &kind, Some(&selector)).await?;
        let marked = objects.iter().filter(|object| is_made_elsewhere(writer, key, object));
        remains
            .extend(marked.map(|object| {
                Remains::of(&ClusterKey::new(ObjectKey::of(object).namespace, &key.name), &kind, object)
            }));
    }
    let left: Vec<&Remains> = remains.iter().collect();
    remove(writer, &left).await?;
    Ok(!left.is_empty())
}

/// Deletes objects that are not being deleted yet. One that cannot be deleted does not keep the others; the first error is
/// returned when all have been tried.
async fn remove(writer: &Writer, left: &[&Remains]) -> Result<(), Error> {
    let mut failed = None;
    for object in left.iter().filter(|object| !object.ending) {
        let Remains { kind, key, name, uid, ending: _ } = object;
        if let Err(error) = writer.delete(key, kind, name, uid.clone(), &DeleteParams::background()).await {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Removes what Patroni keeps under names of its own, if it is this cluster's: the name alone may be that of another
/// cluster's object, or of an application's.
pub async fn sweep(writer: &Writer, key: &ClusterKey) -> Result<(), Error> {
    for suffix in PATRONI {
        for kind in ["Endpoints", "Service", "ConfigMap"] {
            let (kind, name) = (Kind::new("v1", kind), format!("{}{suffix}", key.name));
            let Some(object) = writer.read(key, &kind, &name).await? else { continue };
            if writer.origin(&object).is_own() {
                writer.delete(key, &kind, &name, uid(&object), &DeleteParams::background()).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOTHING: Keep = Keep { claims: false, secrets: false };

    fn object(kind: &str, name: &str) -> Remains {
        let kind = pgloom_decide::kind::of_every_cluster()
            .into_iter()
            .find(|known| known.is(kind))
            .unwrap_or_else(|| Kind::new("v1", kind));
        Remains { kind, key: ClusterKey::new("ns", "c"), name: name.into(), uid: None, ending: false }
    }

    fn whole_cluster() -> Vec<Remains> {
        [
            ("Service", "c"),
            ("Service", "c-repl"),
            ("Endpoints", "c"),
            ("Secret", "postgres.c"),
            ("Pod", "c-0"),
            ("Pod", "c-1"),
            ("PersistentVolumeClaim", "pgdata-c-0"),
            ("StatefulSet", "c"),
            ("Deployment", "c-pooler"),
            ("CronJob", "logical-backup-c"),
            ("PodDisruptionBudget", "postgres-c-pdb"),
            ("ServiceAccount", "postgres-pod"),
            ("NetworkPolicy", "c"),
        ]
        .map(|(kind, name)| object(kind, name))
        .to_vec()
    }

    /// The kinds in the order in which they go.
    fn order(keep: Keep) -> Vec<String> {
        let mut remains = whole_cluster();
        let mut order = Vec::new();
        loop {
            let stage: Vec<Remains> = stage(&remains, keep).into_iter().cloned().collect();
            let Some(first) = stage.first() else { return order };
            order.push(first.kind.kind.to_string());
            remains.retain(|object| !stage.contains(object));
        }
    }

    #[test]
    fn a_cluster_is_taken_down_from_what_makes_pods_to_its_services() {
        assert_eq!(
            order(NOTHING),
            [
                "Deployment",
                "StatefulSet",
                "Pod",
                "PersistentVolumeClaim",
                "Secret",
                "PodDisruptionBudget",
                "Endpoints",
                "Service",
                "NetworkPolicy"
            ]
        );
    }

    #[test]
    fn claims_and_secrets_stay_where_the_configuration_says_so() {
        let kinds = order(Keep { claims: true, secrets: true });
        assert!(!kinds.contains(&"PersistentVolumeClaim".to_owned()));
        assert!(!kinds.contains(&"Secret".to_owned()));
    }

    #[test]
    fn the_next_stage_waits_for_what_is_still_ending() {
        let pod = Remains { ending: true, ..object("Pod", "c-0") };
        let remains = [pod.clone(), object("Service", "c")];
        assert_eq!(stage(&remains, NOTHING), [&pod]);
    }

    #[test]
    fn a_guarded_manifest_is_deleted_only_with_todays_date_and_its_own_name() {
        let check = |annotations: Value| guard(&annotations, "c", "delete-date", "delete-clustername", "2031-05-14");
        assert_eq!(
            check(json!({})).as_deref(),
            Some("the manifest is kept until its annotation delete-date is 2031-05-14")
        );
        assert!(check(json!({"delete-date": "2031-05-14", "delete-clustername": "d"})).is_some());
        assert_eq!(check(json!({"delete-date": "2031-05-14", "delete-clustername": "c"})), None);
        assert_eq!(guard(&json!({}), "c", "", "", "2031-05-14"), None);
    }
}
