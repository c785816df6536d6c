//! Tests of the plugin.

use pgloom_kit::bootstrap::variables::{Archive, of_clone};
use pgloom_kit::container::{env, name_of};
use pgloom_kit::testing::upstream::cases;
use pgloom_kit::testing::{Answer, Call, operator_config, reason};
use pgloom_kit::{Failure, Value, json};

use crate::Clones;

const BASE: [&str; 3] = ["SCOPE", "DCS_ENABLE_KUBERNETES_API", "KUBERNETES_BOOTSTRAP_LABELS"];

fn statefulset(variables: &[Value]) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "acid-clone"},
        "spec": {"template": {"spec": {"containers": [{"name": "postgres", "env": variables}, {"name": "sidecar"}]}}},
    })
}

fn call(clone: Value, config: Value) -> Result<Answer, Failure> {
    calling(clone, config).mutate::<Clones>()
}

fn calling(clone: Value, config: Value) -> Call {
    let base: Vec<Value> = BASE.iter().map(|name| env(name, "x")).collect();
    Call::new(&json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-clone", "namespace": "shop"},
        "spec": {"teamId": "acid", "clone": clone},
    }))
    .operator_config(&operator_config(&config))
    .desired(&statefulset(&base))
}

fn variables(answer: &Answer) -> Vec<Value> {
    let list = answer.objects[0].pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    let [anchor, rest @ ..] = &list[..] else { panic!("nothing") };
    assert_eq!(*anchor, json!({"name": "KUBERNETES_BOOTSTRAP_LABELS"}));
    rest.to_vec()
}

fn from_archive(changes: Value) -> Value {
    let mut clone = json!({"cluster": "acid-batman", "uid": "efd12e58", "timestamp": "2017-12-19T12:40:33+01:00"});
    for (key, value) in changes.as_object().unwrap() {
        clone[key] = value.clone();
    }
    clone
}

#[test]
fn clones_are_as_recorded() {
    for case in cases("clones_are_as_recorded") {
        let Some(recorded) = case.created("StatefulSet", |_| true).first().copied() else { continue };
        let list = recorded.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
        let is_ours = |entry: &&Value| entry["name"].as_str().unwrap().starts_with("CLONE_");
        let ours: Vec<&Value> = list.iter().filter(is_ours).collect();
        if ours.is_empty() {
            continue;
        }
        let others: Vec<Value> = list.iter().filter(|entry| !is_ours(entry)).cloned().collect();
        let first = list.iter().position(|entry| is_ours(&entry)).unwrap();
        let mut desired = recorded.clone();
        *desired.pointer_mut("/spec/template/spec/containers/0/env").unwrap() = json!(others);
        let answer = case.call().desired(&desired).mutate::<Clones>().unwrap();

        let mut expected = vec![json!({"name": list[first - 1]["name"]})];
        expected.extend(ours.into_iter().map(|entry| {
            let mut entry = entry.clone();
            if entry.get("valueFrom").is_none() && entry.get("value").is_none() {
                entry["value"] = json!("");
            }
            entry
        }));
        expected.extend(others.get(first).map(|next| json!({"name": next["name"]})));
        assert_eq!(
            answer.objects[0]["spec"]["template"]["spec"]["containers"][0]["env"],
            json!(expected),
            "{}",
            case.name
        );
    }
}

