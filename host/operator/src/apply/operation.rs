//! The write that a desired object needs: a pure function of the desired and the existing object.

use pgloom_common::name::is_patronis;
use pgloom_decide::ownership::Origin;
use pgloom_decide::{BuiltIn, Kind};
use serde_json::Value;

use super::compare::{covers, unchanged};
use crate::cache::CachedObject;

/// The write that a desired object needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The object does not exist: create it.
    Create,
    /// The object is as desired: no write.
    Skip,
    /// The object differs: apply it.
    Apply,
    /// The Zalando operator wrote the object: take over its fields, then apply.
    TakeOver,
    /// The API server refuses to change a field: delete the object, and create it again when it is gone.
    Replace,
    /// An immutable field differs: delete the object with `propagationPolicy: Orphan`, and create it again when it is
    /// gone.
    ReplaceAndOrphan,
}

/// Whether an object of this kind may be deleted and created again if an immutable field differs.
pub fn may_be_replaced(kind: &Kind) -> bool {
    matches!(kind.built_in(), Some(BuiltIn::CronJob | BuiltIn::Deployment | BuiltIn::PodDisruptionBudget))
}

/// The immutable fields of a StatefulSet's `spec`.
const FIXED: [&str; 4] = ["volumeClaimTemplates", "selector", "serviceName", "podManagementPolicy"];

/// The write that a desired object needs.
pub fn operation(desired: &Value, existing: Option<&CachedObject>) -> Operation {
    let Some(existing) = existing else { return Operation::Create };
    if is_created_once(&existing.kind) {
        return Operation::Skip;
    }
    let live = existing.object();
    if existing.kind.is(BuiltIn::StatefulSet) && fixed_fields(desired, &live).next().is_some() {
        return Operation::ReplaceAndOrphan;
    }
    if existing.inherited {
        return Operation::TakeOver;
    }
    match existing.fields() {
        Some(applied) if unchanged(desired, &applied, &live) => Operation::Skip,
        _ => Operation::Apply,
    }
}

/// Whether objects of this kind are created where they are missing and never changed: the leader keeps its lock in the
/// Endpoints; an existing Secret, service account or role binding belongs to the user.
pub fn is_created_once(kind: &Kind) -> bool {
    matches!(kind.built_in(), Some(BuiltIn::Endpoints | BuiltIn::ServiceAccount | BuiltIn::RoleBinding))
}

/// Desires of labels and annotations of claim templates what exists: they cannot be changed, and are no reason to replace a
/// StatefulSet. The claims themselves get the desired ones.
pub fn keep_claim_metadata(desired: &mut Value, live: &Value) {
    let exist = live["spec"]["volumeClaimTemplates"].as_array();
    let templates = desired.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut);
    for template in templates.into_iter().flatten() {
        let is_same = |other: &&Value| other["metadata"]["name"] == template["metadata"]["name"];
        let Some(found) = exist.and_then(|exist| exist.iter().find(is_same)) else { continue };
        for field in ["labels", "annotations"] {
            let value = found["metadata"][field].clone();
            if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove(field);
                if !value.is_null() {
                    metadata.insert(field.to_owned(), value);
                }
            }
        }
    }
}

/// The immutable fields that differ.
fn fixed_fields(desired: &Value, live: &Value) -> impl Iterator<Item = &'static str> {
    FIXED.into_iter().filter(|field| {
        let (desired, live) = (&desired["spec"][field], &live["spec"][field]);
        !desired.is_null() && !covers(desired, live)
    })
}

/// The fields of a StatefulSet that cannot be changed, without labels and annotations of claim templates, which are kept.
pub fn fixed_of(object: &Value) -> Value {
    let mut fields: Value = FIXED.into_iter().map(|field| (field.to_owned(), object["spec"][field].clone())).collect();
    for template in fields["volumeClaimTemplates"].as_array_mut().into_iter().flatten() {
        if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| field != "labels" && field != "annotations");
        }
    }
    fields
}

/// The names of the fields that differ and cannot be changed.
pub fn differing(desired: &Value, live: &Value) -> String {
    fixed_fields(desired, live).collect::<Vec<_>>().join(", ")
}

