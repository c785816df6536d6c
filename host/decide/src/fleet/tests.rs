//! Promises about the stages of a rollout.

use std::time::Duration;

use pgloom_api::pipeline::{Document, ImpactExample};
use serde_json::{Value, json};

use super::RolloutPhase::{Complete, Paused, Progressing, Refused, RolledBack};
use super::*;

/// The places of `acid-a`, `acid-b` and `acid-c`.
const PLACES: [u8; 3] = [43, 9, 84];

/// A rollout as its author writes it.
fn rollout(spec: Value) -> Rollout {
    let steps = json!([{"name": "a", "source": {"file": "a.wasm"}}]);
    let spec = json!({"steps": steps, "rollout": spec});
    Document::read(&json!({"apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "spec": spec}))
        .unwrap()
        .rollout
        .unwrap()
}

fn staged() -> Rollout {
    rollout(json!({"canary": {"selector": {"matchLabels": {"tier": "canary"}}}, "percentages": [10, 50], "soak": "1m"}))
}

fn cluster(name: &str, labels: &[(&str, &str)]) -> Cluster {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Cluster { namespace: "ns".into(), name: name.into(), labels }
}

/// Twenty clusters, of which `c0` is the canary.
fn fleet() -> Vec<Cluster> {
    let label = |number| if number == 0 { vec![("tier", "canary")] } else { vec![] };
    (0..20).map(|number| cluster(&format!("c{number}"), &label(number))).collect()
}

fn all_well(fleet: &[Cluster]) -> BTreeMap<String, Health> {
    fleet.iter().map(|cluster| (cluster.to_string(), Health::Well)).collect()
}

fn at(stage: Stage, since: i64) -> State {
    State::at(Some(stage), since)
}

fn impact(restarts: i64) -> ImpactStatus {
    let example = ImpactExample {
        cluster: "ns/c3".into(),
        object: Some("StatefulSet c3".into()),
        pods: 2,
        field: Some("spec.containers".into()),
        steps: vec!["spilo".into()],
        held: None,
    };
    ImpactStatus { clusters: 20, changed: 4, restarts, examples: vec![example], ..ImpactStatus::default() }
}

#[test]
fn a_stage_has_all_clusters_of_the_stages_before() {
    let (rollout, fleet) = (staged(), fleet());
    let of = |stage: Stage| -> Vec<String> {
        let has = |cluster: &&Cluster| stage.covers(rollout.canary.as_ref(), cluster);
        fleet.iter().filter(has).map(ToString::to_string).collect()
    };
    let stages = [Stage::Canary, Stage::Percent(10), Stage::Percent(50), ALL].map(of);
    assert_eq!((stages[0].len(), stages[3].len()), (1, 20));
    for pair in stages.windows(2) {
        assert!(pair[0].iter().all(|cluster| pair[1].contains(cluster)), "{pair:?}");
    }
}

#[test]
fn the_place_of_a_cluster_is_the_same_in_every_version_of_the_operator() {
    let places = ["acid-a", "acid-b", "acid-c"].map(|name| cluster(name, &[]).place());
    // `printf ns/acid-a | sha256sum`, the first 32 bits modulo 100.
    assert_eq!(places, PLACES);
}

#[test]
fn a_stage_is_read_as_it_was_written() {
    for stage in [Stage::Canary, Stage::Percent(10), ALL] {
        assert_eq!(Stage::parse(&stage.to_string()), Some(stage));
    }
    assert_eq!(["", "10", "101%", "-1%", "x%"].map(Stage::parse), [None; 5]);
}

#[test]
fn a_pipeline_that_would_restart_too_many_pods_is_refused_with_the_first_of_them_and_the_remedy() {
    let none = rollout(json!({"maxRestarts": 2}));
    let state = judged(Some(&none), &impact(3), true, &fleet(), 7);
    assert_eq!((state.phase, state.active()), (Refused, None));
    assert_eq!(
        state.message,
        "it would restart 3 pods, and spec.rollout.maxRestarts is 2: first of ns/c3, StatefulSet c3, as \
        spec.containers changes, by spilo; raise maxRestarts, or change the step"
    );
    assert_eq!(judged(Some(&none), &impact(2), true, &fleet(), 7), at(ALL, 7));
}

#[test]
fn with_a_limit_a_pipeline_whose_restarts_are_not_known_is_refused_and_without_one_it_is_not() {
    let unknown = ImpactStatus { unknown: 1, ..impact(0) };
    let limited = rollout(json!({"maxRestarts": 5}));
    for (impact, compared) in [(&unknown, true), (&impact(0), false)] {
        let state = judged(Some(&limited), impact, compared, &fleet(), 7);
        assert_eq!(state.phase, Refused, "{state:?}");
        assert!(state.message.contains("is not known") && state.message.contains("remove maxRestarts"), "{state:?}");
        assert_eq!(judged(Some(&rollout(json!({}))), impact, compared, &fleet(), 7).phase, Progressing);
    }
}

#[test]
fn the_first_stage_is_the_canary_or_else_the_first_percentage_that_has_a_cluster() {
    let first = |rollout: Option<&Rollout>, fleet: &[Cluster]| judged(rollout, &impact(0), true, fleet, 7);
    assert_eq!(first(Some(&staged()), &fleet()), at(Stage::Canary, 7));
    assert_eq!(first(Some(&rollout(json!({"percentages": [50]}))), &fleet()), at(Stage::Percent(50), 7));
    let one = cluster("acid-a", &[]);
    let below = rollout(json!({"percentages": [PLACES[0]]}));
    assert_eq!(first(Some(&below), std::slice::from_ref(&one)), at(ALL, 7));
    assert_eq!(first(Some(&staged()), &[]).phase, Complete);
    assert_eq!(first(None, &fleet()).phase, Complete);
}

#[test]
fn a_stage_ends_when_it_has_lasted_long_enough_and_all_its_clusters_are_well() {
    let (rollout, fleet) = (staged(), fleet());
    let well = all_well(&fleet);
    let go = |state: State, now| next(&rollout, state, &fleet, &well, None, now);
    let waits = go(at(Stage::Canary, 100), 159);
    assert_eq!((waits.phase, waits.stage, waits.since), (Progressing, Some(Stage::Canary), 100));
    let mut state = at(Stage::Canary, 100);
    let mut seen = Vec::new();
    for round in 1..=4 {
        state = go(state, 100 + 60 * round);
        seen.push((state.phase, state.stage));
    }
    let expected = [Some(Stage::Percent(10)), Some(Stage::Percent(50)), Some(ALL)];
    assert_eq!(seen[..3], expected.map(|stage| (Progressing, stage)));
    assert_eq!(seen[3], (Complete, None));
    assert_eq!(state.active(), Some(ALL));
}

#[test]
fn a_stage_does_not_end_while_one_of_its_clusters_is_waited_for_and_names_it() {
    let (rollout, fleet) = (staged(), fleet());
    let mut health = all_well(&fleet);
    health.insert("ns/c0".into(), Health::Waiting("was not reconciled yet"));
    let state = next(&rollout, at(Stage::Canary, 0), &fleet, &health, None, 10_000);
    assert_eq!((state.stage, &*state.message), (Some(Stage::Canary), "ns/c0 was not reconciled yet"));
    health.remove("ns/c0");
    let state = next(&rollout, at(Stage::Canary, 0), &fleet, &health, None, 10_000);
    assert_eq!((state.stage, &*state.message), (Some(Stage::Canary), "ns/c0 was not seen yet"));
}

#[test]
fn a_stage_that_adds_no_cluster_is_left_out() {
    let fleet = vec![cluster("c0", &[("tier", "canary")])];
    let state = next(&staged(), at(Stage::Canary, 0), &fleet, &all_well(&fleet), None, 60);
    assert_eq!(state.phase, Complete);
}

#[test]
fn a_problem_of_a_cluster_takes_the_pipeline_back_at_once_also_while_it_is_paused() {
    let fleet = fleet();
    let mut health = all_well(&fleet);
    health.insert("ns/c0".into(), Health::Problem("step a failed".into()));
    for paused in [false, true] {
        let rollout = Rollout { paused, ..staged() };
        let state = next(&rollout, at(Stage::Canary, 0), &fleet, &health, None, 1);
        assert_eq!((state.phase, state.active(), state.since), (RolledBack, None, 1));
        assert_eq!(state.message, "ns/c0: step a failed");
        assert_eq!(next(&rollout, state.clone(), &fleet, &all_well(&fleet), None, 9), state, "it stays so");
    }
}

#[test]
fn a_problem_of_a_cluster_that_does_not_have_the_pipeline_is_none() {
    let fleet = fleet();
    let mut health = all_well(&fleet);
    health.insert("ns/c1".into(), Health::Problem("step a failed".into()));
    let canary_alone = rollout(json!({"canary": {"selector": {"matchLabels": {"tier": "canary"}}}}));
    assert_eq!(next(&canary_alone, at(Stage::Canary, 0), &fleet, &health, None, 1).phase, Progressing);
}

#[test]
fn a_paused_rollout_stays_at_its_stage_and_goes_on_from_there() {
    let (fleet, well) = (fleet(), all_well(&fleet()));
    let paused = Rollout { paused: true, ..staged() };
    let state = next(&paused, at(Stage::Percent(10), 5), &fleet, &well, None, 10_000);
    assert_eq!((state.phase, state.active(), state.since), (Paused, Some(Stage::Percent(10)), 5));
    assert_eq!(state.message, "spec.rollout.paused is true");
    assert_eq!(next(&staged(), state, &fleet, &well, None, 10_001), at(Stage::Percent(50), 10_001));
    let held = next(&staged(), at(Stage::Percent(10), 5), &fleet, &well, Some("a newer one is loaded"), 10_000);
    assert_eq!((held.phase, &*held.message), (Paused, "a newer one is loaded"));
}

#[test]
fn a_canary_that_matches_no_cluster_is_no_success() {
    let fleet = vec![cluster("c1", &[])];
    let state = next(&staged(), at(Stage::Canary, 0), &fleet, &all_well(&fleet), None, 10_000);
    assert_eq!((state.phase, state.active()), (Paused, Some(Stage::Canary)));
    assert!(state.message.starts_with("spec.rollout.canary matches none of the 1 clusters"), "{state:?}");
    let labelled = vec![cluster("c1", &[("tier", "canary")])];
    let state = next(&staged(), state, &labelled, &all_well(&labelled), None, 10_001);
    assert_eq!(state.phase, Complete);
    assert_eq!(next(&staged(), at(Stage::Canary, 0), &[], &BTreeMap::new(), None, 1).phase, Complete);
    // One that was taken out of the rules is passed.
    let without = Rollout { canary: None, ..staged() };
    assert_eq!(next(&without, at(Stage::Canary, 0), &fleet, &all_well(&fleet), None, 60), at(Stage::Percent(50), 60));
}

/// A cluster of two members that runs the new pipeline.
fn seen() -> Seen {
    Seen { ready: 2, wanted: 2, created: 0, reconciled: true, settled: true, failure: None }
}

#[test]
fn what_a_cluster_means_for_its_stage() {
    let rollout = Rollout { ready_deadline: Duration::from_secs(60), ..staged() };
    let unwell = Unwell { ready: 1, failing: true };
    let failing = || Seen { failure: Some("step a failed".into()), settled: false, ..seen() };
    let problem = |text: &str| Health::Problem(text.to_owned());
    let fewer = Health::Waiting("has fewer ready members than before");
    for (name, before, seen, expected) in [
        ("it is as before", None, seen(), Health::Well),
        ("not reconciled", None, Seen { reconciled: false, ..seen() }, Health::Waiting("was not reconciled yet")),
        ("rolling", None, Seen { settled: false, ..seen() }, Health::Waiting("does not run all that is wanted yet")),
        ("one member less", None, Seen { ready: 1, ..seen() }, fewer.clone()),
        ("it was not ready before", Some(unwell), Seen { ready: 1, ..seen() }, Health::Well),
        ("it became less ready than that", Some(unwell), Seen { ready: 0, ..seen() }, fewer),
        ("it was scaled down", None, Seen { ready: 1, wanted: 1, ..seen() }, Health::Well),
        ("it is new", None, Seen { ready: 0, created: 200, ..seen() }, Health::Well),
        ("it fails", None, failing(), problem("step a failed")),
        ("it failed before", Some(unwell), failing(), Health::Well),
    ] {
        let mut memory = Memory::default();
        memory.unwell.extend(before.map(|before| ("ns/c".to_owned(), before)));
        assert_eq!(memory.health(&rollout, 100, "ns/c", &seen, 300), expected, "{name}");
    }
}

#[test]
fn a_cluster_that_is_less_ready_for_a_short_time_is_no_problem_and_for_a_long_time_it_is() {
    let rollout = Rollout { ready_deadline: Duration::from_secs(60), ..staged() };
    let mut memory = Memory::default();
    let mut health = |ready, now| memory.health(&rollout, 100, "ns/c", &Seen { ready, ..seen() }, now);
    for (ready, now) in [(1, 200), (1, 260), (2, 261), (1, 262), (1, 322)] {
        assert!(!matches!(health(ready, now), Health::Problem(_)), "{now}");
    }
    let expected = "1 members have been ready for more than 60 s, and 2 were before";
    assert_eq!(health(1, 323), Health::Problem(expected.to_owned()));
}
