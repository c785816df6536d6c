//! Tests of the plugin.

use pgloom_kit::bindings::contract::Severity;
use pgloom_kit::testing::{Answer, Call, operator_config, reason};
use pgloom_kit::{Action, ActionPhase, ConditionStatus, ExpandClaim, GrowFilesystem, ModifyVolume, Value, json};

use crate::VolumeResize;

fn call(volume: Value, mode: &str) -> Call {
    Call::new(&json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {"teamId": "acid", "volume": volume},
    }))
    .operator_config(&operator_config(&json!({"storage_resize_mode": mode})))
}

fn member(number: u32, requested: &str, capacity: &str) -> (Value, Value) {
    let pod = format!("acid-orders-{number}");
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": format!("pgdata-{pod}")},
        "spec": {"resources": {"requests": {"storage": requested}}},
    });
    if !capacity.is_empty() {
        claim["status"] = json!({"capacity": {"storage": capacity}});
    }
    (claim, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}}))
}

fn with(call: Call, members: &[(Value, Value)]) -> Call {
    members.iter().fold(call, |call, (claim, pod)| call.observed("claims", claim).observed("pods", pod))
}

fn answer(call: Call) -> Answer {
    call.mutate::<VolumeResize>().unwrap()
}

fn keys(answer: &Answer) -> Vec<&str> {
    answer.response.actions.iter().map(|request| request.key.as_str()).collect()
}

fn condition(answer: &Answer) -> (ConditionStatus, &str, &str) {
    let [condition] = &answer.response.conditions[..] else { panic!("{:?}", answer.response.conditions) };
    assert_eq!(condition.type_name, "VolumeResized");
    (condition.status, &condition.reason, &condition.message)
}

fn size(size: &str) -> Value {
    json!({"size": size})
}

#[test]
fn claims_that_are_too_small_are_expanded() {
    let members = [member(0, "1Gi", "1Gi"), member(1, "2Gi", "2Gi")];
    let answer = answer(with(call(size("2Gi"), "pvc"), &members));
    assert_eq!(keys(&answer), ["expand/pgdata-acid-orders-0/2Gi"]);
    let expected = ExpandClaim { claim: "pgdata-acid-orders-0".to_owned(), size: "2Gi".to_owned() };
    assert_eq!(answer.response.actions[0].action, Action::ExpandClaim(expected));
    assert_eq!(
        condition(&answer),
        (
            ConditionStatus::False,
            "Resizing",
            "1 of 2 volumes are as requested, with 2Gi; pgdata-acid-orders-0 of 1Gi: the claim is being expanded"
        )
    );
    assert!(answer.objects.is_empty() && answer.messages().is_empty());
}

#[test]
fn equal_quantities_in_different_units_are_equal() {
    let answer = answer(with(call(size("1024Mi"), "pvc"), &[member(0, "1Gi", "1Gi")]));
    assert!(keys(&answer).is_empty());
    assert_eq!(condition(&answer).0, ConditionStatus::True);
}

#[test]
fn an_expanded_claim_is_in_progress_until_it_has_the_requested_capacity() {
    let waiting = answer(with(call(size("2Gi"), "pvc"), &[member(0, "2Gi", "1Gi")]));
    assert!(keys(&waiting).is_empty());
    assert_eq!(condition(&waiting).1, "Resizing");
    let (mut claim, pod) = member(0, "2Gi", "1Gi");
    claim["status"]["conditions"] =
        json!([{"type": "ControllerResizeError", "status": "True", "message": "the class does not grow"}]);
    let failed = answer(with(call(size("2Gi"), "pvc"), &[(claim, pod)]));
    assert_eq!(condition(&failed).1, "Failed");
    assert!(condition(&failed).2.ends_with("the class does not grow"));
    let done = answer(with(call(size("2Gi"), "pvc"), &[member(0, "2Gi", "2Gi")]));
    assert_eq!(condition(&done), (ConditionStatus::True, "AsRequested", "1 of 1 volumes are as requested, with 2Gi"));
}

