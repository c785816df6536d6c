//! The deletion of a cluster: its objects are deleted stage by stage after its manifest was.
//!
//! A stage begins when all objects of the stage before it are gone, so that no member is restarted without its
//! Services. The manifest need not be valid.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::DeleteParams;
use pgloom_common::name::PATRONI;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::ownership::Origin;
use pgloom_decide::{BuiltIn, Kind};
use serde_json::Value;

use super::{Error, Writer, has_deletion_timestamp, uid};
use crate::cache::ClusterKey;

/// The finalizer of manifests: the API server keeps a deleted manifest until the operator removes it.
pub const FINALIZER: &str = "postgres-operator.acid.zalan.do";

/// The objects that a deletion keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// PersistentVolumeClaims, with the data: `enable_persistent_volume_claim_deletion` is false.
    pub claims: bool,
    /// Secrets with credentials: `enable_secrets_deletion` is false.
    pub secrets: bool,
}

/// Where a cluster may have objects that no watch reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The recorded kinds beyond those of every cluster.
    pub kinds: Vec<Kind>,
    /// The other namespaces in which Secrets were created.
    pub namespaces: BTreeSet<String>,
    /// Whether Secrets of users may be in any namespace.
    pub everywhere: bool,
}

/// An existing object of a deleted cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Remains {
    /// The kind.
    pub kind: Kind,
    /// The key under which the cache has it. Its namespace may be another one than the manifest's.
    pub key: ClusterKey,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// Whether it has a deletion timestamp.
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

/// The objects of the first stage that is not complete; empty if none are left.
pub fn stage(remains: &[Remains], keep: Keep) -> Vec<&Remains> {
    let numbered = remains.iter().filter_map(|object| Some((number(object, keep)?, object)));
    let first = numbered.clone().map(|(number, _)| number).min();
    numbered.filter(|(number, _)| Some(*number) == first).map(|(_, object)| object).collect()
}

/// The stage in which an object is deleted; `None` if it is kept.
fn number(object: &Remains, keep: Keep) -> Option<u8> {
    let Some(kind) = object.kind.built_in() else { return Some(8) };
    match kind {
        // Controllers are deleted before their pods, because they would create new ones.
        BuiltIn::CronJob | BuiltIn::Deployment => Some(0),
        BuiltIn::StatefulSet => Some(1),
        BuiltIn::Pod => Some(2),
        BuiltIn::PersistentVolumeClaim => (!keep.claims).then_some(3),
        BuiltIn::Secret => (!keep.secrets).then_some(4),
        BuiltIn::PodDisruptionBudget => Some(5),
        BuiltIn::Endpoints => Some(6),
        BuiltIn::Service => Some(7),
        BuiltIn::ServiceAccount | BuiltIn::RoleBinding => None,
        BuiltIn::ConfigMap => Some(8),
    }
}

/// The reason why a deletion waits for annotations; `None` if it may continue. `date_key` and `name_key` are the values
/// of `delete_annotation_date_key` and `delete_annotation_name_key`, empty if not set; `today` is as in `2031-05-14`.
pub fn guard(
    annotations: &BTreeMap<String, String>,
    name: &str,
    date_key: &str,
    name_key: &str,
    today: &str,
) -> Option<String> {
    let lacking = |key: &str, wanted: &str| {
        let lacks = !key.is_empty() && annotations.get(key).is_none_or(|value| value != wanted);
        lacks.then(|| format!("the manifest is kept until its annotation {key} is {wanted}"))
    };
    lacking(date_key, today).or_else(|| lacking(name_key, name))
}

/// Deletes the objects of the first stage that is not complete. Returns whether there were any.
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

/// What the API server has of a cluster that no watch reports.
#[derive(Debug)]
pub struct Unwatched {
    /// Whether there were any objects.
    pub left: bool,
    /// Why it is not known whether there are objects of a recorded kind: the first reason.
    pub unlisted: Option<Error>,
}

/// Lists the cluster's objects in the API server, because the cache may lack some, and deletes them. A recorded kind that
/// cannot be listed holds no other one.
pub async fn advance_unwatched(
    writer: &Writer,
    key: &ClusterKey,
    keep: Keep,
    recorded: &Recorded,
) -> Result<Unwatched, Error> {
    let selector = writer.identity.name_selector();
    let mut remains = Vec::new();
    let made_by_kubernetes = [("Pod", false), ("PersistentVolumeClaim", keep.claims)];
    for (kind, _) in made_by_kubernetes.into_iter().filter(|(_, kept)| !kept) {
        let kind = Kind::new("v1", kind);
        let objects = writer.list(Some(key), &kind, Some(&selector)).await?;
        let own = objects.iter().filter(|object| writer.origin(object).is_own());
        remains.extend(own.map(|object| Remains::of(key, &kind, object)));
    }
    let mut unlisted = None;
    for kind in &recorded.kinds {
        let objects = match writer.list(Some(key), kind, None).await {
            Ok(objects) => objects,
            Err(error) => {
                unlisted.get_or_insert(error);
                continue;
            }
        };
        let own = objects.iter().filter(|object| writer.origin(object).is_own());
        remains.extend(own.map(|object| Remains::of(key, kind, object)));
    }
    for place in if keep.secrets { Vec::new() } else { places_of_secrets(key, recorded) } {
        let kind = Kind::new("v1", "Secret");
        let objects = writer.list(place.as_ref(), &kind, Some(&selector)).await?;
        let marked = objects.iter().filter(|object| is_made_elsewhere(writer, key, object));
        remains
            .extend(marked.map(|object| {
                Remains::of(&ClusterKey::new(ObjectKey::of(object).namespace, &key.name), &kind, object)
            }));
    }
    let left: Vec<&Remains> = remains.iter().collect();
    remove(writer, &left).await?;
    Ok(Unwatched { left: !left.is_empty(), unlisted })
}

/// Where Secrets in other namespaces are looked for; `None` is every namespace.
fn places_of_secrets(key: &ClusterKey, recorded: &Recorded) -> Vec<Option<ClusterKey>> {
    if recorded.everywhere {
        return vec![None];
    }
    recorded.namespaces.iter().map(|namespace| Some(ClusterKey::new(namespace, &key.name))).collect()
}

/// Deletes the objects without a deletion timestamp. After an error it continues with the others, and returns the first
/// error at the end.
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

/// Deletes Patroni's own objects of this cluster. The name is no proof: it may be that of another cluster's or of an
/// application's object.
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
            .find(|known| &*known.kind == kind)
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

    /// The kinds in the order in which they are deleted.
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
        let check = |annotations: Value| {
            let annotations = serde_json::from_value(annotations).unwrap();
            guard(&annotations, "c", "delete-date", "delete-clustername", "2031-05-14")
        };
        assert_eq!(
            check(json!({})).as_deref(),
            Some("the manifest is kept until its annotation delete-date is 2031-05-14")
        );
        assert!(check(json!({"delete-date": "2031-05-14", "delete-clustername": "d"})).is_some());
        assert_eq!(check(json!({"delete-date": "2031-05-14", "delete-clustername": "c"})), None);
        assert_eq!(guard(&BTreeMap::new(), "c", "", "", "2031-05-14"), None);
    }
}
