//! The operator configuration and the metadata of a manifest change a cluster that runs: its objects, roles, pools, pods
//! and its deletion. The operator of this test has a configuration of its own.

mod deletion;
mod objects;
mod pods;
mod pools;
mod roles;

use e2e::{Namespace, Operator, configuration, has_cluster, minimal, namespace, of_operator, one_member_per_node};
use serde_json::{Value, json};

const ID: &str = "configured";
const CLUSTER: &str = "acid-configured";
/// The namespace of a user's Secret. The operator does not watch it.
const ELSEWHERE: &str = "e2e-configured-user";

#[test]
fn a_cluster_that_runs_follows_the_operator_configuration() {
    if !has_cluster("configured") {
        return;
    }
    let namespace = namespace("configured");
    let elsewhere = Namespace::named(ELSEWHERE);
    let nodes = pods::Labelled::all();
    let keys = json!({
        // A role that was made by hand and a Deployment that was deleted are found by no event.
        "resync_period": "5s",
        "repair_period": "5s",
        "enable_cross_namespace_secret": "true",
        "node_readiness_label": nodes.key(),
        "node_readiness_label_merge": "AND",
    });
    namespace.apply(&configuration(&keys));
    let mut operator = Operator::start(ID, &namespace.name, ["--config-map", "pgloom"], "info");
    namespace.apply(&manifest());
    namespace.running(CLUSTER);
    let lives = namespace.lives(CLUSTER);

    roles::owners_are_members_of_the_additional_owner_role_and_it_is_a_member_of_no_owner(&namespace);
    roles::a_secret_in_another_namespace_opens_the_database(&namespace, &elsewhere);
    roles::all_passwords_rotate_but_those_of_users_that_are_left_out(&namespace, &elsewhere);
    pools::a_deployment_of_somebody_else_is_left_and_named_and_holds_nothing_up(&namespace);
    pools::an_edited_pool_is_put_right(&namespace);
    pools::the_pools_lead_to_the_leader_and_to_the_replica(&namespace);
    objects::every_object_has_its_owner_while_the_platform_wants_it(&namespace);
    objects::annotations_load_balancers_and_the_image_of_backups_reach_what_runs(&namespace);
    objects::ignored_annotations_are_left_as_others_set_them(&namespace, &mut operator);
    pools::each_pool_goes_with_its_user_list(&namespace);
    assert_eq!(namespace.lives(CLUSTER), lives, "all of this restarted no member");

    pods::the_members_are_spread_and_the_leader_leaves_a_node_that_loses_its_label(&namespace, &nodes);
    pods::a_new_image_waits_for_the_next_restart_while_upgrades_are_lazy(&namespace);
    deletion::the_claim_of_a_former_member_goes_if_the_platform_wants_it(&namespace);
    pods::capabilities_and_bounds_of_resources_reach_the_pods(&namespace);
    deletion::a_protected_cluster_runs_until_its_annotations_allow_its_deletion(&namespace, &elsewhere);
    drop(operator);
}

fn manifest() -> Value {
    let mut manifest = of_operator(minimal(CLUSTER, 2), ID);
    let spec = json!({
        "preparedDatabases": {"bar": {}},
        "topologySpreadConstraints": [one_member_per_node(CLUSTER)],
        "enableLogicalBackup": true,
        // Once a year: no job runs in the test.
        "logicalBackupSchedule": "7 7 7 7 *",
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest
}

/// Changes keys of the operator configuration.
fn configure(namespace: &Namespace, keys: &Value) {
    namespace.patch("configmap", "pgloom", &json!({"data": keys}));
}

/// Changes the `spec` of the manifest.
fn change(namespace: &Namespace, spec: &Value) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": spec}));
}
