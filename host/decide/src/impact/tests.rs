//! Two pipelines are compared by what they decide, and restarts are found by the rule of the rolling update.

use std::sync::Arc;

use pgloom_engine::{Contribution, Description, ObjectKind, ObjectPermission, Plugin, PrivilegePermission, Response};
use serde_json::json;

use super::*;
use crate::normal::complete;
use crate::ownership::Identity;

/// A plugin that makes the StatefulSet of the cluster, and a Deployment, with these parts of templates.
fn plugin(image: &str, annotation: &str, pooler: &str) -> Arc<Plugin> {
    let object = |kind: &str, name: &str, replicas: u64, template: Value| {
        let labels = json!({"matchLabels": {"of": name}});
        json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": labels, "template": template},
        })
    };
    let template = |name: &str, image: &str, annotation: &str| {
        json!({
            "metadata": {"labels": {"of": name}, "annotations": {"a": annotation}},
            "spec": {"containers": [{"name": "it", "image": image}]},
        })
    };
    let contributions = vec![
        Contribution::Apply(
            object("StatefulSet", "acid-orders", 2, template("acid-orders", image, annotation)).to_string(),
        ),
        Contribution::Apply(
            object("Deployment", "acid-orders-p", 3, template("acid-orders-p", "p", pooler)).to_string(),
        ),
    ];
    let kinds = ["StatefulSet", "Deployment"].map(|kind| ObjectKind::new("apps/v1", kind));
    let objects = kinds.map(|kind| ObjectPermission::creates(kind, &["{cluster}*"])).to_vec();
    let privileges = vec![PrivilegePermission { name: "service-account".to_owned(), optional: false }];
    let description = Description { name: "maker".to_owned(), objects, privileges, ..Description::default() };
    let answer = move |_: &_| Ok(Response { contributions: contributions.clone(), ..Response::default() });
    Arc::new(Plugin::native(description, answer))
}

fn manifest() -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {"teamId": "acid", "numberOfInstances": 2, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"}},
    })
}

fn between(now: Vec<Arc<Plugin>>, then: Vec<Arc<Plugin>>, config: &Config) -> Impact {
    let (now, then) = (Pipeline::of(now).unwrap(), Pipeline::of(then).unwrap());
    let observed = Observed::default();
    let setting = |pipeline| Setting { config, pipeline, observed: &observed };
    impact(&manifest(), setting(&now), setting(&then))
}

fn of(now: (&str, &str, &str), then: (&str, &str, &str)) -> Impact {
    let plugin = |(image, annotation, pooler)| vec![plugin(image, annotation, pooler)];
    between(plugin(now), plugin(then), &Config::defaults())
}

#[test]
fn the_same_pipeline_changes_nothing() {
    let found = of(("a", "1", "1"), ("a", "1", "1"));
    assert_eq!(found.verdict, Verdict::Same, "{found:?}");
    assert!(found.objects.is_empty() && found.pods() == 0);
}

#[test]
fn another_image_restarts_the_members_and_names_field_and_step() {
    let found = of(("a", "1", "1"), ("b", "1", "1"));
    assert_eq!((found.verdict, found.pods()), (Verdict::Restarts, 2));
    let Restart { database, field, steps, .. } = &found.restarts[0];
    assert_eq!(
        (*database, field.as_str(), steps.as_slice()),
        (true, "containers[it].image", &["maker".to_owned()][..])
    );
    let path = "spec.template.spec.containers[name=it].image".to_owned();
    let (before, after) = (Some(json!("a")), Some(json!("b")));
    assert_eq!(found.objects[0].fields, [FieldImpact { path, before, after, steps: vec!["maker".into()] }]);
}

/// The impact of the same pipeline on a StatefulSet that it made, after a change of it.
fn on_running(change: impl FnOnce(&mut Value)) -> Impact {
    let (pipeline, config) = (Pipeline::of(vec![plugin("a", "1", "1")]).unwrap(), Config::defaults());
    let manifest = with_uid(&manifest());
    let plan = decide(&manifest, &config, &Observed::default(), &pipeline).unwrap();
    let mut set = plan.filled().unwrap().into_iter().find(|object| object["kind"] == "StatefulSet").unwrap();
    complete(&mut set);
    Identity::of(&manifest, &config).mark(&mut set);
    change(&mut set);
    let observed = Observed::of(vec![set]);
    let setting = Setting { config: &config, pipeline: &pipeline, observed: &observed };
    impact(&manifest, setting, setting)
}

#[test]
fn members_that_run_what_another_version_of_the_operator_made_are_told_and_count_when_they_are_asked_for() {
    let same = on_running(|_| ());
    assert_eq!((same.verdict, same.outdated), (Verdict::Same, None));
    let none = on_running(|set| set["spec"]["replicas"] = json!(0));
    assert_eq!(none.outdated, None, "there is no pod to restart");
    let mut found = on_running(|set| set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("b"));
    assert_eq!((found.verdict, found.pods()), (Verdict::Same, 0), "it is not the pipeline that restarts them");
    found.count_outdated();
    assert_eq!((found.verdict, found.pods()), (Verdict::Restarts, 2));
    let Restart { database, field, outdated, .. } = &found.restarts[0];
    assert_eq!((*database, field.as_str(), *outdated), (true, "containers[it].image", true));
}

#[test]
fn another_annotation_is_patched_onto_members_and_restarts_the_pods_of_a_deployment() {
    let members = of(("a", "1", "1"), ("a", "2", "1"));
    assert_eq!((members.verdict, members.pods()), (Verdict::Changes, 0), "{members:?}");
    let others = of(("a", "1", "1"), ("a", "1", "2"));
    assert_eq!((others.verdict, others.pods(), others.restarts[0].database), (Verdict::Restarts, 3, false));
    assert_eq!(others.restarts[0].field, "metadata.annotations.a");
}

#[test]
fn with_lazy_upgrades_another_image_of_members_waits() {
    let lazy = Config::defaults().with("enable_lazy_spilo_upgrade", Some(json!(true))).unwrap();
    let found = between(vec![plugin("a", "1", "1")], vec![plugin("b", "1", "1")], &lazy);
    assert_eq!(found.verdict, Verdict::Changes, "{found:?}");
}

#[test]
fn objects_that_a_pipeline_adds_or_no_longer_makes_are_named_with_their_step() {
    let found = between(vec![], vec![plugin("a", "1", "1")], &Config::defaults());
    assert_eq!((found.verdict, found.objects.len()), (Verdict::Changes, 2));
    assert!(found.objects.iter().all(|object| object.change == ObjectChange::Created && object.step == "maker"));
    let found = between(vec![plugin("a", "1", "1")], vec![], &Config::defaults());
    assert!(found.objects.iter().all(|object| object.change == ObjectChange::Removed && object.step == "maker"));
}

#[test]
fn a_cluster_that_the_new_pipeline_refuses_would_be_held_with_the_reason() {
    let refuses = Plugin::native(Description { name: "no".into(), ..Description::default() }, |_| {
        Err(pgloom_engine::call::Error::Refuse(pgloom_engine::Failure::Internal("not today".into())))
    });
    let found = between(vec![], vec![Arc::new(refuses)], &Config::defaults());
    assert_eq!(found.verdict, Verdict::Held);
    assert!(found.refused_then.unwrap().contains("not today"));
}
