//! What the plugin promises.

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
fn claims_that_are_too_small_are_raised() {
    let members = [member(0, "1Gi", "1Gi"), member(1, "2Gi", "2Gi")];
    let answer = answer(with(call(size("2Gi"), "pvc"), &members));
    assert_eq!(keys(&answer), ["expand/pgdata-acid-orders-0/2Gi"]);
    let expected = ExpandClaim { claim: "pgdata-acid-orders-0".to_owned(), size: "2Gi".to_owned() };
    assert_eq!(answer.response.actions[0].action, Action::ExpandClaim(expected));
    assert_eq!(
        condition(&answer),
        (
            ConditionStatus::No,
            "Resizing",
            "1 of 2 volumes are as requested, with 2Gi; pgdata-acid-orders-0 of 1Gi: the claim is being raised"
        )
    );
    assert!(answer.objects.is_empty() && answer.messages().is_empty());
}

#[test]
fn equal_amounts_are_equal_however_they_are_written() {
    let answer = answer(with(call(size("1024Mi"), "pvc"), &[member(0, "1Gi", "1Gi")]));
    assert!(keys(&answer).is_empty());
    assert_eq!(condition(&answer).0, ConditionStatus::Yes);
}

#[test]
fn a_raised_claim_is_waited_for_until_it_has_what_it_asks_for() {
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
    assert_eq!(condition(&done), (ConditionStatus::Yes, "AsRequested", "1 of 1 volumes are as requested, with 2Gi"));
}

#[test]
fn volumes_of_members_that_do_not_run_are_left_as_they_are() {
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
fn shrinking_is_a_warning_with_a_way_out() {
    for mode in ["pvc", "ebs", "mixed", "off"] {
        let members = [member(0, "5Gi", "5Gi"), member(1, "6Gi", "6Gi")];
        let answer = answer(with(call(size("1Gi"), mode), &members));
        assert!(keys(&answer).is_empty(), "{mode}");
        let [finding] = &answer.response.findings[..] else { panic!("{mode}") };
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.path.as_deref(), Some("spec.volume.size"));
        assert_eq!(finding.message, "a volume cannot shrink: pgdata-acid-orders-1 has 6Gi, and 1Gi are asked for");
        let remedy = "set it to 6Gi, or create a new cluster with the smaller volume as a clone of this one";
        assert_eq!(finding.remedy.as_deref(), Some(remedy));
        assert_eq!(condition(&answer).1, "CannotShrink");
    }
}

#[test]
fn the_cloud_grows_the_volume_and_then_the_pod_its_filesystem() {
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

    let done = answer(call().action(modify, ActionPhase::Done, "").action(grow, ActionPhase::Done, ""));
    assert_eq!(keys(&done), [modify, grow]);
    assert_eq!(condition(&done).0, ConditionStatus::Yes);
}

#[test]
fn what_the_host_does_not_do_is_reported_as_refused() {
    let call = with(call(size("2Gi"), "ebs"), &[member(0, "1Gi", "1Gi")]);
    let answer =
        answer(call.action("modify/pgdata-acid-orders-0/2Gi", ActionPhase::Refused, "modify-volume is not executed"));
    assert_eq!(condition(&answer).1, "Refused");
    assert!(condition(&answer).2.ends_with("modify-volume is not executed"));
}

#[test]
fn mixed_mode_raises_the_claim_after_the_cloud_even_if_the_cloud_could_not() {
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
fn mixed_mode_sets_what_a_volume_can_do() {
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
fn what_a_volume_cannot_do_is_told() {
    let volume = json!({"size": "1Gi", "iops": 100, "throughput": 100, "type": "st1"});
    let mixed = answer(with(call(volume.clone(), "mixed"), &[member(0, "1Gi", "1Gi")]));
    assert!(keys(&mixed).is_empty());
    let expected = ["iops below 3000 is not set", "throughput below 125 is not set", "volumes do not become st1"];
    assert_eq!(mixed.messages(), expected);
    let claims = answer(with(call(volume, "pvc"), &[member(0, "1Gi", "1Gi")]));
    assert_eq!(claims.messages().len(), 3);
    assert!(claims.messages()[0].ends_with("because storage_resize_mode is not mixed"));
}

#[test]
fn switched_off_it_tells_and_does_nothing() {
    let answer = answer(with(call(size("2Gi"), "off"), &[member(0, "1Gi", "1Gi")]));
    assert!(keys(&answer).is_empty());
    assert_eq!(answer.response.findings[0].severity, Severity::Info);
    assert_eq!(condition(&answer).1, "Off");
}

#[test]
fn before_there_are_volumes_there_is_nothing_to_say() {
    let answer = answer(call(size("2Gi"), "pvc"));
    assert!(answer.response.conditions.is_empty() && keys(&answer).is_empty());
    let without = call(json!({}), "pvc").mutate::<VolumeResize>().unwrap();
    assert!(without.response.conditions.is_empty());
}

#[test]
fn a_size_and_a_mode_that_cannot_be_used_are_refused() {
    let failure = call(size("much"), "pvc").mutate::<VolumeResize>().unwrap_err();
    assert_eq!(reason(&failure), "spec.volume.size: \"much\" is no size");
    let failure = call(size("1Gi"), "magic").mutate::<VolumeResize>().unwrap_err();
    assert_eq!(reason(&failure), "storage_resize_mode: \"magic\"; set it to pvc, ebs, mixed or off");
}
