//! Tests: which Secrets a cluster needs, and what is written to them.

use super::*;
use crate::role::{CredentialRequest, InfrastructureRole, Sources, gather};

fn naming() -> Naming {
    Naming {
        template: "{username}.{cluster}.credentials.{tprkind}.{tprgroup}".into(),
        cluster: "acid-pooler".into(),
        team: "acid".into(),
        namespace: "prod".into(),
        labels: map(&[("application", "spilo"), ("cluster-name", "acid-pooler"), ("team", "acid")]),
        ..Naming::default()
    }
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn pooler_labels() -> BTreeMap<String, String> {
    map(&[("application", "db-connection-pooler"), ("connection-pooler", "acid-pooler-pooler"), ("team", "")])
}

fn attributes(words: &[&str]) -> crate::role::Attributes {
    crate::role::Attributes::parse(words).unwrap()
}

fn cluster() -> Sources {
    Sources {
        namespace: "prod".into(),
        users: [("zalando".into(), attributes(&["superuser"])), ("foo_user".into(), attributes(&[]))].into(),
        credentials: vec![CredentialRequest { username: "pooler".into(), labels: pooler_labels() }],
        ..Sources::default()
    }
}

fn list() -> UserListRequest {
    UserListRequest {
        secret_name: "acid-pooler-pooler-u".into(),
        username: "pooler".into(),
        labels: map(&[
            ("application", "db-connection-pooler"),
            ("connection-pooler", "acid-pooler-pooler"),
            ("spilo-role", "master"),
        ]),
    }
}

fn all() -> Vec<WantedSecret> {
    wanted(&gather(&cluster()), &[list()], &naming()).0
}

type Secrets = BTreeMap<String, Data>;

fn secrets(given: &[(&str, &[(&str, &str)])]) -> Secrets {
    given
        .iter()
        .map(|(name, data)| {
            let data = data.iter().map(|(key, value)| ((*key).into(), value.as_bytes().to_vec()));
            ((*name).into(), Data(data.collect()))
        })
        .collect()
}

/// When the first rotation of the tests is.
const FIRST: &str = "2024-06-19T12:00:00Z";

/// Plans with passwords `generated1`, `generated2`, ….
fn planned(wanted: &[WantedSecret], existing: &Secrets) -> SecretChanges {
    let mut count = 0;
    plan(
        wanted,
        FIRST,
        |_, name| existing.get(name).cloned(),
        |_| {
            count += 1;
            Ok::<_, std::convert::Infallible>(Password::new(format!("generated{count}")))
        },
    )
    .unwrap()
}

/// What the Secrets hold after a plan.
fn after(plan: &SecretChanges, mut existing: Secrets) -> Secrets {
    for write in &plan.writes {
        let data = existing.entry(write.name.clone()).or_default();
        for (key, value) in write.body()["data"].as_object().unwrap() {
            data.0.insert(key.clone(), STANDARD.decode(value.as_str().unwrap()).unwrap());
        }
    }
    existing
}

const ZALANDO: &str = "zalando.acid-pooler.credentials.postgresql.acid.zalan.do";

#[test]
fn every_role_that_logs_in_by_password_has_a_secret() {
    let names: Vec<_> = all().into_iter().map(|secret| secret.name).collect();
    assert_eq!(
        names,
        [
            "foo-user.acid-pooler.credentials.postgresql.acid.zalan.do",
            "pooler.acid-pooler.credentials.postgresql.acid.zalan.do",
            "postgres.acid-pooler.credentials.postgresql.acid.zalan.do",
            "standby.acid-pooler.credentials.postgresql.acid.zalan.do",
            ZALANDO,
            "acid-pooler-pooler-u",
        ]
    );
}

#[test]
fn secrets_are_printed_without_their_passwords() {
    let all = all();
    assert_eq!(
        all[0].object(),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": "foo-user.acid-pooler.credentials.postgresql.acid.zalan.do",
                "namespace": "prod",
                "labels": {"application": "spilo", "cluster-name": "acid-pooler", "team": "acid"},
            },
            "data": {"username": STANDARD.encode("foo_user")},
        })
    );
    assert_eq!(all[5].object().get("data"), None);
}

#[test]
fn a_plugins_labels_go_over_the_clusters() {
    let all = all();
    assert_eq!(
        all[1].labels,
        map(&[
            ("application", "db-connection-pooler"),
            ("cluster-name", "acid-pooler"),
            ("connection-pooler", "acid-pooler-pooler"),
        ])
    );
    assert_eq!(all[5].labels["team"], "acid");
    assert_eq!(all[5].labels["spilo-role"], "master");
}