/// Replaces the fields of `desired` that cannot be changed by those of the object that exists.
pub fn keep_fixed(desired: &mut Value, live: &Value) {
    for field in FIXED {
        if let Some(wanted) = desired["spec"].get_mut(field) {
            *wanted = live["spec"][field].clone();
        }
    }
}

/// Whether the API server refuses a change of a StatefulSet for a field that cannot be changed.
pub fn is_fixed(code: u16, message: &str) -> bool {
    code == 422 && message.contains("updates to statefulset spec")
}

/// Whether an existing object has to be pruned: it is the cluster's, it is no longer desired, it is not one in which Patroni
/// keeps its state, and its kind is not one that is kept for the user, as the StatefulSet is, without which all members are
/// deleted. `desired` returns whether a kind and name is desired. An object of the Zalando operator is pruned only after this
/// operator has applied it once.
pub fn is_superfluous(
    existing: &CachedObject,
    cluster: &str,
    origin: &Origin,
    desired: impl Fn(&Kind, &str) -> bool,
) -> bool {
    let kept_for_the_user = matches!(
        existing.kind.built_in(),
        Some(
            BuiltIn::PersistentVolumeClaim
                | BuiltIn::Pod
                | BuiltIn::StatefulSet
                | BuiltIn::Endpoints
                | BuiltIn::Secret
                | BuiltIn::ServiceAccount
                | BuiltIn::RoleBinding
        )
    );
    let made_for_it = match origin {
        Origin::Marked | Origin::Former => true,
        Origin::Upstream => existing.applied(),
        Origin::Foreign(_) => false,
    };
    let is_patronis = is_patronis(&existing.kind.api_version, &existing.kind.kind, cluster, &existing.name);
    made_for_it && !kept_for_the_user && !is_patronis && !desired(&existing.kind, &existing.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{ClusterKey, Store, Watch};
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use std::sync::Arc;

    fn kept(mut object: Value) -> Arc<CachedObject> {
        let store = Store::default();
        object["metadata"]["namespace"] = json!("ns");
        object["metadata"]["labels"] = json!({"cluster-name": "c"});
        let kind = Kind::of(&object).unwrap();
        let watch =
            store.open(Watch { kind, namespace: None, label: Some("cluster-name".into()), whole: false, own: vec![] });
        store.apply_watcher_event(watch, Event::Apply(object));
        store.objects(&ClusterKey::new("ns", "c")).pop().unwrap()
    }

    fn managed_by_us(fields: Value) -> Value {
        json!([{"manager": "pgloom", "operation": "Apply", "fieldsV1": fields}])
    }

    fn stateful_set(size: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "c"},
            "spec": {"replicas": 2, "volumeClaimTemplates": [{"metadata": {"name": "pgdata"}, "spec": {"resources": {"requests": {"storage": size}}}}]}
        })
    }

    #[test]
    fn only_the_endpoints_and_accounts_of_kubernetes_are_created_once() {
        assert!(is_created_once(&Kind::new("v1", "Endpoints")));
        assert!(is_created_once(&Kind::new("rbac.authorization.k8s.io/v1", "RoleBinding")));
        assert!(!is_created_once(&Kind::new("example.com/v1", "Endpoints")));
    }

    #[test]
    fn what_is_missing_is_created_and_what_is_as_desired_is_left_alone() {
        assert_eq!(operation(&stateful_set("1Gi"), None), Operation::Create);
        let mut live = stateful_set("1Gi");
        live["metadata"]["managedFields"] =
            managed_by_us(json!({"f:spec": {"f:replicas": {}, "f:volumeClaimTemplates": {}}}));
        assert_eq!(operation(&stateful_set("1Gi"), Some(&kept(live))), Operation::Skip);
    }

    #[test]
    fn another_claim_size_replaces_the_stateful_set_and_keeps_its_pods() {
        assert_eq!(operation(&stateful_set("2Gi"), Some(&kept(stateful_set("1Gi")))), Operation::ReplaceAndOrphan);
    }

    #[test]
    fn labels_and_annotations_of_claim_templates_are_no_reason_to_replace_a_stateful_set() {
        let with = |annotations: Value| {
            let mut set = stateful_set("1Gi");
            set["spec"]["volumeClaimTemplates"][0]["metadata"] = json!({"name": "pgdata", "annotations": annotations});
            set
        };
        let live = with(json!({"a": "1"}));
        let after_keeping = |mut desired: Value| {
            keep_claim_metadata(&mut desired, &live);
            operation(&desired, Some(&kept(live.clone())))
        };
        assert_eq!(after_keeping(with(json!({"a": "2"}))), Operation::Apply);
        assert_eq!(after_keeping(stateful_set("1Gi")), Operation::Apply);
        let mut grown = with(json!({"a": "2"}));
        grown["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
        assert_eq!(after_keeping(grown), Operation::ReplaceAndOrphan);
    }

    #[test]
    fn a_stateful_set_is_never_superfluous() {
        for origin in [Origin::Marked, Origin::Former, Origin::Upstream] {
            assert!(!is_superfluous(&kept(stateful_set("1Gi")), "c", &origin, |_, _| false), "{origin:?}");
        }
    }

    #[test]
    fn an_object_of_patroni_is_never_superfluous() {
        for kind in ["ConfigMap", "Endpoints", "Service"] {
            for suffix in ["-config", "-failover", "-leader", "-sync"] {
                let metadata =
                    json!({"name": format!("c{suffix}"), "managedFields": managed_by_us(json!({"f:spec": {}}))});
                let existing = kept(json!({"apiVersion": "v1", "kind": kind, "metadata": metadata}));
                for origin in [Origin::Marked, Origin::Former, Origin::Upstream] {
                    assert!(!is_superfluous(&existing, "c", &origin, |_, _| false), "{kind} {suffix} {origin:?}");
                }
            }
        }
        let other = kept(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c-settings"}}));
        assert!(is_superfluous(&other, "c", &Origin::Marked, |_, _| false));
    }

    #[test]
    fn the_endpoints_of_the_leader_are_never_written_again() {
        let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "c"}});
        let mut desired = endpoints.clone();
        desired["subsets"] = json!([]);
        assert_eq!(operation(&desired, Some(&kept(endpoints))), Operation::Skip);
    }

    #[test]
    fn what_the_operator_that_came_before_wrote_is_taken_over() {
        let mut live = stateful_set("1Gi");
        live["metadata"]["managedFields"] =
            json!([{"manager": "postgres-operator", "operation": "Update", "fieldsV1": {}}]);
        assert_eq!(operation(&stateful_set("1Gi"), Some(&kept(live))), Operation::TakeOver);
    }

    #[test]
    fn only_what_was_made_for_the_cluster_and_is_no_longer_desired_is_superfluous() {
        let job = |managed: Value| {
            let metadata = json!({"name": "b", "managedFields": managed});
            kept(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata}))
        };
        let (ours, theirs) = (job(managed_by_us(json!({"f:spec": {}}))), job(json!([])));
        let nothing = |_: &Kind, _: &str| false;
        assert!(is_superfluous(&ours, "c", &Origin::Marked, nothing));
        assert!(is_superfluous(&theirs, "c", &Origin::Marked, nothing), "its fields may not be taken over yet");
        assert!(is_superfluous(&theirs, "c", &Origin::Former, nothing));
        assert!(is_superfluous(&ours, "c", &Origin::Upstream, nothing));
        assert!(!is_superfluous(&theirs, "c", &Origin::Upstream, nothing));
        assert!(!is_superfluous(&ours, "c", &Origin::Foreign("no mark".into()), nothing));
        assert!(!is_superfluous(&ours, "c", &Origin::Marked, |kind, name| kind.is(BuiltIn::CronJob) && name == "b"));
        for kind in ["PersistentVolumeClaim", "Secret"] {
            let object = kept(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "p"}}));
            assert!(!is_superfluous(&object, "c", &Origin::Marked, nothing), "{kind}");
        }
    }
}
