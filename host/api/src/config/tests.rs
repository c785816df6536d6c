mod upstream;

use std::path::PathBuf;

use serde_json::json;

use super::grammar::pairs;
use super::*;

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

fn object(configuration: Value) -> Value {
    json!({"apiVersion": "acid.zalan.do/v1", "kind": "OperatorConfiguration", "configuration": configuration})
}

fn said(result: Result<Loaded, Vec<Finding>>) -> Vec<String> {
    let findings = match result {
        Ok(loaded) => loaded.warnings,
        Err(findings) => findings,
    };
    let word = |finding: &Finding| if finding.is_error() { "error" } else { "warning" };
    findings.iter().map(|finding| format!("{}: {finding}", word(finding))).collect()
}

#[test]
fn a_key_can_be_given_another_value_or_its_default_and_no_value_of_another_type() {
    let config = Config::defaults().with("workers", Some(serde_json::json!(3))).unwrap();
    assert_eq!(config.integer("workers"), Some(3));
    assert_eq!(config.with("workers", None).unwrap(), Config::defaults());
    assert!(config.with("workers", Some(serde_json::json!("many"))).is_none());
    assert!(config.with("no_such_key", None).is_none());
}

#[test]
fn every_key_has_a_default_that_its_kind_accepts_and_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for key in KEYS {
        for text in [key.default, key.absent(Form::ConfigMap), key.absent(Form::Object)] {
            assert!(grammar::read(key.value_type, text).is_ok(), "{}", key.name);
        }
        assert!(names.insert(key.name), "{} is there twice", key.name);
        assert!(key.was.is_none_or(|was| names.insert(was)), "{:?} is there twice", key.was);
        assert!(key.doc.ends_with('.') && key.doc.is_ascii(), "{}: {}", key.name, key.doc);
    }
    assert_eq!(Config::defaults().values().as_object().unwrap().len(), KEYS.len());
    assert_eq!(said(Config::read(&config_map(json!({})))), Vec::<String>::new());
}

#[test]
fn both_forms_give_one_configuration() {
    let text = config_map(json!({
        "connection_pooler_max_db_connections": "4", "docker_image": "spilo:1", "enable_sidecars": "false", "cluster_labels": "application:spilo,env:test",
        "protected_role_names": "admin, cron_admin", "spilo_fsgroup": "103", "pod_terminate_grace_period": "1m30s",
        "infrastructure_roles_secrets": "secretname:ops/roles,userkey:user,template:true | secretname:more",
    }));
    let typed = object(json!({
        "docker_image": "spilo:1",
        "kubernetes": {
            "enable_sidecars": false, "cluster_labels": {"application": "spilo", "env": "test"}, "spilo_fsgroup": 103,
            "pod_terminate_grace_period": "1m30s",
            "infrastructure_roles_secrets": [{"secretname": "ops/roles", "userkey": "user", "template": true}, {"secretname": "default/more"}],
        },
        "teams_api": {"protected_role_names": ["admin", "cron_admin"]},
        "connection_pooler": {"connection_pooler_max_db_connections": 4},
    }));
    let [text, typed] = [text, typed].map(|document| Config::read(&document).unwrap());
    for key in KEYS.iter().filter(|key| key.absent(Form::ConfigMap) == key.absent(Form::Object)) {
        assert_eq!(text.config.values()[key.name], typed.config.values()[key.name], "{}", key.name);
    }
    assert!(text.warnings.is_empty() && typed.warnings.is_empty());
    let config = text.config;
    assert_eq!(
        (
            config.integer("connection_pooler_max_db_connections"),
            config.flag("enable_sidecars"),
            config.integer("spilo_fsgroup")
        ),
        (Some(4), false, Some(103))
    );
    assert_eq!(config.map("cluster_labels")["env"], "test");
    assert_eq!(config.list("protected_role_names"), ["admin", "cron_admin"]);
    assert_eq!(config.duration("pod_terminate_grace_period"), Duration::from_secs(90));
}

