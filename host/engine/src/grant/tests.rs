//! What is missing, and grants as YAML.

use std::collections::BTreeSet;

use pgloom_api::ActionKind;
use pgloom_api::placeholder::Source;

use super::*;
use crate::model::{CredentialPermission, ObjectKind, PrivilegePermission, Selection};

fn set(names: &[&str], fields: &[&str]) -> ObjectPermission {
    ObjectPermission::sets(ObjectKind::new("apps/v1", "StatefulSet"), names, fields)
}

fn asking(objects: Vec<ObjectPermission>) -> Description {
    Description { objects, ..Description::default() }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn a_pattern_covers_what_every_name_of_another_is() {
    for (granted, wanted, expected) in [
        ("{cluster}", "{cluster}", true),
        ("*", "{cluster}-*", true),
        ("{cluster}-*", "{cluster}-pooler", true),
        ("{cluster}-*", "{cluster}-pooler-*", true),
        ("*{cluster}*", "postgres-{cluster}-pdb", true),
        ("{cluster}-*", "*", false),
        ("{cluster}", "{cluster}-*", false),
        ("postgres-{cluster}-pdb", "*{cluster}*", false),
        ("a*b*c", "axbxbxc", true),
        ("ttl", "*", false),
    ] {
        assert_eq!(covers_pattern(granted, wanted), expected, "{granted} {wanted}");
    }
}

#[test]
fn what_a_plugin_needs_is_granted_by_the_same_or_by_more() {
    let description = Description {
        objects: vec![
            ObjectPermission::creates(ObjectKind::new("v1", "Service"), &["{cluster}-pooler"]),
            set(&["{cluster}"], &["spec.template.spec.containers[name=postgres].env"]),
        ],
        privileges: vec![PrivilegePermission { name: "host-path".into(), optional: false }],
        actions: vec![ActionPermission::new(ActionKind::ConfigurePatroni, &["ttl", "slots"])],
        ..Description::default()
    };
    let needed = needed(&description);
    assert!(is_empty(&missing(&description, &needed)));
    assert_eq!(missing(&description, &Grants::default()), needed);
    let more = Grants {
        objects: vec![
            ObjectGrant { fields: texts(&["*"]), names: texts(&["*"]), ..needed.objects[0].clone() },
            ObjectGrant {
                fields: texts(&["spec.template.spec.containers[*]"]),
                names: texts(&["other", "{cluster}*"]),
                ..needed.objects[1].clone()
            },
        ],
        actions: vec![ActionGrant { kind: ActionKind::ConfigurePatroni, subjects: texts(&["*"]) }],
        ..needed
    };
    assert!(is_empty(&missing(&description, &more)), "{:?}", missing(&description, &more));
}

#[test]
fn only_what_is_missing_is_named() {
    let description = asking(vec![set(&["{cluster}", "{cluster}-repl"], &["spec.replicas", "spec.template"])]);
    let of = |names: &[&str], fields: &[&str]| ObjectGrant {
        names: texts(names),
        fields: texts(fields),
        ..object(&description.objects[0])
    };
    let lacks =
        |given: ObjectGrant| missing(&description, &Grants { objects: vec![given], ..Grants::default() }).objects;
    assert_eq!(lacks(of(&["*"], &["spec.replicas"])), [of(&["{cluster}", "{cluster}-repl"], &["spec.template"])]);
    assert_eq!(lacks(of(&["{cluster}"], &["spec"])), [of(&["{cluster}-repl"], &["spec.replicas", "spec.template"])]);
    assert_eq!(lacks(of(&["*"], &["spec"])), []);
}

#[test]
fn a_grant_without_fields_and_one_without_creation_do_not_cover_a_new_object() {
    let description = asking(vec![ObjectPermission::creates(ObjectKind::new("v1", "Service"), &["{cluster}"])]);
    let needed = needed(&description).objects.remove(0);
    for given in [
        ObjectGrant { creates: false, ..needed.clone() },
        ObjectGrant { fields: texts(&["spec.type"]), ..needed.clone() },
    ] {
        let missing = missing(&description, &Grants { objects: vec![given], ..Grants::default() });
        assert_eq!(missing.objects, std::slice::from_ref(&needed));
    }
}

const PGVERSION: &str = "spec.template.spec.containers[name=postgres].env[name=PGVERSION]";

fn reading(kind: &str, from: Selection, fields: &[&str]) -> ObservedSelector {
    ObservedSelector { id: "id".into(), kind: ObjectKind::new("v1", kind), from, fields: texts(fields) }
}

#[test]
fn what_a_plugin_observes_has_to_be_granted_by_kind_place_and_field() {
    let lacks = |asked: (Selection, &[&str]), given: Option<(&str, &str, &[&str])>| {
        let description =
            Description { observed: vec![reading("ConfigMap", asked.0, asked.1)], ..Description::default() };
        let grant = |(kind, from, fields): (&str, &str, &[&str])| ReadGrant {
            api_version: "v1".into(),
            kind: kind.into(),
            from: from.into(),
            fields: texts(fields),
        };
        let granted = Grants { reads: given.into_iter().map(grant).collect(), ..Grants::default() };
        missing(&description, &granted).reads.first().map(|missing| missing.fields.clone())
    };
    let named = || Selection::Manifest("/spec/tls/secretName".into());
    assert_eq!(lacks((named(), &["data"]), None), Some(texts(&["data"])));
    assert_eq!(lacks((named(), &[]), None), Some(vec![]));
    for (given, missing) in [
        (("ConfigMap", "manifest:/spec/tls/secretName", &["data"] as &[&str]), None),
        (("ConfigMap", "manifest:/spec/tls/secretName", &[]), None),
        (("ConfigMap", "manifest:/spec/tls/secretName", &["data.a"]), Some(texts(&["data"]))),
        (("Secret", "manifest:/spec/tls/secretName", &[]), Some(texts(&["data"]))),
        (("ConfigMap", "manifest:/metadata/name", &[]), Some(texts(&["data"]))),
        (("ConfigMap", "cluster", &[]), Some(texts(&["data"]))),
    ] {
        assert_eq!(lacks((named(), &["data"]), Some(given)), missing, "{given:?}");
    }
    let whole = ("ConfigMap", "manifest:/spec/tls/secretName", &["data"] as &[&str]);
    assert_eq!(lacks((named(), &[]), Some(whole)), Some(vec![]));
}

#[test]
fn a_variable_is_granted_only_by_its_name() {
    let description =
        Description { observed: vec![reading("ConfigMap", Selection::Owned, &[PGVERSION])], ..Description::default() };
    let grant = |fields: &[&str]| ReadGrant { fields: texts(fields), ..read(&description.observed[0]) };
    let lacks = |fields| missing(&description, &Grants { reads: vec![grant(fields)], ..Grants::default() }).reads;
    assert_eq!(lacks(&[PGVERSION]), []);
    assert_eq!(lacks(&["spec.template.spec.containers[*].env[name=PGVERSION]"]), []);
    for fields in [&[] as &[&str], &["spec"], &["spec.template.spec.containers[name=postgres].env"]] {
        assert_eq!(lacks(fields), [grant(&[PGVERSION])], "{fields:?}");
    }
}

#[test]
fn what_a_plugin_reads_of_earlier_steps_and_of_the_configuration_has_to_be_granted_by_kind_and_by_key() {
    let keys = |keys: &[&str]| texts(keys).into_iter().collect::<BTreeSet<String>>();
    let description = Description {
        config_keys: texts(&["docker_image", "sidecars"]),
        relevant: vec![Trigger::Config("team_admin_role".into()), Trigger::Config("sidecars".into())],
        desired: vec![ObjectKind::new("apps/v1", "StatefulSet"), ObjectKind::new("v1", "Service")],
        ..Description::default()
    };
    let needed = needed(&description);
    assert_eq!(needed.config, keys(&["docker_image", "sidecars", "team_admin_role"]));
    assert_eq!(missing(&description, &Grants::default()), needed);
    assert!(is_empty(&missing(&description, &needed)));
    assert!(is_empty(&super::optional(&description)));
    let service = KindGrant { api_version: "v1".into(), kind: "Service".into() };
    let of_another_group = KindGrant { api_version: "example.org/v1".into(), kind: "StatefulSet".into() };
    let given = Grants {
        desired: BTreeSet::from([service, of_another_group]),
        config: keys(&["docker_image", "team_admin_role"]),
        ..Grants::default()
    };
    let text = "\
desired:
- apiVersion: apps/v1
  kind: StatefulSet
config: [sidecars]
";
    assert_eq!(yaml(&missing(&description, &given), 0), text);
}

#[test]
fn what_is_optional_is_not_missing() {
    let optional = ObjectPermission { optional: true, ..set(&["{cluster}"], &["spec"]) };
    let description = Description {
        objects: vec![optional],
        credentials: vec![CredentialPermission { source: Source::Config("scalyr_api_key".into()), optional: true }],
        ..Description::default()
    };
    assert!(is_empty(&missing(&description, &Grants::default())));
    assert!(is_empty(&needed(&description)));
    assert_eq!(super::optional(&description), all(&description));
    assert_eq!(all(&description).credentials, BTreeSet::from([Source::Config("scalyr_api_key".into())]));
}

#[test]
fn grants_are_written_as_a_pipeline_has_them() {
    let long = "spec.template.spec.containers[name=postgres].volumeMounts";
    let description = Description {
        objects: vec![
            ObjectPermission::creates(ObjectKind::new("v1", "Service"), &["{cluster}", "{cluster}-repl"]),
            ObjectPermission { overrides: texts(&["spec.replicas"]), ..set(&["{cluster}"], &["spec.replicas", long]) },
        ],
        privileges: vec![PrivilegePermission { name: "host-path".into(), optional: false }],
        credentials: vec![CredentialPermission { source: Source::Config("scalyr_api_key".into()), optional: false }],
        actions: vec![
            ActionPermission::new(ActionKind::ConfigurePatroni, &["ttl", "postgresql.parameters.*"]),
            ActionPermission::new(ActionKind::Promote, &[]),
            ActionPermission::new(ActionKind::GrowFilesystem, &["pgdata-{cluster}-*"]),
        ],
        observed: vec![
            reading("StatefulSet", Selection::Owned, &[PGVERSION]),
            reading("ConfigMap", Selection::Config("pod_environment_configmap".into()), &[]),
        ],
        ..Description::default()
    };
    let text = "\
objects:
- apiVersion: v1
  kind: Service
  names: [\"{cluster}\", \"{cluster}-repl\"]
  creates: true
- apiVersion: apps/v1
  kind: StatefulSet
  names: [\"{cluster}\"]
  fields: [spec.replicas, \"spec.template.spec.containers[name=postgres].volumeMounts\"]
  overrides: [spec.replicas]
reads:
- apiVersion: v1
  kind: StatefulSet
  from: cluster
  fields: [\"spec.template.spec.containers[name=postgres].env[name=PGVERSION]\"]
- apiVersion: v1
  kind: ConfigMap
  from: \"config:pod_environment_configmap\"
privileges: [host-path]
credentials: [\"config:scalyr_api_key\"]
actions:
- kind: configure-patroni
  subjects: [ttl, \"postgresql.parameters.*\"]
- kind: promote
- kind: grow-filesystem
  subjects: [\"pgdata-{cluster}-*\"]
";
    assert_eq!(yaml(&needed(&description), 0), text);
    let wide = yaml(&needed(&asking(vec![set(&["{cluster}"], &[long, long])])), 6);
    assert!(wide.contains(&format!("\n        fields:\n        - \"{long}\"\n")), "{wide}");
    assert_eq!(yaml(&Grants::default(), 2), "  {}\n");
}
