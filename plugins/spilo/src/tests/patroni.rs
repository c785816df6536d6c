//! Patroni's configuration.

use super::*;
use pgloom_kit::Action;

fn configuration(spec: Value, config: Value) -> String {
    value(&answer(spec, config), "SPILO_CONFIGURATION").to_owned()
}

fn dynamic(spec: Value) -> Value {
    let answer = answer(spec, json!({}));
    match &answer.response.actions[0].action {
        Action::ConfigurePatroni(json) => pgloom_kit::serde_json::from_str(json).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cluster_without_settings_has_the_smallest_configuration() {
    let initdb = r#"[{"auth-host":"scram-sha-256"},{"auth-local":"trust"}]"#;
    let expected =
        format!(r#"{{"postgresql":{{}},"bootstrap":{{"initdb":{initdb},"dcs":{{"failsafe_mode":false}}}}}}"#);
    assert_eq!(configuration(json!({}), json!({})), expected);
}

#[test]
fn bin_dir_is_set_if_the_version_is_not_a_variable() {
    let made = configuration(json!({}), json!({"enable_pgversion_env_var": false}));
    assert!(made.starts_with(r#"{"postgresql":{"bin_dir":"/usr/lib/postgresql/17/bin"},"bootstrap""#), "{made}");
}

#[test]
fn settings_keep_the_order_of_the_recorded_release() {
    let spec = json!({
        "postgresql": {
            "version": "17",
            "parameters": {"shared_buffers": "32MB", "max_connections": "10", "log_statement": "all"},
        },
        "patroni": {
            "initdb": {"encoding": "UTF8", "locale": "en_US.UTF-8", "data-checksums": "true"},
            "pg_hba": ["hostssl all all 0.0.0.0/0 md5", "host    all all 0.0.0.0/0 md5"],
            "ttl": 30, "loop_wait": 10, "retry_timeout": 10, "maximum_lag_on_failover": 33_554_432,
            "synchronous_mode": true, "synchronous_mode_strict": true, "synchronous_node_count": 2,
            "slots": {"permanent_logical_1": {"type": "logical", "database": "foo", "plugin": "pgoutput"}},
            "failsafe_mode": true,
        },
    });
    let expected = concat!(
        r#"{"postgresql":{"parameters":{"shared_buffers":"32MB"},"#,
        r#""pg_hba":["hostssl all all 0.0.0.0/0 md5","host    all all 0.0.0.0/0 md5"]},"#,
        r#""bootstrap":{"initdb":[{"auth-host":"scram-sha-256"},{"auth-local":"trust"},"data-checksums","#,
        r#"{"encoding":"UTF8"},{"locale":"en_US.UTF-8"}],"dcs":{"ttl":30,"loop_wait":10,"retry_timeout":10,"#,
        r#""maximum_lag_on_failover":33554432,"synchronous_mode":true,"synchronous_mode_strict":true,"#,
        r#""synchronous_node_count":2,"postgresql":{"parameters":{"log_statement":"all","max_connections":"10"}},"#,
        r#""slots":{"permanent_logical_1":{"database":"foo","plugin":"pgoutput","type":"logical"}},"#,
        r#""failsafe_mode":true}}}"#,
    );
    assert_eq!(configuration(spec, json!({})), expected);
}

#[test]
fn the_manifest_replaces_authentication_methods_and_only_known_flags_have_no_value() {
    let options = json!({
        "auth-local": "peer", "nosync": "true", "no-locale": "false", "wal-segsize": "64", "x": "true",
    });
    let patroni = json!({"initdb": options});
    let made = configuration(json!({"patroni": patroni}), json!({}));
    let expected = concat!(
        r#""initdb":[{"auth-host":"scram-sha-256"},{"auth-local":"peer"},{"no-locale":"false"},"#,
        r#""nosync",{"wal-segsize":"64"},{"x":"true"}]"#
    );
    assert!(made.contains(expected), "{made}");
}

#[test]
fn local_parameters_are_not_in_the_shared_configuration() {
    let parameters = json!({
        "archive_command": "cp %p /a && true", "bg_mon.listen_address": "0.0.0.0", "log_filename": "x", "ssl": "on",
        "shared_preload_libraries": "bg_mon", "archive_mode": "off", "work_mem": "4MB",
    });
    let made = configuration(json!({"postgresql": {"version": "17", "parameters": parameters}}), json!({}));
    let local = concat!(
        r#"{"parameters":{"archive_command":"cp %p /a \u0026\u0026 true","bg_mon.listen_address":"0.0.0.0","#,
        r#""log_filename":"x","shared_preload_libraries":"bg_mon","ssl":"on"}}"#
    );
    assert!(made.starts_with(&format!(r#"{{"postgresql":{local}"#)), "{made}");
    assert!(made.contains(r#""dcs":{"postgresql":{"parameters":{"archive_mode":"off","work_mem":"4MB"}},"#), "{made}");
}

#[test]
fn zero_means_patronis_default_and_failsafe_mode_has_a_configured_default() {
    let made = configuration(
        json!({"patroni": {"ttl": 0, "maximum_lag_on_failover": 0, "slots": {}, "synchronous_mode": false}}),
        json!({"enable_patroni_failsafe_mode": true}),
    );
    assert!(made.ends_with(r#""dcs":{"failsafe_mode":true}}}"#), "{made}");
    let made =
        configuration(json!({"patroni": {"failsafe_mode": false}}), json!({"enable_patroni_failsafe_mode": true}));
    assert!(made.ends_with(r#""dcs":{"failsafe_mode":false}}}"#), "{made}");
}

#[test]
fn a_negative_lag_is_left_out_with_a_warning() {
    let spec = json!({"patroni": {"maximum_lag_on_failover": -1}});
    assert!(!configuration(spec.clone(), json!({})).contains("lag"));
    let answer = answer(spec, json!({}));
    assert_eq!(answer.messages(), ["a negative number of bytes has no effect: Patroni's default holds"],);
}

#[test]
fn the_lag_is_written_as_a_float32() {
    for (lag, expected) in [
        (1_048_576_i64, "1048576"),
        (16_777_217, "16777216"),
        (123_456_789, "123456790"),
        (99_999_999, "100000000"),
        (1_073_741_824, "1073741800"),
        (10_737_418_240, "10737418000"),
        (7, "7"),
    ] {
        let made = configuration(json!({"patroni": {"maximum_lag_on_failover": lag}}), json!({}));
        let expected = format!(r#""maximum_lag_on_failover":{expected},"#);
        assert!(made.contains(&expected), "{lag}: {made}");
    }
}

#[test]
fn the_dynamic_configuration_also_has_the_switches_that_are_off() {
    let spec = json!({
        "postgresql": {"version": "17", "parameters": {"shared_buffers": "32MB", "max_connections": "10"}},
        "patroni": {"ttl": 30, "synchronous_mode": true},
    });
    let expected = json!({
        "ttl": 30,
        "synchronous_mode": true,
        "synchronous_mode_strict": false,
        "postgresql": {"parameters": {"max_connections": "10"}},
        "failsafe_mode": false,
    });
    assert_eq!(dynamic(spec), expected);
    let expected = json!({"synchronous_mode": false, "synchronous_mode_strict": false, "failsafe_mode": false});
    assert_eq!(dynamic(json!({})), expected);
}

fn running(name: &str, env: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [{"name": "postgres", "env": env}]}}},
    })
}

#[test]
fn a_running_cluster_keeps_the_version_of_its_data() {
    let old = |version: &str| {
        let text = format!(r#"{{"postgresql":{{"bin_dir":"/usr/lib/postgresql/{version}/bin"}},"bootstrap":{{}}}}"#);
        json!([{"name": "SPILO_CONFIGURATION", "value": text}])
    };
    for (env, wanted, expected) in [
        (json!([{"name": "PGVERSION", "value": "16"}]), "17", "16"),
        (old("9.6"), "12", "9.6"),
        (old("11"), "12", "11"),
        (old("12"), "11", "12"),
        (old("12"), "12", "12"),
        (json!([]), "17", "17"),
    ] {
        let answer = prepared(json!({"postgresql": {"version": wanted}}), json!({}))
            .observed("running", &running("acid-test", env))
            .observed("running", &running("acid-test-other", json!([{"name": "PGVERSION", "value": "1"}])))
            .mutate::<Spilo>()
            .unwrap();
        assert_eq!(value(&answer, "PGVERSION"), expected);
        assert_eq!(answer.messages().is_empty(), wanted == expected);
        if wanted != expected {
            assert_eq!(answer.response.findings[0].path.as_deref(), Some("spec.postgresql.version"));
        }
    }
}

#[test]
fn the_pods_of_a_cluster_that_may_be_upgraded_ask_for_the_newer_version() {
    let asked = |of_manifest: &str, running_version: &str, of_data: Option<&str>, config: Value| {
        let mut manifest = manifest(&json!({"postgresql": {"version": of_manifest}}));
        manifest["metadata"]["annotations"] = json!(
            of_data
                .map(|version| ("pgloom.dev/data-version", version))
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>()
        );
        let call = Call::new(&manifest).operator_config(&operator_config(&config));
        let env = json!([{"name": "PGVERSION", "value": running_version}]);
        let answer = call.observed("running", &running("acid-test", env)).mutate::<Spilo>().unwrap();
        (value(&answer, "PGVERSION").to_owned(), answer.messages().len())
    };
    let manual = || json!({"major_version_upgrade_mode": "manual"});
    let full =
        || json!({"major_version_upgrade_mode": "full", "minimal_major_version": "15", "target_major_version": "17"});
    let team = || json!({"major_version_upgrade_team_allow_list": ["acid"]});
    let old_image =
        || json!({"major_version_upgrade_mode": "manual", "docker_image": "ghcr.io/zalando/spilo-16:3.2-p3"});
    for (of_manifest, running, of_data, config, expected) in [
        ("18", "15", None, manual(), ("18", 0)),
        ("18", "15", None, team(), ("18", 0)),
        ("18", "15", None, json!({}), ("15", 1)),
        ("15", "18", None, manual(), ("18", 1)),
        // The pods ask for 18 already, and the data is still of 15.
        ("18", "18", Some("15"), manual(), ("18", 0)),
        ("15", "18", Some("15"), manual(), ("15", 0)),
        ("14", "14", None, full(), ("17", 1)),
        ("15", "15", None, full(), ("15", 0)),
        ("18", "15", None, old_image(), ("15", 1)),
    ] {
        let (version, warnings) = asked(of_manifest, running, of_data, config.clone());
        assert_eq!((version.as_str(), warnings), expected, "{of_manifest} {running} {of_data:?} {config}");
    }
}

#[test]
fn a_version_that_the_image_does_not_have_is_refused_with_those_that_it_has() {
    let refused = |image: &str, version: &str| match call(
        json!({"dockerImage": image, "postgresql": {"version": version}}),
        json!({}),
    ) {
        Err(Failure::InvalidManifest(findings)) => Some(findings[0].message.clone()),
        result => result.map(|_| None).unwrap(),
    };
    let spilo = "ghcr.io/zalando/spilo-18:4.1-p2";
    for version in ["12", "13", "9.6", "19"] {
        assert_eq!(refused(spilo, version), Some(format!("the image {spilo} has PostgreSQL 14 to 18, not {version}")));
    }
    assert_eq!(
        refused("spilo-16@sha256:00", "17").unwrap(),
        "the image spilo-16@sha256:00 has PostgreSQL up to 16, not 17"
    );
    for (image, version) in [
        (spilo, "14"),
        (spilo, "18"),
        ("acid/spilo-12:1.6-p3", "9.6"),
        ("localhost:5000/spilo", "12"),
        ("my/spilo-next:1", "12"),
    ] {
        assert_eq!(refused(image, version), None, "{image} {version}");
    }
    // A cluster that runs is left as it is.
    let call = prepared(json!({"postgresql": {"version": "12"}}), json!({}));
    assert!(
        call.observed("running", &running("acid-test", json!([{"name": "PGVERSION", "value": "12"}])))
            .mutate::<Spilo>()
            .is_ok()
    );
}

#[test]
fn a_name_that_patroni_would_not_write_as_it_is_is_refused_with_its_path() {
    for (spec, path) in [
        (
            json!({"postgresql": {"version": "17", "parameters": {"work_mem\nssl": "1"}}}),
            "spec.postgresql.parameters.work_mem\nssl",
        ),
        (
            json!({"postgresql": {"version": "17", "parameters": {"work mem": "1"}}}),
            "spec.postgresql.parameters.work mem",
        ),
    ] {
        let Err(Failure::InvalidManifest(findings)) = call(spec, json!({})) else { panic!("{path} is accepted") };
        assert_eq!(findings[0].path.as_deref(), Some(path));
        assert!(findings[0].remedy.is_some());
    }
    let parameters = json!({"auto_explain.log_min_duration": "1s", "my-app.role$x": "a"});
    answer(json!({"postgresql": {"version": "17", "parameters": parameters}}), json!({}));
}