#[test]
fn an_empty_value_is_that_of_nothing_and_an_absent_key_has_its_default() {
    let loaded = Config::read(&config_map(json!({
        "spilo_fsgroup": "", "custom_pod_annotations": "", "protected_role_names": "", "enable_shm_volume": "", "default_cpu_limit": "",
    })));
    let config = loaded.unwrap().config;
    assert_eq!(config.values()["spilo_fsgroup"], Value::Null);
    assert_eq!(config.values()["custom_pod_annotations"], json!({}));
    assert_eq!(config.values()["protected_role_names"], json!([]));
    assert_eq!(config.values()["enable_shm_volume"], json!(false));
    assert_eq!(config.text("default_cpu_limit"), "");
    assert_eq!(config.text("db_hosted_zone"), "db.example.com");
}

#[test]
fn an_empty_value_of_an_object_is_an_absent_key_unless_it_has_a_meaning() {
    let loaded = Config::read(&object(json!({
        "docker_image": "",
        "kubernetes": {"cluster_labels": {}, "pod_management_policy": "", "oauth_token_secret_name": ""},
        "load_balancer": {"master_legacy_dns_name_format": ""},
        "logical_backup": {"logical_backup_schedule": "", "logical_backup_provider": ""},
        "teams_api": {"protected_role_names": [], "pam_role_name": ""},
    })));
    let config = loaded.unwrap().config;
    let empty = ["oauth_token_secret_name", "master_legacy_dns_name_format"];
    let absent = Config::read(&object(json!({}))).unwrap().config;
    for key in KEYS {
        let expected = if empty.contains(&key.name) { json!("") } else { absent.values()[key.name].clone() };
        assert_eq!(config.values()[key.name], expected, "{}", key.name);
    }
}

#[test]
fn an_empty_switch_of_a_config_map_is_absent_where_upstream_has_none() {
    let config = Config::read(&config_map(json!({
        "enable_sidecars": "", "enable_pod_disruption_budget": " ", "connection_pooler_max_db_connections": "",
        "external_traffic_policy": "", "enable_secrets_deletion": "",
    })))
    .unwrap()
    .config;
    assert!(config.flag("enable_sidecars") && config.flag("enable_pod_disruption_budget"));
    assert_eq!(config.integer("connection_pooler_max_db_connections"), Some(60));
    assert_eq!(config.text("external_traffic_policy"), Config::defaults().text("external_traffic_policy"));
    assert!(!config.flag("enable_secrets_deletion"));
}

#[test]
fn whole_numbers_of_a_config_map_are_read_as_go_reads_them() {
    let config = Config::read(&config_map(json!({"max_instances": "010", "min_instances": "0x2"}))).unwrap().config;
    assert_eq!((config.integer("max_instances"), config.integer("min_instances")), (Some(8), Some(2)));
}

#[test]
fn a_value_of_a_key_that_changes_nothing_refuses_nothing() {
    let said = said(Config::read(&config_map(json!({"workers": "many"}))));
    assert_eq!(
        said,
        ["warning: data.workers: pgloom does not honour this key; remove it, or know that it changes nothing"]
    );
}

#[test]
fn labels_that_the_api_server_would_refuse_are_named_with_their_key() {
    let said = said(Config::read(&config_map(json!({
        "cluster_name_label": "cluster name", "cluster_labels": "", "custom_pod_annotations": "Example.com/a:x,b/c/d:y",
    }))));
    let places: Vec<&str> = said.iter().map(|finding| finding.split(": ").nth(1).unwrap()).collect();
    assert_eq!(places, ["cluster_name_label", "custom_pod_annotations", "cluster_labels"]);
}

