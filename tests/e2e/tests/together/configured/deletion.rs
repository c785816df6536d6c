//! What is deleted: claims of former members, and a cluster that is protected.

use e2e::{Connection, Namespace, ensure, eventually};
use serde_json::json;

use super::{CLUSTER, change, configure};

pub fn the_claim_of_a_former_member_goes_if_the_platform_wants_it(namespace: &Namespace) {
    let policy = "when_deleted:retain,when_scaled:delete";
    configure(namespace, &json!({"persistent_volume_claim_retention_policy": policy}));
    eventually("the StatefulSet has the policy", || {
        let set = namespace.get("statefulset", CLUSTER)?;
        let policy = &set["spec"]["persistentVolumeClaimRetentionPolicy"];
        ensure(*policy == json!({"whenDeleted": "Retain", "whenScaled": "Delete"}), policy)
    });
    change(namespace, &json!({"numberOfInstances": 1}));
    eventually("one claim is left", || {
        let claims = namespace.names("pvc", CLUSTER);
        ensure(claims == [format!("pgdata-{CLUSTER}-0")], claims.join(", "))
    });
    namespace.running(CLUSTER);
}

pub fn a_protected_cluster_runs_until_its_annotations_allow_its_deletion(namespace: &Namespace, elsewhere: &Namespace) {
    let keys = json!({
        "delete_annotation_date_key": "delete-date",
        "delete_annotation_name_key": "delete-clustername",
        "enable_secrets_deletion": "false",
        "enable_persistent_volume_claim_deletion": "false",
        "custom_service_annotations": "protected:yes",
    });
    configure(namespace, &keys);
    eventually("the configuration is in effect", || {
        let annotations = namespace.get("service", CLUSTER)?["metadata"]["annotations"].clone();
        ensure(annotations["protected"] == "yes", annotations)
    });
    namespace.running(CLUSTER);
    let lives = namespace.lives(CLUSTER);
    let kept =
        || (namespace.names("secrets", CLUSTER), namespace.names("pvc", CLUSTER), elsewhere.names("secrets", CLUSTER));
    let before = kept();
    namespace.kubectl(&["delete", "postgresql", CLUSTER, "--wait=false"]).unwrap();
    eventually("the status says what allows the deletion", || {
        let allowed = namespace.condition(CLUSTER, "DeletionAllowed")?;
        ensure(allowed["reason"] == "Guarded" && allowed["message"].to_string().contains("delete-date"), &allowed)
    });
    change(namespace, &json!({"databases": {"meanwhile": "zalando"}}));
    eventually("the cluster is kept as before", || {
        let connection = Connection { user: "zalando", database: "meanwhile", host: CLUSTER, mode: "require" };
        namespace.sql(CLUSTER, &connection, "create table if not exists written ()")
    });
    assert_eq!(namespace.lives(CLUSTER), lives);

    let today = namespace.run(&format!("{CLUSTER}-0"), "date --utc +%F").unwrap();
    let allowing = json!({"delete-date": today.trim(), "delete-clustername": CLUSTER});
    namespace.patch("postgresql", CLUSTER, &json!({"metadata": {"annotations": allowing}}));
    eventually("the manifest is gone", || {
        let found = namespace.kubectl(&["get", "postgresql", "--output", "name"])?;
        ensure(found.is_empty(), found)
    });
    let kinds = "statefulset,pod,service,endpoints,poddisruptionbudget,deployment,cronjob";
    eventually("Secrets and claims alone are left", || {
        let left = namespace.names(kinds, CLUSTER);
        ensure(left.is_empty(), left.join(", "))
    });
    assert_eq!(kept(), before);
}