#[test]
fn volumes_of_members_that_do_not_run_do_not_change() {
    let (idle, _) = member(1, "1Gi", "1Gi");
    let foreign = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "acid-orders-pooler-5d8f"},
    });
    let call = with(call(size("2Gi"), "pvc"), &[member(0, "1Gi", "1Gi")]);
    let answer = answer(call.observed("claims", &idle).observed("pods", &foreign));
    assert_eq!(keys(&answer), ["expand/pgdata-acid-orders-0/2Gi"]);
}

#[test]
fn members_are_reported_by_number() {
    let members = [member(10, "1Gi", "1Gi"), member(2, "1Gi", "1Gi")];
    let answer = answer(with(call(size("2Gi"), "pvc"), &members));
    assert_eq!(keys(&answer), ["expand/pgdata-acid-orders-2/2Gi", "expand/pgdata-acid-orders-10/2Gi"]);
}

#[test]
fn shrinking_is_a_warning_with_a_remedy() {
    for mode in ["pvc", "ebs", "mixed", "off"] {
        let members = [member(0, "5Gi", "5Gi"), member(1, "6Gi", "6Gi")];
        let answer = answer(with(call(size("1Gi"), mode), &members));
        assert!(keys(&answer).is_empty(), "{mode}");
        let [finding] = &answer.response.findings[..] else { panic!("{mode}") };
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.path.as_deref(), Some("spec.volume.size"));
        assert_eq!(finding.message, "a volume cannot shrink: pgdata-acid-orders-1 has 6Gi, and 1Gi is requested");
        let remedy = "write 6Gi, or create a new cluster with the smaller volume as a clone of this one";
        assert_eq!(finding.remedy.as_deref(), Some(remedy));
        assert_eq!(condition(&answer).1, "CannotShrink");
    }
}

#[test]
fn the_cloud_grows_the_volume_and_then_the_filesystem_is_grown() {
    let (modify, grow) = ("modify/pgdata-acid-orders-0/2Gi", "grow/pgdata-acid-orders-0/2Gi");
    let call = || with(call(size("2Gi"), "ebs"), &[member(0, "1Gi", "1Gi")]);

    let first = answer(call());
    assert_eq!(keys(&first), [modify]);
    let expected = ModifyVolume {
        claim: "pgdata-acid-orders-0".to_owned(),
        size: Some("2Gi".to_owned()),
        iops: None,
        throughput: None,
        volume_type: None,
    };
    assert_eq!(first.response.actions[0].action, Action::ModifyVolume(expected));
    assert!(condition(&first).2.contains("once in 6 hours"));

    let limited = answer(call().action(modify, ActionPhase::Failed, "changed an hour ago, try again at 18:00"));
    assert_eq!(keys(&limited), [modify]);
    assert_eq!(condition(&limited).1, "Failed");
    assert!(condition(&limited).2.ends_with("changed an hour ago, try again at 18:00"));

    let second = answer(call().action(modify, ActionPhase::Done, ""));
    assert_eq!(keys(&second), [modify, grow]);
    let expected = GrowFilesystem { claim: "pgdata-acid-orders-0".to_owned(), pod: "acid-orders-0".to_owned() };
    assert_eq!(second.response.actions[1].action, Action::GrowFilesystem(expected));
    assert_eq!(condition(&second).1, "Resizing");

    let failed = call().action(modify, ActionPhase::Done, "").action(grow, ActionPhase::Failed, "resize2fs failed");
    let failed = answer(failed);
    assert_eq!((keys(&failed), condition(&failed).1), (vec![modify, grow], "Failed"));
    assert!(condition(&failed).2.contains("resize2fs failed; the container needs the device of the volume"));

    let done = answer(call().action(modify, ActionPhase::Done, "").action(grow, ActionPhase::Done, ""));
    assert_eq!(keys(&done), [modify, grow]);
    assert_eq!(condition(&done).0, ConditionStatus::True);
}

#[test]
fn an_action_that_the_host_refuses_is_reported_as_refused() {
    let call = with(call(size("2Gi"), "ebs"), &[member(0, "1Gi", "1Gi")]);
    let answer =
        answer(call.action("modify/pgdata-acid-orders-0/2Gi", ActionPhase::Refused, "modify-volume is not executed"));
    assert_eq!(condition(&answer).1, "Refused");
    assert!(condition(&answer).2.ends_with("modify-volume is not executed"));
}

