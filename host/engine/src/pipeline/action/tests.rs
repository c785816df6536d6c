//! Which actions a step may request, and which of two that disagree is refused.

use serde_json::{Value, json};

use super::*;
use crate::model::{Credential, ExpandClaim, GrowFilesystem, ModifyVolume, PoolerAccess, UserList};

fn asked(kind: ActionKind, subjects: &[&str]) -> ActionPermission {
    ActionPermission::new(kind, subjects)
}

fn request(key: &str, action: Action) -> ActionRequest {
    ActionRequest { key: key.into(), action }
}

fn rights<'a>(step: &'a str, asked: &'a [ActionPermission], granted: &'a [ActionPermission]) -> Rights<'a> {
    Rights { step, cluster: "acid-a", asked, granted }
}

fn expand(claim: &str, size: &str) -> Action {
    Action::ExpandClaim(ExpandClaim { claim: claim.into(), size: size.into() })
}

fn patroni(configuration: &Value) -> Action {
    Action::ConfigurePatroni(configuration.to_string())
}

/// The reason why one action is refused by a pipeline that grants these subjects, or the error.
fn refused(action: Action, subjects: &[&str]) -> Result<Option<String>, Error> {
    let kind = action.kind();
    let (all, granted) = ([asked(kind, &["*"])], [asked(kind, subjects)]);
    let all = if kind == ActionKind::ConfigurePatroni { &granted } else { &all };
    let mut checked = check(&[request("k", action)], &rights("s", all, &granted), &[])?;
    Ok(checked.remove(0).refusal)
}

#[test]
fn an_action_that_the_description_does_not_ask_for_breaks_the_contract() {
    let asked = [asked(ActionKind::ExpandClaim, &["pgdata-{cluster}-*"])];
    let one = |action| check(&[request("k", action)], &rights("s", &asked, &asked), &[]).map(|_| ());
    assert_eq!(one(expand("pgdata-acid-a-0", "2Gi")), Ok(()));
    let foreign = one(expand("pgdata-acid-b-0", "2Gi")).unwrap_err();
    assert_eq!(
        foreign.to_string(),
        "action k is about \"pgdata-acid-b-0\", and the plugin's description does not ask for expand-claim of that"
    );
    assert!(matches!(one(Action::Promote), Err(Error::NotAsked { kind: ActionKind::Promote, .. })));
}

#[test]
fn an_action_about_what_the_pipeline_does_not_grant_is_refused_and_the_others_are_not() {
    let asked_all = [asked(ActionKind::ExpandClaim, &["*"]), asked(ActionKind::Promote, &[])];
    let granted = [asked(ActionKind::ExpandClaim, &["pgdata-{cluster}-*"])];
    let requests = [
        request("own", expand("pgdata-acid-a-0", "2Gi")),
        request("foreign", expand("pgdata-acid-b-0", "2Gi")),
        request("promote", Action::Promote),
    ];
    let checked = check(&requests, &rights("s", &asked_all, &granted), &[]).unwrap();
    let reasons: Vec<Option<&str>> = checked.iter().map(|one| one.refusal.as_deref()).collect();
    assert_eq!(
        reasons,
        [
            None,
            Some("the pipeline does not grant expand-claim of \"pgdata-acid-b-0\" to the step"),
            Some("the pipeline does not grant promote to the step"),
        ]
    );
}