#[test]
fn metadata_never_mentions_the_data() {
    let naming = Naming {
        annotations: map(&[("owned-by", "acid")]),
        owner: Some(json!({"kind": "postgresql", "uid": "1"})),
        ..naming()
    };
    let (all, _) = wanted(&gather(&cluster()), &[], &naming);
    let metadata = all[0].metadata();
    assert_eq!(metadata.get("data"), None);
    assert_eq!(metadata["metadata"]["annotations"], json!({"owned-by": "acid"}));
    assert_eq!(metadata["metadata"]["ownerReferences"][0]["uid"], "1");
}

#[test]
fn a_secret_in_another_namespace_has_no_owner() {
    let mut sources = cluster();
    sources.users = [("app.db_user".into(), attributes(&[]))].into();
    sources.settings.cross_namespace_secrets = true;
    let naming = Naming { owner: Some(json!({"uid": "1"})), ..naming() };
    let (all, _) = wanted(&gather(&sources), &[], &naming);
    assert_eq!((all[0].namespace.as_str(), &all[0].owner), ("app", &None));
    assert!(all[1].owner.is_some());
}

#[test]
fn missing_secrets_are_created_once_and_then_kept() {
    let all = all();
    let first = planned(&all, &Secrets::new());
    assert!(first.writes.iter().all(|write| write.act == Act::Create));
    assert_eq!(first.writes.len(), 6);
    let existing = after(&first, Secrets::new());
    let zalando = &existing[ZALANDO].0;
    assert_eq!(zalando["username"], b"zalando");
    assert_eq!(zalando["password"], first.passwords["zalando"].reveal().as_bytes());

    let second = planned(&all, &existing);
    assert_eq!(second.writes, []);
    assert_eq!(second.passwords, first.passwords);
}

#[test]
fn the_user_list_holds_the_poolers_password_and_follows_it() {
    let all = all();
    let first = planned(&all, &Secrets::new());
    let mut existing = after(&first, Secrets::new());
    let password = first.passwords["pooler"].reveal();
    let list = &existing["acid-pooler-pooler-u"].0["userlist.txt"];
    assert_eq!(String::from_utf8_lossy(list), format!("\"pooler\" \"{password}\"\n"));

    existing.remove("pooler.acid-pooler.credentials.postgresql.acid.zalan.do");
    let again = planned(&all, &existing);
    let acts: Vec<_> = again.writes.iter().map(|write| format!("{write:?}")).collect();
    assert_eq!(
        acts,
        ["Create prod/pooler.acid-pooler.credentials.postgresql.acid.zalan.do", "Patch prod/acid-pooler-pooler-u"]
    );
}

#[test]
fn the_user_list_has_the_infrastructure_roles_that_log_in_and_follows_their_passwords() {
    let with = |password: &str| {
        let role = |name: &str, words: &[&str]| InfrastructureRole {
            name: name.into(),
            password: Password::new(password),
            attributes: attributes(words),
            member_of: BTreeSet::new(),
            admin: None,
            parameters: BTreeMap::new(),
        };
        let infrastructure = vec![role("metrics", &[]), role("operators", &["nologin"])];
        wanted(&gather(&Sources { infrastructure, ..cluster() }), &[list()], &naming()).0
    };
    let list = |secrets: &Secrets| String::from_utf8(secrets["acid-pooler-pooler-u"].0[USER_LIST].clone()).unwrap();
    let first = planned(&with("a"), &Secrets::new());
    let own = first.passwords["pooler"].reveal().to_owned();
    let existing = after(&first, Secrets::new());
    assert_eq!(list(&existing), format!("\"pooler\" \"{own}\"\n\"metrics\" \"a\"\n"));
    let existing = after(&planned(&with("b"), &existing), existing);
    assert_eq!(list(&existing), format!("\"pooler\" \"{own}\"\n\"metrics\" \"b\"\n"));
}

#[test]
fn a_quote_in_a_user_list_is_doubled() {
    let mut all = all();
    all.retain(|secret| secret.name.contains("pooler-u") || secret.name.starts_with("pooler."));
    let existing = secrets(&[(
        "pooler.acid-pooler.credentials.postgresql.acid.zalan.do",
        &[("username", "pooler"), ("password", "a\"b")],
    )]);
    let existing = after(&planned(&all, &existing), existing);
    let list = &existing["acid-pooler-pooler-u"].0["userlist.txt"];
    assert_eq!(String::from_utf8_lossy(list), "\"pooler\" \"a\"\"b\"\n");
}