#[test]
fn mixed_mode_expands_the_claim_after_the_cloud_even_if_the_cloud_failed() {
    let (modify, expand) = ("modify/pgdata-acid-orders-0/2Gi", "expand/pgdata-acid-orders-0/2Gi");
    let call = || with(call(size("2Gi"), "mixed"), &[member(0, "1Gi", "1Gi")]);
    assert_eq!(keys(&answer(call())), [modify]);
    assert_eq!(keys(&answer(call().action(modify, ActionPhase::Running, ""))), [modify]);
    let done = answer(call().action(modify, ActionPhase::Done, ""));
    assert_eq!(keys(&done), [modify, expand]);
    assert_eq!(condition(&done).1, "Resizing");
    for (phase, reason) in [(ActionPhase::Failed, "Failed"), (ActionPhase::Refused, "Refused")] {
        let answer = answer(call().action(modify, phase, "no"));
        assert_eq!(keys(&answer), [modify, expand], "{phase:?}");
        assert_eq!(condition(&answer).1, reason);
    }
}

#[test]
fn mixed_mode_sets_the_performance_of_a_volume() {
    for (volume, expected) in [
        (json!({"iops": 4000}), (Some(4000), None, Some("gp3"), "gp3/4000")),
        (json!({"throughput": 250, "type": "io2"}), (None, Some(250), Some("io2"), "io2/250")),
        (json!({"iops": 4000, "throughput": 250, "type": "gp2"}), (Some(4000), Some(250), Some("gp3"), "gp3/4000/250")),
        (json!({"type": "gp3"}), (None, None, Some("gp3"), "gp3")),
    ] {
        let mut all = size("1Gi");
        all.as_object_mut().unwrap().extend(volume.as_object().unwrap().clone());
        let answer = answer(with(call(all, "mixed"), &[member(0, "1Gi", "1Gi")]));
        let (iops, throughput, volume_type, key) = expected;
        assert_eq!(keys(&answer), [format!("modify/pgdata-acid-orders-0/1Gi/{key}")], "{volume}");
        let Action::ModifyVolume(modify) = &answer.response.actions[0].action else { panic!("{volume}") };
        assert_eq!((modify.iops, modify.throughput, modify.volume_type.as_deref()), (iops, throughput, volume_type));
    }
}

#[test]
fn settings_without_effect_are_warnings() {
    let volume = json!({"size": "1Gi", "iops": 100, "throughput": 100, "type": "st1"});
    let mixed = answer(with(call(volume.clone(), "mixed"), &[member(0, "1Gi", "1Gi")]));
    assert!(keys(&mixed).is_empty());
    let expected = [
        "iops is below 3000 and is not set",
        "throughput is below 125 and is not set",
        "the type of volumes is not changed to st1",
    ];
    assert_eq!(mixed.messages(), expected);
    let claims = answer(with(call(volume, "pvc"), &[member(0, "1Gi", "1Gi")]));
    assert_eq!(claims.messages().len(), 3);
    assert!(claims.messages()[0].ends_with("because storage_resize_mode is not mixed"));
}

#[test]
fn in_mode_off_the_difference_is_reported_and_nothing_is_done() {
    let answer = answer(with(call(size("2Gi"), "off"), &[member(0, "1Gi", "1Gi")]));
    assert!(keys(&answer).is_empty());
    assert_eq!(answer.response.findings[0].severity, Severity::Info);
    assert_eq!(condition(&answer).1, "Off");
}

#[test]
fn without_members_the_answer_is_empty() {
    let answer = answer(call(size("2Gi"), "pvc"));
    assert!(answer.response.conditions.is_empty() && keys(&answer).is_empty());
}

#[test]
fn an_invalid_size_and_an_unknown_mode_are_refused() {
    let failure = call(size("much"), "pvc").mutate::<VolumeResize>().unwrap_err();
    assert_eq!(reason(&failure), "spec.volume.size: \"much\" is not a size above zero");
    let failure = call(size("1Gi"), "magic").mutate::<VolumeResize>().unwrap_err();
    assert_eq!(reason(&failure), "storage_resize_mode: \"magic\" is not a mode; write pvc, ebs, mixed or off");
}