#[test]
fn a_grant_for_names_is_checked_for_each_kind_of_action() {
    let labels = Vec::new();
    for (action, subjects, other) in [
        (
            Action::Credential(Credential { username: "pooler".into(), labels: labels.clone() }),
            ["pooler"],
            ["postgres"],
        ),
        (
            Action::UserList(UserList { secret_name: "acid-a-pooler-u".into(), username: "pooler".into(), labels }),
            ["{cluster}-pooler-u"],
            ["{cluster}-x"],
        ),
        (
            Action::PoolerAccess(PoolerAccess { username: "pooler".into(), schema: "pooler".into() }),
            ["pooler"],
            ["public"],
        ),
        (
            Action::GrowFilesystem(GrowFilesystem { claim: "pgdata-acid-a-0".into(), pod: "acid-a-0".into() }),
            ["pgdata-{cluster}-*"],
            ["pgdata-x-*"],
        ),
        (
            Action::ModifyVolume(ModifyVolume {
                claim: "pgdata-acid-a-0".into(),
                size: None,
                iops: None,
                throughput: None,
                volume_type: None,
            }),
            ["pgdata-{cluster}-*"],
            ["pgdata-x-*"],
        ),
    ] {
        assert_eq!(refused(action.clone(), &subjects), Ok(None), "{action:?}");
        assert!(refused(action.clone(), &other).unwrap().is_some(), "{action:?}");
        assert!(refused(action.clone(), &[]).unwrap().is_some(), "{action:?}");
    }
}

#[test]
fn only_the_keys_of_patroni_that_are_granted_can_be_set_and_a_command_needs_its_own_name() {
    const PARAMETERS: &str = "postgresql.parameters.*";
    const COMMAND: &str = "postgresql.parameters.restore_command";
    let parameters = |name: &str| json!({"postgresql": {"parameters": {name: "x"}}});
    for (configuration, granted, is_granted) in [
        (json!({}), vec![], true),
        (json!({"ttl": 30}), vec!["ttl"], true),
        (json!({"ttl": 30, "loop_wait": 10}), vec!["ttl"], false),
        (json!({"slots": {"a": {"type": "physical"}}}), vec!["slots"], true),
        (parameters("work_mem"), vec![PARAMETERS], true),
        (parameters("work_mem"), vec!["postgresql"], true),
        (parameters("archive_command"), vec![PARAMETERS, "*", "postgresql", "postgresql.parameters"], false),
        (parameters("Archive_Command"), vec![PARAMETERS], false),
        (parameters("shared_preload_libraries"), vec![PARAMETERS], false),
        (parameters("restore_command"), vec![PARAMETERS, COMMAND], true),
        (parameters("restore_command"), vec!["postgresql.parameters.restore*"], false),
        (json!({"postgresql": {"pg_hba": ["host all all all trust"]}}), vec!["*", "postgresql"], false),
        (json!({"postgresql": {"pg_hba": ["local all all trust"]}}), vec!["postgresql.pg_hba"], true),
        (json!({"postgresql": {"callbacks": {"on_start": "/x"}}}), vec!["*"], false),
        (json!({"postgresql": {"callbacks": {"on_start": "/x"}}}), vec!["postgresql.callbacks"], true),
        (json!({"postgresql": null}), vec![PARAMETERS], false),
        (json!({"postgresql": {"parameters": null}}), vec![PARAMETERS], false),
    ] {
        assert_eq!(may_set(&configuration, &granted), is_granted, "{configuration} with {granted:?}");
    }
}

/// Whether a step that asks for these keys and is granted them may set a configuration.
fn may_set(configuration: &Value, granted: &[&str]) -> bool {
    let asked = [asked(ActionKind::ConfigurePatroni, granted)];
    check(&[request("k", patroni(configuration))], &rights("s", &asked, &asked), &[]).is_ok()
}

