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
    health.insert("ns/c0".into(), waiting("was not reconciled yet"));
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

#[test]
fn a_cluster_that_is_waited_for_too_long_pauses_the_rollout_which_goes_on_once_it_is_well() {
    let (rollout, fleet) = (staged(), fleet());
    let mut health = all_well(&fleet);
    health.insert("ns/c0".into(), Health::Stuck("was not reconciled yet; repair it".into()));
    let state = next(&rollout, at(Stage::Canary, 0), &fleet, &health, None, 10_000);
    assert_eq!((state.phase, state.active(), state.since), (Paused, Some(Stage::Canary), 0));
    assert_eq!(state.message, "ns/c0 was not reconciled yet; repair it");
    assert_eq!(next(&rollout, state, &fleet, &all_well(&fleet), None, 10_001), at(Stage::Percent(10), 10_001));
}

#[test]
fn what_keeps_a_pipeline_from_being_compared_is_waited_for_until_the_deadline_and_then_pauses_it() {
    let rollout = Rollout { ready_deadline: Duration::from_secs(60), ..staged() };
    let reason = "not all clusters are known";
    let at = |now| held(&rollout, State::judging(100), reason, now);
    for (now, phase) in [(100, RolloutPhase::Judging), (160, RolloutPhase::Judging), (161, Paused)] {
        assert_eq!((at(now).phase, at(now).active(), &*at(now).message), (phase, None, reason), "{now}");
    }
}

/// A cluster of two members that runs the new pipeline.
fn seen() -> Seen {
    Seen { ready: 2, wanted: 2, reconciled: true, settled: true, ..Seen::default() }
}

fn waiting(reason: &str) -> Health {
    Health::Waiting(reason.to_owned())
}

fn deadline(seconds: u64) -> Rollout {
    Rollout { ready_deadline: Duration::from_secs(seconds), ..staged() }
}

fn remembering(before: Option<Before>) -> Memory {
    let before = before.map(|before| ("ns/c".to_owned(), before));
    Memory { before: before.into_iter().collect(), ..Memory::default() }
}

#[test]
fn what_a_cluster_means_for_its_stage() {
    let well = Some(Before { ready: 2, wanted: 2, failing: false });
    let short = Some(Before { ready: 1, wanted: 2, failing: false });
    let unwell = Some(Before { ready: 1, wanted: 2, failing: true });
    let failing = || Seen { failure: Some("step a failed".into()), settled: false, ..seen() };
    let refused = || Seen { obstacle: Some("a quota refuses it".into()), settled: false, ..seen() };
    let problem = |text: &str| Health::Problem(text.to_owned());
    let fewer = || waiting("has fewer ready members than before");
    let new = |seen| Seen { created: 200, ..seen };
    for (name, before, seen, expected) in [
        ("it is as before", well, seen(), Health::Well),
        ("not reconciled", well, Seen { reconciled: false, ..seen() }, waiting("was not reconciled yet")),
        ("rolling", well, Seen { settled: false, ..seen() }, waiting("does not run all that is wanted yet")),
        ("one member less", well, Seen { ready: 1, ..seen() }, fewer()),
        ("it was short of a member before", short, Seen { ready: 1, ..seen() }, Health::Well),
        ("it became less ready than that", short, Seen { ready: 0, ..seen() }, fewer()),
        ("it is being scaled up", well, Seen { wanted: 5, ..seen() }, Health::Well),
        ("it was scaled down", well, Seen { ready: 1, wanted: 1, ..seen() }, Health::Well),
        ("it fails", well, failing(), problem("step a failed")),
        ("it was short, and fails", short, failing(), problem("step a failed")),
        ("it failed before", unwell, failing(), Health::Well),
        ("refused elsewhere", well, refused(), waiting("does not run all that is wanted yet: a quota refuses it")),
        ("it is new", None, new(Seen { ready: 0, ..seen() }), Health::Well),
        ("it is new, and fails", None, new(failing()), waiting("does not run all that is wanted yet: step a failed")),
        (
            "it was made anew, and fails",
            well,
            new(failing()),
            waiting("does not run all that is wanted yet: step a failed"),
        ),
        ("its labels are new", None, seen(), Health::Well),
        ("its labels are new, and it fails", None, failing(), problem("step a failed")),
    ] {
        let mut memory = remembering(before);
        assert_eq!(memory.health(&staged(), 100, "ns/c", &seen, 300), expected, "{name}");
    }
}