#[test]
fn a_password_is_not_written_to_a_secret_that_is_no_user_list() {
    let theirs: &[(&str, &str)] = &[("token", "theirs")];
    let plan = planned(&all(), &secrets(&[("acid-pooler-pooler-u", theirs)]));
    assert!(plan.writes.iter().all(|write| write.name != "acid-pooler-pooler-u"), "{:?}", plan.writes);
    assert_eq!(
        plan.findings[0].message,
        "Secret acid-pooler-pooler-u exists and is not a user list; it is left as it is"
    );
}

#[test]
fn a_user_list_without_its_credential_is_named() {
    let mut all = all();
    all.retain(|secret| secret.name.contains("pooler-u"));
    let plan = planned(&all, &Secrets::new());
    assert_eq!(plan.writes, []);
    assert_eq!(plan.findings[0].message, "Secret acid-pooler-pooler-u cannot be made: \"pooler\" has no credential");
}

#[test]
fn a_secret_made_beforehand_gives_the_role_its_password() {
    let existing = secrets(&[(ZALANDO, &[("username", "zalando"), ("password", "mine")])]);
    let plan = planned(&all(), &existing);
    assert_eq!(plan.passwords["zalando"], Password::new("mine"));
    assert!(plan.writes.iter().all(|write| write.name != ZALANDO));
}

#[test]
fn a_secret_made_beforehand_without_a_password_gets_one() {
    let existing = secrets(&[(ZALANDO, &[("username", "zalando")])]);
    let plan = planned(&all(), &existing);
    let write = plan.writes.iter().find(|write| write.name == ZALANDO).unwrap();
    assert_eq!(write.act, Act::Patch);
    let existing = after(&plan, existing);
    assert_eq!(existing[ZALANDO].0["password"], plan.passwords["zalando"].reveal().as_bytes());
}

#[test]
fn an_empty_password_or_one_that_is_not_utf_8_is_never_overwritten() {
    for bytes in [&b""[..], b"\xff\xfe"] {
        let mut existing = secrets(&[(ZALANDO, &[("username", "zalando")])]);
        existing.get_mut(ZALANDO).unwrap().0.insert("password".into(), bytes.to_vec());
        let plan = planned(&all(), &existing);
        assert!(plan.writes.iter().all(|write| write.name != ZALANDO));
        assert_eq!(plan.passwords.get("zalando"), None);
        assert!(plan.findings[0].message.contains(&format!("Secret prod/{ZALANDO} has an empty password")));
    }
}

fn found(metadata: serde_json::Value) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
    let mut metadata = metadata;
    metadata["managedFields"] = json!([{"manager": "pgloom", "operation": "Update"}]);
    metadata["resourceVersion"] = json!("7");
    serde_json::from_value(metadata).unwrap()
}

fn followed(naming: &Naming, existing: serde_json::Value) -> Option<serde_json::Value> {
    let (all, _) = wanted(&gather(&cluster()), &[], naming);
    follow(&all[0], &found(existing)).map(|write| write.body().clone())
}

#[test]
fn labels_and_annotations_of_an_existing_secret_follow_and_others_stay() {
    let naming = Naming { annotations: map(&[("owned-by", "acid")]), ..naming() };
    let existing = json!({
        "labels": {"application": "spilo", "cluster-name": "acid-pooler", "team": "former", "theirs": "x"},
        "annotations": {"theirs": "x"},
    });
    assert_eq!(
        followed(&naming, existing),
        Some(json!({"metadata": {"labels": {"team": "acid"}, "annotations": {"owned-by": "acid"}}}))
    );
    let complete = json!({"labels": naming.labels, "annotations": naming.annotations});
    assert_eq!(followed(&naming, complete), None);
}

#[test]
fn the_owner_of_an_existing_secret_comes_and_goes_with_the_setting() {
    let owner = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql", "name": "acid-pooler", "uid": "1", "controller": true,
    });
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "9"});
    let with = Naming { owner: Some(owner.clone()), ..naming() };
    let existing = |owners: serde_json::Value| json!({"labels": naming().labels, "ownerReferences": owners});
    let owners =
        |owners: serde_json::Value| Some(json!({"metadata": {"ownerReferences": owners, "resourceVersion": "7"}}));
    assert_eq!(followed(&with, existing(json!([theirs]))), owners(json!([theirs, owner])));
    assert_eq!(followed(&with, existing(json!([owner]))), None);
    let mut former = owner.clone();
    former["uid"] = json!("0");
    assert_eq!(followed(&with, existing(json!([former]))), owners(json!([owner])));
    assert_eq!(followed(&naming(), existing(json!([theirs, owner]))), owners(json!([theirs])));
    let mut controller = theirs;
    controller["controller"] = json!(true);
    assert_eq!(followed(&with, existing(json!([controller]))), None);
}