#[test]
fn pairs_are_split_where_no_quote_protects_a_comma() {
    for (text, expected) in [
        ("log_statement:all, work_mem:'4GB'", Ok(vec!["log_statement:all", "work_mem:'4GB'"])),
        (
            "log_statement:none, search_path:'\"$user\", public'",
            Ok(vec!["log_statement:none", "search_path:'\"$user\", public'"]),
        ),
        ("search_path:'\"$user\"", Err("unmatched quote starting at position 13")),
        ("", Ok(vec![""])),
        (",,log_statement:all\t,", Ok(vec!["", "", "log_statement:all", ""])),
    ] {
        let expected = expected.map(|pairs| pairs.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
        assert_eq!(pairs(text), expected, "{text}");
    }
}

#[test]
fn quotes_around_the_whole_of_a_value_are_no_part_of_it() {
    let text = "search_path:'\"$user\", public', work_mem:\"4GB\", names:'a' 'b'";
    let config = Config::read(&config_map(json!({"team_api_role_configuration": text}))).unwrap().config;
    assert_eq!(
        config.values()["team_api_role_configuration"],
        json!({"search_path": "\"$user\", public", "work_mem": "4GB", "names": "'a' 'b'"})
    );
}

#[test]
fn references_name_an_object_and_perhaps_its_namespace() {
    for (text, expected) in [
        ("acid/cluster", Some(("acid", "cluster"))),
        ("/name", Some(("own", "name"))),
        ("test", Some(("own", "test"))),
        ("test/", None),
        ("/", None),
        ("", None),
        ("//", None),
    ] {
        let document = config_map(json!({"pod_environment_configmap": text}));
        let found =
            Config::read(&document).ok().and_then(|loaded| loaded.config.reference("pod_environment_configmap", "own"));
        assert_eq!(found, expected.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())), "{text}");
    }
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_its_key_and_a_remedy() {
    for (data, expected) in [
        (
            json!({"max_instances": "four"}),
            "error: data.max_instances: \"four\" is not a whole number; write digits, as in \"8\"",
        ),
        (
            json!({"workers": 4}),
            "error: data.workers: expected a string; write it in quotes, as all values of a ConfigMap",
        ),
        (
            json!({"sidecars": "[{name: a, image: b}, {image: c}]"}),
            "error: data.sidecars[1].name: is missing; add it, as in exporter",
        ),
        (
            json!({"sidecars": "[{name: a, image: b, ports: [{containerPort: x}]}]"}),
            "error: data.sidecars[0].ports[0].containerPort: expected an integer, found a string",
        ),
        (
            json!({"liveness_probe": "{httpGet: {path: 1, port: 8008}}"}),
            "error: data.liveness_probe.httpGet.path: expected a string, found the number 1; write it in quotes: \"1\"",
        ),
        (
            json!({"enable_sidecars": "yes"}),
            "error: data.enable_sidecars: \"yes\" is neither true nor false; write \"true\" or \"false\"",
        ),
        (
            json!({"resync_period": "30"}),
            "error: data.resync_period: \"30\" is not a duration; write it as in 30s, 5m, 1h30m",
        ),
        (json!({"repair_period": ""}), "error: repair_period: is zero; give it some time, as in 5m"),
        (
            json!({"default_cpu_limit": "lots"}),
            "error: data.default_cpu_limit: \"lots\" is not a quantity; it starts with a number, as in 500m, 1Gi; write it as in 500m or 1Gi",
        ),
        (
            json!({"default_cpu_limit": "50m", "default_cpu_request": "100m"}),
            "error: default_cpu_limit: the limit 50m is below default_cpu_request, 100m; raise the limit, or lower the request",
        ),
        (
            json!({"cluster_labels": "application"}),
            "error: data.cluster_labels: \"application\" has no colon; write pairs of key and value, as in a:1,b:2",
        ),
        (
            json!({"team_api_role_configuration": "a:'b"}),
            "error: data.team_api_role_configuration: unmatched quote starting at position 3; close the quote",
        ),
        (
            json!({"storage_resize_mode": "pcv"}),
            "error: data.storage_resize_mode: \"pcv\" is not allowed; did you mean pvc?",
        ),
        (
            json!({"pod_management_policy": "random"}),
            "error: data.pod_management_policy: \"random\" is not allowed; known here: ordered_ready, parallel",
        ),
        (
            json!({"min_instances": "3", "max_instances": "2"}),
            "error: min_instances: 3 is more than max_instances, 2; lower it, or raise max_instances",
        ),
        (
            json!({"connection_pooler_user": "postgres"}),
            "error: connection_pooler_user: \"postgres\" is the superuser; give poolers a role of their own, as in pooler",
        ),
        (
            json!({"connection_pooler_number_of_instances": "0"}),
            "error: connection_pooler_number_of_instances: 0 is less than 1; use 1 or more",
        ),
        (
            json!({"secret_name_template": "{user}.{username}"}),
            "error: secret_name_template: {user} is no placeholder; known here: {username}, {cluster}, {team}, {tprkind}, {tprgroup}",
        ),
        (
            json!({"secret_name_template": "{cluster}"}),
            "error: secret_name_template: \"{cluster}\" gives several objects one name; use {username} in it",
        ),
        (
            json!({"maintenance_windows": "Sam:00:00-04:00"}),
            "error: maintenance_windows: \"Sam:00:00-04:00\": could not parse weekday: incorrect weekday; write it as in 01:00-06:00 or Sat:00:00-04:00, in UTC",
        ),
        (
            json!({"toleration": "key:a,effect:Never"}),
            "error: toleration: \"Never\" is no effect; use NoSchedule, PreferNoSchedule, NoExecute",
        ),
        (
            json!({"logical_backup_schedule": "1 2 3"}),
            "error: data.logical_backup_schedule: expected exactly 5 fields, found 3: minute, hour, day of the month, month, day of the week; write five fields, as in 30 00 * * *",
        ),
        (
            json!({"infrastructure_roles_secret_name": "a/b/c"}),
            "error: data.infrastructure_roles_secret_name: \"a/b/c\" names no object; write name, or namespace/name",
        ),
        (
            json!({"cluster_labels": "application:a b"}),
            "error: cluster_labels: \"a b\" is no value of a label; use letters, digits, '-', '_' and '.', at most 63; a domain and a slash may be in front of a key",
        ),
        (
            json!({"pod_role_label": "application"}),
            "error: pod_role_label: \"application\" is a label of all objects of a cluster; use a label of its own, as in spilo-role",
        ),
        (
            json!({"pdb_name_format": "Pdb_{cluster}"}),
            "error: pdb_name_format: \"Pdb_{cluster}\" makes no name of an object; use lower case letters, digits, '-' and '.'",
        ),
        (
            json!({"logical_backup_job_prefix": "Backup_"}),
            "warning: logical_backup_job_prefix: \"Backup_\" makes no name of an object; use lower case letters, digits, '-' and '.'",
        ),
        (
            json!({"infrastructure_roles_secrets": "userkey:user,passwordkey:password"}),
            "warning: infrastructure_roles_secrets[0].secretname: names no Secret, and gives no roles; write name, or namespace/name",
        ),
        (
            json!({"super_username": "pg_admin"}),
            "warning: super_username: PostgreSQL creates no role \"pg_admin\"; use a name that does not start with pg_, and neither public nor none",
        ),
        (
            json!({"docker_imag": "x"}),
            "warning: data.docker_imag: this key does not exist; it is ignored; did you mean docker_image?",
        ),
        (
            json!({"ring_log_lines": "7"}),
            "warning: ring_log_lines: pgloom does not honour this key; remove it, or know that it changes nothing",
        ),
    ] {
        assert_eq!(said(Config::read(&config_map(data))), [expected]);
    }
}