#[test]
fn without_a_timestamp_the_running_leader_is_cloned() {
    let answer = call(json!({"cluster": "acid-batman"}), json!({"replication_username": "repl_user"})).unwrap();
    let secret = "repl-user.acid-batman.credentials.postgresql.acid.zalan.do";
    assert_eq!(
        variables(&answer),
        [
            env("CLONE_SCOPE", "acid-batman"),
            env("CLONE_METHOD", "CLONE_WITH_BASEBACKUP"),
            env("CLONE_HOST", "acid-batman"),
            env("CLONE_PORT", "5432"),
            env("CLONE_USER", "repl_user"),
            json!({"name": "CLONE_PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}}),
        ]
    );
}

#[test]
fn with_a_timestamp_the_archive_is_cloned() {
    let answer = call(from_archive(json!({})), json!({"wal_s3_bucket": "wale-bucket"})).unwrap();
    assert_eq!(
        variables(&answer),
        [
            env("CLONE_SCOPE", "acid-batman"),
            env("CLONE_WAL_S3_BUCKET", "wale-bucket"),
            env("CLONE_WAL_BUCKET_SCOPE_SUFFIX", "/efd12e58"),
            env("CLONE_METHOD", "CLONE_WITH_WALE"),
            env("CLONE_TARGET_TIME", "2017-12-19T12:40:33+01:00"),
            env("CLONE_WAL_BUCKET_SCOPE_PREFIX", ""),
        ]
    );
}

#[test]
fn the_archive_may_be_at_a_path_of_its_own() {
    let clone = from_archive(json!({"uid": "", "s3_wal_path": "s3://some/path/"}));
    let answer = call(clone, json!({"wal_s3_bucket": "wale-bucket"})).unwrap();
    assert_eq!(variables(&answer)[1], env("CLONE_WALE_S3_PREFIX", "s3://some/path/"));
    assert_eq!(variables(&answer)[2], env("CLONE_METHOD", "CLONE_WITH_WALE"));
    assert!(answer.messages().is_empty());
}

#[test]
fn a_service_with_the_api_of_s3_has_its_url_its_keys_and_its_path_style() {
    let clone = from_archive(json!({
        "s3_endpoint": "https://s3.acme.org",
        "s3_access_key_id": "pgloom-placeholder:manifest:/spec/clone/s3_access_key_id",
        "s3_secret_access_key": "pgloom-placeholder:manifest:/spec/clone/s3_secret_access_key",
        "s3_force_path_style": true,
    }));
    let answer = call(clone, json!({"wal_s3_bucket": "b"})).unwrap();
    assert_eq!(
        variables(&answer)[6..],
        [
            env("CLONE_AWS_ENDPOINT", "https://s3.acme.org"),
            env("CLONE_WALE_S3_ENDPOINT", "https://s3.acme.org"),
            env("CLONE_AWS_ACCESS_KEY_ID", "pgloom-placeholder:manifest:/spec/clone/s3_access_key_id"),
            env("CLONE_AWS_SECRET_ACCESS_KEY", "pgloom-placeholder:manifest:/spec/clone/s3_secret_access_key"),
            env("CLONE_AWS_S3_FORCE_PATH_STYLE", "1"),
        ]
    );
    let clone = from_archive(json!({"s3_force_path_style": false}));
    let answer = call(clone, json!({"wal_s3_bucket": "b"})).unwrap();
    assert_eq!(variables(&answer)[6..], [env("CLONE_AWS_S3_FORCE_PATH_STYLE", "0")]);
}

#[test]
fn the_platforms_archive_may_be_in_google_cloud_or_azure() {
    for (config, expected) in [
        (
            json!({"wal_gs_bucket": "gs", "gcp_credentials": "/meta/gcp.json"}),
            vec![env("CLONE_WAL_GS_BUCKET", "gs"), env("CLONE_GOOGLE_APPLICATION_CREDENTIALS", "/meta/gcp.json")],
        ),
        (json!({"wal_gs_bucket": "gs"}), vec![env("CLONE_WAL_GS_BUCKET", "gs")]),
        (json!({"wal_az_storage_account": "az"}), vec![env("CLONE_AZURE_STORAGE_ACCOUNT", "az")]),
        (json!({"wal_s3_bucket": "s3", "wal_gs_bucket": "gs"}), vec![env("CLONE_WAL_S3_BUCKET", "s3")]),
    ] {
        let answer = call(from_archive(json!({})), config.clone()).unwrap();
        assert_eq!(variables(&answer)[1..=expected.len()], expected, "{config}");
    }
}

#[test]
fn a_platform_without_an_archive_is_a_warning() {
    let answer = call(from_archive(json!({})), json!({})).unwrap();
    assert_eq!(variables(&answer)[1], env("CLONE_WAL_BUCKET_SCOPE_SUFFIX", "/efd12e58"));
    assert_eq!(answer.messages().len(), 1);
}

#[test]
fn an_invalid_section_is_refused_with_its_path() {
    for (clone, expected) in [
        (json!({"cluster": "foo+bar"}), "spec.clone.cluster: clone cluster name must confirm to DNS-1035"),
        (
            json!({"cluster": "a".repeat(64)}),
            "spec.clone.cluster: clone cluster name must be no longer than 63 characters",
        ),
        (from_archive(json!({"uid": null})), "spec.clone.uid: the uid is missing"),
        (json!({"cluster": "acid-clone"}), "spec.clone.cluster: a cluster cannot be cloned from itself"),
        (
            from_archive(json!({"timestamp": "2017-12-19T12:40:33"})),
            "spec.clone.timestamp: \"2017-12-19T12:40:33\" has no time zone",
        ),
        (from_archive(json!({"timestamp": "noon"})), "spec.clone.timestamp: \"noon\" is not a point in time"),
        (json!({"cluster": "", "uid": "x"}), "spec.clone.cluster: the name of the source cluster is empty"),
    ] {
        let failure = call(clone, json!({})).unwrap_err();
        assert!(reason(&failure).starts_with(expected), "{failure:?}");
    }
    // The source of an archive may have any name.
    let answer = call(from_archive(json!({"cluster": "foo+bar"})), json!({"wal_s3_bucket": "b"})).unwrap();
    assert_eq!(variables(&answer)[0], env("CLONE_SCOPE", "foo+bar"));
}

#[test]
fn an_empty_section_is_a_warning() {
    for clone in [json!({}), json!({"cluster": ""}), json!({"cluster": null})] {
        let answer = call(clone, json!({})).unwrap();
        assert!(answer.objects.is_empty());
        assert_eq!(answer.messages(), ["nothing is cloned, because the name of the source cluster is empty"]);
    }
}

#[test]
fn the_variables_are_those_that_the_base_leaves_to_this_plugin() {
    let archive = Archive { s3_bucket: "wal", role: "arn", ..Archive::default() };
    let service = json!({
        "s3_endpoint": "https://s3", "s3_access_key_id": "id", "s3_secret_access_key": "key", "s3_force_path_style": true,
    });
    let mut own_path = service.clone();
    own_path["s3_wal_path"] = json!("s3://some/path/");
    for section in [json!({"cluster": "acid-batman"}), from_archive(service), from_archive(own_path)] {
        let answer = call(section.clone(), json!({"wal_s3_bucket": "wal", "irsa_role_arn": "arn"})).unwrap();
        let mut names: Vec<String> = variables(&answer).iter().map(|entry| name_of(entry).to_owned()).collect();
        let mut reserved = of_clone(&section, &archive);
        names.sort();
        reserved.sort_unstable();
        assert_eq!(names, reserved, "{section}");
    }
}

#[test]
fn an_archive_is_read_with_the_role_of_the_service_account() {
    let answer = call(from_archive(json!({})), json!({"wal_s3_bucket": "wal", "irsa_role_arn": "arn"})).unwrap();
    let variables = variables(&answer);
    let token = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
    let expected = [env("CLONE_AWS_ROLE_ARN", "arn"), env("CLONE_AWS_WEB_IDENTITY_TOKEN_FILE", token)];
    assert_eq!(variables[variables.len() - 2..], expected);
}

#[test]
fn a_point_in_time_is_given_in_the_form_that_postgresql_takes() {
    let answer =
        call(from_archive(json!({"timestamp": "2024-02-20T10:00:00Z"})), json!({"wal_s3_bucket": "wal"})).unwrap();
    assert!(variables(&answer).contains(&env("CLONE_TARGET_TIME", "2024-02-20T10:00:00+00:00")));
}

#[test]
fn a_section_that_could_not_start_a_cluster_is_a_warning_once_it_runs() {
    let running = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-clone"}});
    let at = "2017-12-19T12:40:33+01:00";
    for (section, variable) in [
        (json!({"cluster": "acid-batman", "timestamp": at}), Some("CLONE_WAL_BUCKET_SCOPE_SUFFIX")),
        (json!({"cluster": "acid-clone"}), Some("CLONE_HOST")),
        (json!({"cluster": "", "uid": "efd12e58"}), None),
    ] {
        let config = json!({"wal_s3_bucket": "archive"});
        assert!(call(section.clone(), config.clone()).is_err(), "{section}");
        let answer = calling(section.clone(), config).observed(crate::RUNNING, &running).mutate::<Clones>().unwrap();
        assert_eq!(answer.messages().len(), 1, "{section}");
        match variable {
            Some(name) => assert!(variables(&answer).iter().any(|entry| name_of(entry) == name), "{section}"),
            None => assert!(answer.objects.is_empty(), "{section}"),
        }
    }
}
