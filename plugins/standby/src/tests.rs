//! Tests of the plugin.

use pgloom_kit::bindings::contract::Condition;
use pgloom_kit::bootstrap::variables::of_standby;
use pgloom_kit::container::{env, name_of};
use pgloom_kit::testing::upstream::cases;
use pgloom_kit::testing::{Answer, Call, operator_config, reason};
use pgloom_kit::{Action, ActionPhase, ConditionStatus, Value, json};

use crate::Standby;

fn call(spec: Value) -> Call {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-follower", "namespace": "shop"},
        "spec": {"teamId": "acid", "numberOfInstances": 1},
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let config = operator_config(&json!({}));
    Call::new(&manifest).operator_config(&config).desired(&statefulset(&["SCOPE", "KUBERNETES_BOOTSTRAP_LABELS"], 1))
}

fn statefulset(variables: &[&str], generation: i64) -> Value {
    let variables: Vec<Value> = variables.iter().map(|name| env(name, "x")).collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "acid-follower", "uid": "2f6a", "generation": generation},
        "spec": {"template": {"spec": {"containers": [{"name": "postgres", "env": variables}]}}},
    })
}

fn variables(answer: &Answer) -> &[Value] {
    let list = answer.objects[0].pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    assert_eq!(list[0], json!({"name": "KUBERNETES_BOOTSTRAP_LABELS"}));
    &list[1..]
}

fn condition(answer: &Answer) -> (&str, ConditionStatus, &str, &str) {
    let [Condition { type_name, status, reason, message }] = &answer.response.conditions[..] else {
        panic!("{:?}", answer.response.conditions)
    };
    (type_name, *status, reason, message)
}

#[test]
fn standbys_are_as_recorded() {
    for case in cases("standbys_are_as_recorded") {
        if case.manifest["spec"]["standby"].is_null() {
            continue;
        }
        let recorded = case.created("StatefulSet", |_| true)[0];
        let list = recorded.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
        let first = list.iter().position(|entry| entry["name"].as_str().unwrap().starts_with("STANDBY_")).unwrap();
        let mut desired = recorded.clone();
        *desired.pointer_mut("/spec/template/spec/containers/0/env").unwrap() = json!(list[..first]);
        let answer = case.call().desired(&desired).mutate::<Standby>().unwrap();
        let made = answer.objects[0].pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
        assert_eq!(made[0], json!({"name": list[first - 1]["name"]}), "{}", case.name);
        let texts = |list: &[Value]| -> Vec<(Value, String)> {
            list.iter()
                .map(|entry| (entry["name"].clone(), entry["value"].as_str().unwrap_or_default().to_owned()))
                .collect()
        };
        assert_eq!(texts(&made[1..]), texts(&list[first..]), "{}", case.name);
    }
}

#[test]
fn a_standby_replicates_from_an_archive_from_a_leader_or_from_both() {
    let method = [env("STANDBY_METHOD", "STANDBY_WITH_WALE"), env("STANDBY_WAL_BUCKET_SCOPE_PREFIX", "")];
    for (standby, expected) in [
        (json!({"s3_wal_path": "s3://a/"}), [&[env("STANDBY_WALE_S3_PREFIX", "s3://a/")], &method[..]].concat()),
        (json!({"gs_wal_path": "gs://a/"}), [&[env("STANDBY_WALE_GS_PREFIX", "gs://a/")], &method[..]].concat()),
        (json!({"standby_host": "primary"}), vec![env("STANDBY_HOST", "primary")]),
        (
            json!({"standby_host": "primary", "standby_port": "5433", "standby_primary_slot_name": "slot"}),
            vec![env("STANDBY_HOST", "primary"), env("STANDBY_PORT", "5433"), env("STANDBY_PRIMARY_SLOT_NAME", "slot")],
        ),
        (
            json!({"standby_host": "primary", "s3_wal_path": "s3://a/"}),
            [&[env("STANDBY_HOST", "primary"), env("STANDBY_WALE_S3_PREFIX", "s3://a/")], &method[..]].concat(),
        ),
    ] {
        let answer = call(json!({"standby": standby})).mutate::<Standby>().unwrap();
        assert_eq!(variables(&answer), expected, "{standby}");
        let mut names: Vec<&str> = expected.iter().map(name_of).collect();
        let mut reserved = of_standby(&standby, "");
        names.sort_unstable();
        reserved.sort_unstable();
        assert_eq!(names, reserved, "{standby}: the base leaves these to the plugin");
        assert_eq!(condition(&answer).1, ConditionStatus::True);
        assert!(answer.messages().is_empty());
    }
}