#[test]
fn an_object_says_where_a_key_belongs_and_what_its_type_is() {
    for (configuration, expected) in [
        (
            json!({"kubernetes": {"docker_image": "x"}}),
            "warning: configuration.kubernetes.docker_image: this key belongs elsewhere; it is ignored here; move it to configuration.docker_image",
        ),
        (
            json!({"max_instances": "8"}),
            "error: configuration.max_instances: expected a whole number; write digits without quotes, as in 8",
        ),
        (
            json!({"kubernetes": {"cluster_labels": {"a": 1}}}),
            "error: configuration.kubernetes.cluster_labels: expected a map of strings; write it as in {a: \"1\"}, values in quotes",
        ),
        (json!({"debug": true}), "error: configuration.debug: expected a map; it is a section that holds keys"),
        (
            json!({"logical_backup": {"logical_backup_s3_secret_access_key": 12345}}),
            "error: configuration.logical_backup.logical_backup_s3_secret_access_key: expected a string; write it in quotes",
        ),
    ] {
        assert_eq!(said(Config::read(&object(configuration))), [expected]);
    }
    assert_eq!(
        said(Config::read(&json!({"apiVersion": "acid.zalan.do/v1", "kind": "OperatorConfiguration", "spec": {}}))),
        ["error: configuration: is missing; an OperatorConfiguration holds its keys below configuration"]
    );
    assert!(said(Config::read(&json!({"kind": "Pod"})))[0].contains("is no operator configuration"));
}