#[test]
fn a_secret_that_the_operator_did_not_write_is_not_given_labels() {
    let (all, _) = wanted(&gather(&cluster()), &[], &naming());
    let written_by = |manager: &str| {
        let fields = json!([{"manager": manager, "operation": "Update"}]);
        follow(&all[0], &serde_json::from_value(json!({"managedFields": fields})).unwrap()).is_some()
    };
    assert!(written_by("pgloom") && written_by("postgres-operator"));
    assert!(!written_by("kubectl-create"));
    assert_eq!(follow(&all[0], &Default::default()), None);
}

#[test]
fn a_secret_of_another_user_is_left_as_it_is() {
    for data in [&[("username", "other"), ("password", "x")][..], &[("password", "x")], &[]] {
        let plan = planned(&all(), &secrets(&[(ZALANDO, data)]));
        assert!(plan.writes.iter().all(|write| write.name != ZALANDO));
        assert_eq!(plan.passwords.get("zalando"), None);
        assert_eq!(
            plan.findings[0].message,
            format!("Secret prod/{ZALANDO} belongs to another user than \"zalando\" and is left as it is")
        );
    }
}

#[test]
fn an_infrastructure_password_follows_the_operator_wide_secret() {
    let sources = Sources {
        infrastructure: vec![InfrastructureRole {
            name: "zalando".into(),
            password: Password::new("new"),
            attributes: attributes(&[]),
            member_of: BTreeSet::new(),
            admin: None,
            parameters: BTreeMap::new(),
        }],
        users: BTreeMap::new(),
        ..cluster()
    };
    let (all, _) = wanted(&gather(&sources), &[], &naming());
    let existing = secrets(&[(ZALANDO, &[("username", "zalando"), ("password", "old")])]);
    let plan = planned(&all, &existing);
    assert_eq!(plan.passwords["zalando"], Password::new("new"));
    let existing = after(&plan, existing);
    assert_eq!(existing[ZALANDO].0["password"], b"new");
    assert!(planned(&all, &existing).writes.iter().all(|write| write.name != ZALANDO));
}

#[test]
fn two_roles_whose_secrets_have_one_name_are_named() {
    let sources =
        Sources { users: [("a-b".into(), attributes(&[])), ("a_b".into(), attributes(&[]))].into(), ..cluster() };
    let (all, findings) = wanted(&gather(&sources), &[], &naming());
    assert_eq!(all.iter().filter(|secret| secret.name.starts_with("a-b.")).count(), 1);
    assert_eq!(
        findings[0].message,
        "two Secrets would have the name a-b.acid-pooler.credentials.postgresql.acid.zalan.do"
    );
}

#[test]
fn a_role_whose_secret_cannot_be_stored_is_refused_unless_it_is_the_platforms() {
    let mut sources = Sources { users: [("a_".into(), attributes(&[]))].into(), ..cluster() };
    sources.infrastructure = vec![InfrastructureRole {
        name: "b_".into(),
        password: Password::new("secret"),
        attributes: attributes(&[]),
        member_of: BTreeSet::new(),
        admin: None,
        parameters: BTreeMap::new(),
    }];
    let naming = Naming { template: "{cluster}.{username}".into(), ..naming() };
    let (all, findings) = wanted(&gather(&sources), &[], &naming);
    assert!(all.iter().all(|secret| !secret.name.ends_with('-')));
    let said: Vec<_> = findings.iter().map(|finding| (finding.is_error(), finding.message.as_str())).collect();
    assert_eq!(
        said,
        [
            (
                true,
                "the Secret of role \"a_\" would have the name \"acid-pooler.a-\", which Kubernetes does not accept"
            ),
            (
                false,
                "the Secret of role \"b_\" would have the name \"acid-pooler.b-\", which Kubernetes does not accept"
            ),
        ]
    );
}

#[test]
fn nothing_printed_holds_a_password() {
    let mut sources = cluster();
    sources.infrastructure = vec![InfrastructureRole {
        name: "ops".into(),
        password: Password::new("t0psecret"),
        attributes: crate::role::Attributes::default(),
        member_of: BTreeSet::new(),
        admin: None,
        parameters: BTreeMap::new(),
    }];
    let roles = gather(&sources);
    let (all, findings) = wanted(&roles, &[list()], &naming());
    let plan = planned(&all, &Secrets::new());
    let printed = format!("{sources:?} {roles:?} {all:?} {findings:?} {plan:?}");
    assert!(!printed.contains("t0psecret"));
    assert!(!printed.contains("generated1"));
}