#[test]
fn a_cluster_that_is_less_ready_for_a_short_time_is_no_problem_and_for_a_long_time_it_is() {
    let mut memory = remembering(Some(Before { ready: 2, wanted: 2, failing: false }));
    let mut health = |ready, now| memory.health(&deadline(60), 100, "ns/c", &Seen { ready, ..seen() }, now);
    for (ready, now) in [(1, 200), (1, 260), (2, 261), (1, 262), (1, 322)] {
        assert!(!matches!(health(ready, now), Health::Problem(_)), "{now}");
    }
    let expected = "1 members have been ready for more than 60 s, and 2 were before";
    assert_eq!(health(1, 323), Health::Problem(expected.to_owned()));
}

#[test]
fn no_scale_up_and_no_member_that_was_missing_before_takes_a_pipeline_back_however_long_it_lasts() {
    for (before, seen) in [
        (Before { ready: 2, wanted: 2, failing: false }, Seen { wanted: 5, ..seen() }),
        (Before { ready: 1, wanted: 2, failing: false }, Seen { ready: 1, ..seen() }),
        (Before { ready: 0, wanted: 2, failing: true }, Seen { ready: 0, ..seen() }),
    ] {
        let mut memory = remembering(Some(before));
        for now in [300, 10_000] {
            assert_eq!(memory.health(&deadline(60), 100, "ns/c", &seen, now), Health::Well, "{before:?}");
        }
    }
}

#[test]
fn a_cluster_is_waited_for_as_long_as_its_members_may_restart_one_after_the_other_and_then_it_is_stuck() {
    let rolling = Seen { settled: false, obstacle: Some("a quota refuses it".into()), ..seen() };
    let mut memory = remembering(Some(Before { ready: 2, wanted: 2, failing: false }));
    let mut health = |seen: &Seen, now| memory.health(&deadline(60), 100, "ns/c", seen, now);
    let reason = "does not run all that is wanted yet: a quota refuses it";
    assert_eq!([100, 220].map(|now| health(&rolling, now)), [waiting(reason), waiting(reason)]);
    let stuck =
        format!("{reason}; it was waited for longer than 120 s: repair the cluster, and the rollout goes on by itself");
    assert_eq!(health(&rolling, 221), Health::Stuck(stuck));
    // A later change of the manifest is waited for from then on.
    assert_eq!(health(&seen(), 230), Health::Well);
    assert_eq!(health(&rolling, 350), waiting(reason));
    assert!(matches!(health(&rolling, 351), Health::Stuck(_)));
    // Another leader has to reconcile each cluster first.
    let mut other = remembering(None);
    let unknown = Seen { reconciled: false, ..seen() };
    let mut health = |now| other.health(&deadline(60), 100, "ns/c", &unknown, now);
    assert_eq!([500, 620].map(&mut health), [waiting("was not reconciled yet"), waiting("was not reconciled yet")]);
    assert!(matches!(health(621), Health::Stuck(_)));
}

#[test]
fn another_leader_knows_how_each_cluster_was_before() {
    let before = |ready, failing| Before { ready, wanted: 3, failing };
    let clusters = [("ns/a", before(3, false)), ("ns/b", before(2, false)), ("ns/c", before(3, true))];
    let memory =
        Memory { before: clusters.map(|(name, before)| (name.to_owned(), before)).into(), ..Memory::default() };
    let text = memory.text();
    assert_eq!(text, "ns/b=2/3 ns/c=3/3! ns/a=3/3");
    assert_eq!(Memory::of(Some(&text)), memory);
    assert_eq!(Memory::of(Some("")), Memory::default());
}

#[test]
fn what_does_not_fit_into_the_status_is_cut_and_such_a_cluster_has_to_be_as_ready_as_is_wanted() {
    let names = (0..10_000).map(|number| format!("namespace-{number}/acid-cluster"));
    let well = Before { ready: 2, wanted: 2, failing: false };
    let mut memory = Memory { before: names.map(|name| (name, well)).collect(), ..Memory::default() };
    memory.before.insert("ns/z".into(), Before { ready: 1, ..well });
    let text = memory.text();
    assert!(text.len() < 140_000, "{}", text.len());
    let mut other = Memory::of(Some(&text));
    assert!(other.is_partial && other.before.len() > 1_000);
    assert!(other.before.contains_key("ns/z"), "one that was not well is kept first");
    let health = other.health(&staged(), 100, "ns/lost", &Seen { ready: 1, ..seen() }, 300);
    assert_eq!(health, waiting("has fewer ready members than before"));
    assert!(Memory::of(None).is_partial);
}