#[test]
fn names_of_older_releases_mean_the_same() {
    let old = Config::read(&config_map(
        json!({"connection_pool_mode": "session", "connection_pool_number_of_instances": "3"}),
    ))
    .unwrap();
    assert_eq!(
        (old.config.text("connection_pooler_mode"), old.config.integer("connection_pooler_number_of_instances")),
        ("session", Some(3))
    );
    let section = Config::read(&object(json!({"connection_pool": {"connection_pool_mode": "session"}}))).unwrap();
    assert_eq!(section.config.text("connection_pooler_mode"), "session");
    assert!(section.warnings.is_empty());
    let both = config_map(json!({"connection_pool_mode": "session", "connection_pooler_mode": "session"}));
    assert_eq!(
        said(Config::read(&both)),
        [
            "error: data.connection_pooler_mode: connection_pooler_mode is given by its older name, too; remove one of them"
        ]
    );
}

#[test]
fn an_absent_key_is_in_each_form_what_the_newest_release_takes_it_for() {
    let [map, object] =
        [config_map(json!({})), object(json!({}))].map(|document| Config::read(&document).unwrap().config);
    assert!(map.flag("kubernetes_use_configmaps") && object.flag("kubernetes_use_configmaps"));
    assert!(map.flag("enable_master_load_balancer") && !object.flag("enable_master_load_balancer"));
    let resources =
        ["default_cpu_request", "default_memory_limit", "connection_pooler_default_cpu_limit", "min_cpu_limit"];
    assert_eq!(resources.map(|key| map.text(key)), [""; 4]);
    assert_eq!(resources.map(|key| object.text(key)), [""; 4]);
    assert_eq!(resources.map(|key| Config::defaults().text(key).to_owned()), ["100m", "500Mi", "1", "250m"]);
}

#[test]
fn namespaces_are_one_some_or_all() {
    let watched = |text: &str| Config::read(&config_map(json!({"watched_namespace": text}))).unwrap().config.watched();
    assert_eq!(watched(""), Watched::Own);
    assert_eq!(watched("*"), Watched::All);
    assert_eq!(watched("a, b"), Watched::These(BTreeSet::from(["a".to_owned(), "b".to_owned()])));
}

#[test]
fn a_manifests_maintenance_windows_come_before_the_platforms_and_count_only_where_switched_on() {
    let window = |text: &str| MaintenanceWindow::parse(text).unwrap();
    let of = |data: Value, manifest: &[MaintenanceWindow]| {
        Config::read(&config_map(data)).unwrap().config.maintenance_windows(manifest)
    };
    let on = json!({"enable_maintenance_windows": "true", "maintenance_windows": "01:00-06:00"});
    assert_eq!(of(on.clone(), &[]), [window("01:00-06:00")]);
    assert_eq!(of(on, &[window("Sat:00:00-04:00")]), [window("Sat:00:00-04:00")]);
    assert_eq!(of(json!({"maintenance_windows": "01:00-06:00"}), &[window("Sat:00:00-04:00")]), []);
}

#[test]
fn the_rules_for_manifests_follow_the_configuration() {
    let rules = |data| Config::read(&config_map(data)).unwrap().config.rules();
    assert_eq!(rules(json!({})), Rules { team_prefix: true, maintenance_windows: false, runs: false });
    let data = json!({"enable_team_id_clustername_prefix": "false", "enable_maintenance_windows": "true"});
    assert_eq!(rules(data), Rules { team_prefix: false, maintenance_windows: true, runs: false });
}