#[test]
fn no_pattern_covers_a_key_that_names_a_command_a_library_or_who_may_log_in() {
    const WIDE: [&str; 11] = [
        "*",
        "slots",
        "slots.*",
        "slots.a.*",
        "postgresql",
        "postgresql.*",
        "postgresql.parameters",
        "postgresql.parameters.*",
        "postgresql.recovery_conf",
        "standby_cluster",
        "standby_cluster.*",
    ];
    for key in [
        "postgresql.authentication",
        "postgresql.before_stop",
        "postgresql.bin_dir",
        "postgresql.config_dir",
        "postgresql.data_dir",
        "postgresql.pg_hba",
        "postgresql.pre_promote",
        "postgresql.wal_e.command",
        "postgresql.parameters.config_file",
        "postgresql.parameters.data_directory",
        "postgresql.parameters.dynamic_library_path",
        "postgresql.parameters.external_pid_file",
        "postgresql.parameters.extension_destdir",
        "postgresql.parameters.hba_file",
        "postgresql.parameters.HBA_file",
        "postgresql.parameters.ident_file",
        "postgresql.parameters.krb_server_keyfile",
        "postgresql.parameters.log_directory",
        "postgresql.parameters.oauth_validator_libraries",
        "postgresql.parameters.ssl_ca_file",
        "postgresql.parameters.ssl_cert_file",
        "postgresql.parameters.ssl_crl_dir",
        "postgresql.parameters.ssl_crl_file",
        "postgresql.parameters.ssl_dh_params_file",
        "postgresql.parameters.ssl_key_file",
        "postgresql.parameters.unix_socket_directories",
        "postgresql.pgpass",
        "postgresql.recovery_conf.restore_command",
        "standby_cluster.archive_cleanup_command",
        "standby_cluster.create_replica_methods",
        "standby_cluster.recovery.restore_command",
        "standby_cluster.restore_command",
        "slots.a.plugin",
    ] {
        let set = key.rsplit('.').fold(json!("x"), |value, part| json!({part: value}));
        assert!(!may_set(&set, &WIDE), "{key}");
        assert!(may_set(&set, &[key]), "{key}");
    }
    for (name, key) in [
        ("extwlist.custom_path", "extwlist"),
        ("pljava.vmoptions", "pljava"),
        ("pgsodium.getkey_script", "pgsodium"),
        ("include_if_exists", "include_if_exists"),
        ("plperl.on_init", "plperl.on_init"),
        ("plperl.on_plperlu_init", "plperl.on_plperlu_init"),
        ("pltcl.start_proc", "pltcl.start_proc"),
        ("plv8.start_proc", "plv8.start_proc"),
        ("set_user.superuser_allowlist", "set_user"),
    ] {
        let set = json!({"postgresql": {"parameters": {name: "x"}}});
        assert!(!may_set(&set, &WIDE), "{name}");
        assert!(may_set(&set, &[&format!("postgresql.parameters.{key}")]), "{name}");
    }
    for section in ["postgresql", "postgresql.parameters", "postgresql.recovery_conf", "standby_cluster"] {
        let removed = section.rsplit('.').fold(Value::Null, |value, part| json!({part: value}));
        assert!(!may_set(&removed, &WIDE), "{section}");
    }
    for plain in [
        json!({"slots": {"my_command": {"type": "physical"}, "plugin": {"type": "physical"}}}),
        json!({"standby_cluster": {"host": "a", "port": 5432}}),
        json!({"postgresql": {"parameters": {"plperl.use_strict": "on"}, "use_slots": true}}),
    ] {
        assert!(may_set(&plain, &["*"]), "{plain}");
    }
}

#[test]
fn the_libraries_of_all_slots_have_one_pattern_and_a_parameter_has_its_name_in_any_case() {
    let logical = json!({"slots": {"a": {"type": "logical", "database": "b", "plugin": "pgoutput"}}});
    assert!(may_set(&logical, &["slots", "slots.*.plugin"]));
    assert!(!may_set(&logical, &["slots", "slots.b.plugin"]));
    assert!(!may_set(&json!({"postgresql": {"callbacks": "x"}}), &["slots.*.plugin", "postgresql.parameters.*"]));
    let upper = json!({"postgresql": {"parameters": {"SSL_CRL_DIR": "x"}}});
    assert!(!may_set(&upper, &["postgresql.parameters.*"]));
    assert!(may_set(&upper, &["postgresql.parameters.ssl_crl_dir"]));
}

#[test]
fn a_configuration_that_is_no_object_or_sets_the_hosts_notes_is_refused() {
    for text in ["[", "[1]", "\"a\"", r#"{"pgloom": {"slots": []}}"#] {
        let refused = refused(Action::ConfigurePatroni(text.into()), &["*"]);
        assert!(matches!(refused, Err(Error::Configuration { .. })), "{text}: {refused:?}");
    }
}