const FOO: &str = "foo-user.acid-pooler.credentials.postgresql.acid.zalan.do";

/// The Secrets of the cluster whose role `foo_user` has this rotation.
fn rotating(rotation: Rotation) -> Vec<WantedSecret> {
    let mut roles = gather(&cluster());
    roles.roles.get_mut("foo_user").unwrap().rotation = rotation;
    wanted(&roles, &[], &naming()).0
}

/// What is written to the Secret of `foo_user`, decoded.
fn written(plan: &SecretChanges) -> BTreeMap<String, String> {
    let writes = plan.writes.iter().filter(|write| write.name == FOO);
    let data = writes.flat_map(|write| write.body()["data"].as_object().unwrap().clone());
    data.map(|(key, value)| (key, String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()))
        .collect()
}

#[test]
fn the_secret_of_a_role_with_a_rotation_has_the_time_of_the_first_one() {
    let new = planned(&rotating(Rotation::NewRole), &Secrets::new());
    assert_eq!(written(&new)["nextRotation"], FIRST);
    assert_eq!(written(&new)["username"], "foo_user");
    for next in [None, Some(""), Some("soon"), Some("2024-07-19T12:00:00Z")] {
        let mut existing = secrets(&[(FOO, &[("username", "foo_user"), ("password", "mine")])]);
        next.map(|next| existing.get_mut(FOO).unwrap().0.insert("nextRotation".into(), next.as_bytes().to_vec()));
        let plan = planned(&rotating(Rotation::InPlace), &existing);
        assert_eq!(written(&plan), map(&[("nextRotation", FIRST)]), "{next:?}");
        assert_eq!(plan.logins["foo_user"].next_rotation.as_deref(), next);
        let existing = after(&plan, existing);
        assert_eq!(written(&planned(&rotating(Rotation::InPlace), &existing)), map(&[]));
    }
    let earlier = [("username", "foo_user"), ("password", "mine"), ("nextRotation", "2024-01-01T00:00:00Z")];
    assert_eq!(written(&planned(&rotating(Rotation::NewRole), &secrets(&[(FOO, &earlier)]))), map(&[]));
    let off = secrets(&[(FOO, &[("username", "foo_user"), ("password", "mine")])]);
    assert_eq!(written(&planned(&rotating(Rotation::Off), &off)), map(&[]));
}

#[test]
fn a_secret_of_a_login_role_of_a_rotation_is_the_roles_own() {
    let existing = secrets(&[(FOO, &[("username", "foo_user240131"), ("password", "mine")])]);
    for rotation in [Rotation::Off, Rotation::NewRole, Rotation::InPlace] {
        let plan = planned(&rotating(rotation), &existing);
        assert_eq!(plan.login("foo_user"), "foo_user240131");
        assert_eq!(plan.passwords["foo_user240131"], Password::new("mine"));
        assert_eq!(plan.passwords.get("foo_user"), None, "the role keeps the password that it has");
        assert!(plan.findings.is_empty(), "{:?}", plan.findings);
    }
    let never = planned(&rotating(Rotation::Never), &existing);
    assert!(never.findings[0].message.contains("belongs to another user"));
    let mut twins = rotating(Rotation::NewRole);
    let twin = WantedSecret {
        name: "twin".into(),
        content: Content::Credential { username: "foo_user240131".into(), given: None, rotation: Rotation::Off },
        ..twins[0].clone()
    };
    twins.push(twin);
    let plan = planned(&twins, &existing);
    assert!(plan.findings[0].message.contains("belongs to another user"), "a role of the manifest has the name");
    let other = secrets(&[(FOO, &[("username", "foo_user2401"), ("password", "mine")])]);
    assert!(planned(&rotating(Rotation::NewRole), &other).findings[0].message.contains("belongs to another user"));
}

#[test]
fn the_credential_of_a_rotation_replaces_only_the_secret_that_was_read() {
    let secret = rotating(Rotation::NewRole).into_iter().find(|secret| secret.name == FOO).unwrap();
    let login = Login { username: "foo_user240131".into(), next_rotation: Some(FIRST.into()) };
    let write = replace(&secret, Some("7"), &login, &Password::new("t0psecret"));
    assert_eq!(write.body()["metadata"], json!({"resourceVersion": "7"}));
    assert!(!format!("{write:?}").contains("t0psecret"));
    let plan = SecretChanges { writes: vec![write], ..SecretChanges::default() };
    assert_eq!(
        written(&plan),
        map(&[("nextRotation", FIRST), ("password", "t0psecret"), ("username", "foo_user240131")])
    );
}