#[test]
fn what_the_containers_of_every_cluster_have_in_vain_is_a_warning() {
    let sidecar = json!({"name": "a", "image": "b", "imagePullPolicy": "always", "imagePulPolicy": "Always"});
    let document = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "OperatorConfiguration",
        "configuration": {"sidecars": [sidecar], "kubernetes": {"liveness_probe": {"httpget": {}}}},
    });
    let loaded = Config::read(&document).unwrap();
    let said: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "configuration.kubernetes.liveness_probe.httpget: this field does not exist; it is ignored; did you mean httpGet?",
            "configuration.sidecars[0].imagePulPolicy: this field does not exist; it is ignored; did you mean imagePullPolicy?",
            "configuration.sidecars[0].imagePullPolicy: Kubernetes does not accept \"always\" here; did you mean Always?",
        ]
    );
    assert_eq!(loaded.config.values()["sidecars"], json!([{"name": "a", "image": "b", "imagePullPolicy": "always"}]));
}

#[test]
fn what_only_some_clusters_could_not_have_is_a_warning() {
    for (data, expected) in [
        (
            json!({"external_traffic_policy": "Lokal"}),
            "data.external_traffic_policy: \"Lokal\" is not allowed; Cluster is used; did you mean Local?",
        ),
        (
            json!({"additional_secret_mount": "cloud", "additional_secret_mount_path": ""}),
            "additional_secret_mount_path: is empty, and Kubernetes makes no pod that mounts additional_secret_mount there; give it a path, as in /meta/credentials, or remove the key",
        ),
    ] {
        let loaded = Config::read(&config_map(data)).unwrap();
        let said: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said, [expected]);
        assert_eq!(loaded.config.text("external_traffic_policy"), "Cluster");
    }
}

#[test]
fn a_key_that_no_annotation_can_have_is_named() {
    for place in ["custom_pod_annotations", "custom_service_annotations"] {
        let findings = Config::read(&config_map(json!({place: "Example.com/a:b,a b:c"}))).unwrap_err();
        let said: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&format!("{place}: \"a b\" is no key of an annotation; use letters")), "{said:?}");
    }
}

#[test]
fn memory_in_parts_of_a_byte_is_a_warning() {
    let loaded = Config::read(&config_map(json!({"default_memory_limit": "512m"}))).unwrap();
    let said: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["default_memory_limit: \"512m\" counts in parts of a byte; write mebibytes as in 512Mi"]);
    assert_eq!(loaded.config.text("default_memory_limit"), "512m");
}

#[test]
fn a_credential_is_in_no_debug_output() {
    let config = Config::read(&config_map(json!({"scalyr_api_key": "hush", "docker_image": "x"}))).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush") && shown.contains("scalyr_api_key") && shown.contains("docker_image"), "{shown}");
}

#[test]
fn every_recorded_configuration_is_read_and_only_what_is_not_honoured_is_said() {
    let Some(folder) = std::env::var_os("PGLOOM_UPSTREAM").map(PathBuf::from) else {
        eprintln!("SKIPPED every_recorded_configuration_is_read: PGLOOM_UPSTREAM is not set");
        return;
    };
    let mut count = 0;
    for release in ["newest", "v1.5.0"] {
        for case in std::fs::read_dir(folder.join(release)).unwrap() {
            let file = case.unwrap().path().join("config.yaml");
            let document: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            let loaded = Config::read(&document).unwrap_or_else(|findings| panic!("{}: {findings:?}", file.display()));
            for warning in &loaded.warnings {
                assert_eq!(warning.message, "pgloom does not honour this key", "{}: {warning}", file.display());
            }
            count += 1;
        }
    }
    assert!(count > 30, "{count} configurations");
}

#[test]
fn the_kit_tests_plugins_with_every_key_and_our_defaults() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/kit/src/testing/config.json");
    let text = format!("{:#}\n", Config::defaults().values());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert!(std::fs::read_to_string(file).unwrap() == text, "config.json is not up to date; UPDATE=1 writes it");
}