#[test]
fn two_steps_that_want_different_things_are_a_conflict_that_names_both() {
    let permissions = [asked(ActionKind::ConfigurePatroni, &["ttl", "loop_wait"])];
    let earlier =
        check(&[request("patroni", patroni(&json!({"ttl": 30})))], &rights("spilo", &permissions, &permissions), &[]);
    let earlier = earlier.unwrap();
    let of = |configuration: Value| {
        check(&[request("mine", patroni(&configuration))], &rights("tuning", &permissions, &permissions), &earlier)
    };
    assert!(of(json!({"ttl": 30, "loop_wait": 5})).is_ok(), "both want the same");
    assert_eq!(
        of(json!({"ttl": 20})).unwrap_err().to_string(),
        "action mine of step tuning wants 20 for the key of Patroni's configuration \"ttl\", and action patroni of \
         step spilo wants 30; remove one of the steps, or give both the same configuration"
    );
    assert!(matches!(of(json!({"ttl": {"a": 1}})), Err(Error::Conflict(_))), "one is below the other");
}

#[test]
fn actions_of_every_kind_that_disagree_about_one_subject_are_a_conflict() {
    let list = |username: &str| {
        Action::UserList(UserList { secret_name: "s".into(), username: username.into(), labels: Vec::new() })
    };
    let access = |username: &str| Action::PoolerAccess(PoolerAccess { username: username.into(), schema: "s".into() });
    let credential =
        |label: &str| Action::Credential(Credential { username: "u".into(), labels: vec![("a".into(), label.into())] });
    let grow = |pod: &str| Action::GrowFilesystem(GrowFilesystem { claim: "c".into(), pod: pod.into() });
    for (one, other) in [
        (list("a"), list("b")),
        (access("a"), access("b")),
        (credential("a"), credential("b")),
        (grow("a"), grow("b")),
        (expand("c", "1Gi"), expand("c", "2Gi")),
    ] {
        let permissions = [asked(one.kind(), &["*"])];
        let both = |first: &Action, second: &Action| {
            let requests = [request("1", first.clone()), request("2", second.clone())];
            check(&requests, &rights("s", &permissions, &permissions), &[]).map(|checked| checked.len())
        };
        assert!(matches!(both(&one, &other), Err(Error::Conflict(_))), "{one:?} {other:?}");
        assert_eq!(both(&one, &one), Ok(2));
    }
}

#[test]
fn an_action_that_is_not_granted_is_in_no_conflict() {
    let all = [asked(ActionKind::ExpandClaim, &["*"])];
    let earlier = check(&[request("1", expand("c", "1Gi"))], &rights("a", &all, &[]), &[]).unwrap();
    assert!(check(&[request("2", expand("c", "2Gi"))], &rights("b", &all, &all), &earlier).is_ok());
}

#[test]
fn a_placeholder_in_an_action_is_refused() {
    let placeholder = "pgloom-placeholder:s:config:scalyr_api_key";
    let labels = vec![("a".to_owned(), placeholder.to_owned())];
    let numbered = placeholder.replacen('p', "\\u0070", 1);
    for action in [
        Action::Credential(Credential { username: "u".into(), labels }),
        patroni(&json!({"ttl": placeholder})),
        Action::ConfigurePatroni(format!(r#"{{"ttl": "{numbered}"}}"#)),
        expand(placeholder, "1Gi"),
    ] {
        assert_eq!(refused(action, &["*"]), Err(Error::Placeholder { key: "k".into() }));
    }
}

#[test]
fn a_key_of_patroni_with_other_characters_than_those_of_a_name_is_refused() {
    let of = |name: &str| {
        refused(patroni(&json!({"postgresql": {"parameters": {name: "1"}}})), &["postgresql.parameters.*"])
    };
    for name in
        ["a.b = '1'\narchive_command = 'x'\na.b", "archive_command=x#.a", "archive_command x#.a", "a.'b", "a\u{a0}.b"]
    {
        assert!(matches!(of(name), Err(Error::Configuration { .. })), "{name:?}");
    }
    for name in ["work_mem", "pgaudit.log", "a.b$1"] {
        assert_eq!(of(name), Ok(None), "{name}");
    }
}