#[test]
fn an_invalid_section_is_refused_with_its_path() {
    for (spec, expected) in [
        (json!({"standby": {}}), "spec.standby: s3_wal_path is empty for standby cluster"),
        (json!({"standby": {"s3_wal_path": ""}}), "spec.standby: s3_wal_path is empty for standby cluster"),
        (
            json!({"standby": {"s3_wal_path": "s3://a/", "gs_wal_path": "gs://a/"}}),
            "spec.standby.gs_wal_path: a standby has one archive, and s3_wal_path is given too",
        ),
        (
            json!({"standby": {"standby_host": "h", "standby_port": "many"}}),
            "spec.standby.standby_port: \"many\" is not a port",
        ),
        (
            json!({"standby": {"standby_host": "h"}, "clone": {"cluster": "acid-batman"}}),
            "spec.standby: a cluster is either a clone or a standby, and spec.clone is given too",
        ),
    ] {
        let failure = call(spec).mutate::<Standby>().unwrap_err();
        assert_eq!(reason(&failure), expected);
    }
}

#[test]
fn a_cluster_that_exists_goes_on_as_a_standby_with_the_section_of_a_clone() {
    let spec = json!({"standby": {"standby_host": "h"}, "clone": {"cluster": "acid-batman"}, "numberOfInstances": 1});
    let running = statefulset(&["SCOPE", "STANDBY_HOST"], 3);
    let answer = call(spec).observed(crate::STATEFULSET, &running).mutate::<Standby>().unwrap();
    assert_eq!(answer.messages(), ["a cluster is either a clone or a standby, and spec.clone is given too"]);
    assert_eq!(answer.objects.len(), 1);
}

#[test]
fn fields_without_effect_and_further_pods_are_warnings() {
    let standby = json!({"s3_wal_path": "s3://a/", "standby_port": "5432", "standby_primary_slot_name": "slot"});
    let answer = call(json!({"standby": standby, "numberOfInstances": 2, "clone": {}})).mutate::<Standby>().unwrap();
    let paths: Vec<&str> = answer.response.findings.iter().filter_map(|finding| finding.path.as_deref()).collect();
    assert_eq!(
        paths,
        ["spec.standby.standby_port", "spec.standby.standby_primary_slot_name", "spec.numberOfInstances"]
    );
}

#[test]
fn an_existing_cluster_does_not_become_a_standby() {
    let answer = call(json!({"standby": {"standby_host": "primary"}}))
        .observed("statefulset", &statefulset(&["SCOPE"], 3))
        .mutate::<Standby>()
        .unwrap();
    assert_eq!(answer.objects, [] as [Value; 0], "another template restarts every pod");
    assert_eq!(answer.messages(), ["the cluster exists already and does not become a standby"]);
    assert_eq!((condition(&answer).1, condition(&answer).2), (ConditionStatus::False, "OwnData"));

    let known = call(json!({"standby": {"standby_host": "primary"}}))
        .observed("statefulset", &statefulset(&["SCOPE", "STANDBY_HOST"], 3))
        .mutate::<Standby>()
        .unwrap();
    assert!(known.messages().is_empty());
    assert_eq!(condition(&known).2, "Following");
}

#[test]
fn a_cluster_that_was_no_standby_gets_an_empty_answer() {
    let answer = call(json!({})).observed("statefulset", &statefulset(&["SCOPE"], 3)).mutate::<Standby>().unwrap();
    assert_eq!(answer.objects.len() + answer.response.actions.len() + answer.response.conditions.len(), 0);
    assert!(call(json!({})).mutate::<Standby>().unwrap().response.actions.is_empty());
}

#[test]
fn the_keys_of_archives_that_the_platform_gives_to_all_pods_make_no_standby() {
    let keys = statefulset(&["SCOPE", "STANDBY_AWS_ACCESS_KEY_ID", "STANDBY_AWS_SECRET_ACCESS_KEY"], 3);
    let answer = call(json!({})).observed("statefulset", &keys).mutate::<Standby>().unwrap();
    assert!(answer.response.actions.is_empty() && answer.response.conditions.is_empty(), "nothing is promoted");
    let standby = json!({"standby": {"s3_wal_path": "s3://a/"}});
    let answer = call(standby).observed("statefulset", &keys).mutate::<Standby>().unwrap();
    assert_eq!(answer.messages(), ["the cluster exists already and does not become a standby"]);
}

#[test]
fn every_source_makes_a_standby() {
    for section in ["s3_wal_path", "gs_wal_path", "standby_host"] {
        let answer = call(json!({"standby": {section: "x"}})).mutate::<Standby>().unwrap();
        let names: Vec<&str> = variables(&answer).iter().map(name_of).collect();
        let answer = call(json!({})).observed("statefulset", &statefulset(&names, 3)).mutate::<Standby>().unwrap();
        assert_eq!(answer.response.actions.len(), 1, "{section}: {names:?}");
    }
}

#[test]
fn removing_the_section_promotes_once() {
    let was = statefulset(&["SCOPE", "STANDBY_HOST"], 3);
    let is = statefulset(&["SCOPE"], 4);
    let key = "promote/2f6a/3";

    // The StatefulSet is still a standby's.
    let requested = call(json!({})).observed("statefulset", &was).mutate::<Standby>().unwrap();
    assert_eq!(requested.response.actions[0].key, key);
    assert_eq!(requested.response.actions[0].action, Action::Promote);
    assert_eq!(condition(&requested), ("Standby", ConditionStatus::True, "Promoting", "the cluster is being promoted"));

    // The answer was applied, and the promotion is not done.
    for (phase, reason) in [
        (ActionPhase::Pending, "Promoting"),
        (ActionPhase::Running, "Promoting"),
        (ActionPhase::Failed, "PromotionFailed"),
        (ActionPhase::Refused, "PromotionRefused"),
    ] {
        let again =
            call(json!({})).observed("statefulset", &is).action(key, phase, "no leader").mutate::<Standby>().unwrap();
        assert_eq!(again.response.actions[0].key, key, "{phase:?}");
        assert_eq!((condition(&again).1, condition(&again).2), (ConditionStatus::True, reason));
    }

    // The promotion is done, whether or not the StatefulSet was applied.
    let done =
        call(json!({})).observed("statefulset", &was).action(key, ActionPhase::Done, "").mutate::<Standby>().unwrap();
    assert_eq!((condition(&done).1, condition(&done).2), (ConditionStatus::False, "Promoted"));
    let over =
        call(json!({})).observed("statefulset", &is).action(key, ActionPhase::Done, "").mutate::<Standby>().unwrap();
    assert!(over.response.actions.is_empty());
}

#[test]
fn a_cluster_that_became_a_standby_again_is_promoted_again() {
    let answer = call(json!({}))
        .observed("statefulset", &statefulset(&["SCOPE", "STANDBY_HOST"], 9))
        .action("promote/2f6a/3", ActionPhase::Done, "")
        .mutate::<Standby>()
        .unwrap();
    assert_eq!(answer.response.actions[0].key, "promote/2f6a/9");
}

#[test]
fn a_failed_promotion_is_reported_with_its_reason() {
    let answer =
        call(json!({})).action("promote/2f6a/3", ActionPhase::Failed, "no leader").mutate::<Standby>().unwrap();
    assert_eq!(condition(&answer).3, "the cluster is not promoted yet: no leader");
}

#[test]
fn an_archive_is_read_with_the_role_of_the_service_account() {
    let standby = json!({"s3_wal_path": "s3://a/", "standby_host": "primary"});
    let config = operator_config(&json!({"irsa_role_arn": "arn"}));
    let answer = call(json!({"standby": standby})).operator_config(&config).mutate::<Standby>().unwrap();
    let mut names: Vec<&str> = variables(&answer).iter().map(name_of).collect();
    assert_eq!(names[names.len() - 2..], ["STANDBY_AWS_ROLE_ARN", "STANDBY_AWS_WEB_IDENTITY_TOKEN_FILE"]);
    let mut reserved = of_standby(&standby, "arn");
    names.sort_unstable();
    reserved.sort_unstable();
    assert_eq!(names, reserved);
    let streaming = call(json!({"standby": {"standby_host": "primary"}})).operator_config(&config);
    assert_eq!(variables(&streaming.mutate::<Standby>().unwrap()).len(), 1);
}
