//! Tests: how the operator-wide Secrets and ConfigMaps are read.

use super::*;

fn source(definition: Definition, secret: &[(&str, &str)], details: &[(&str, &str)]) -> Source {
    Source {
        definition,
        secret: Some(secret.iter().map(|(key, value)| ((*key).into(), value.as_bytes().to_vec())).collect()),
        details: Some(details.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
    }
}

/// Each role as `name password [member of] [options] parameters`, and the warnings.
fn read_as_text(source: Source) -> (Vec<String>, Vec<String>) {
    let (roles, findings) = read(&[source]);
    let text = |role: InfrastructureRole| {
        format!(
            "{} {} {:?} [{}] {:?} {:?}",
            role.name,
            role.password.reveal(),
            role.member_of,
            role.attributes,
            role.parameters,
            role.admin
        )
    };
    (roles.into_iter().map(text).collect(), findings.into_iter().map(|finding| finding.message).collect())
}

#[test]
fn a_numbered_secret_gives_login_roles() {
    let (roles, warnings) = read_as_text(source(
        Definition::numbered("roles"),
        &[
            ("user1", "dbuser"),
            ("password1", "secret"),
            ("inrole1", "operator"),
            ("user2", "testuser"),
            ("password2", "testpassword"),
        ],
        &[],
    ));
    assert_eq!(roles, ["dbuser secret {\"operator\"} [LOGIN] {} None", "testuser testpassword {} [LOGIN] {} None"]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn the_configmap_says_more_and_both_styles_mix() {
    let (roles, warnings) = read_as_text(source(
        Definition::numbered("roles"),
        &[("user1", "a"), ("password1", "x"), ("batman", "justice")],
        &[(
            "batman",
            "inrole: [operator, admin]\nuser_flags:\n  - createdb\ndb_parameters:\n  log_statement: all\n  work_mem: 4096\nadmin_role: admin\n",
        )],
    ));
    assert_eq!(
        roles,
        [
            "a x {} [LOGIN] {} None",
            "batman justice {\"admin\", \"operator\"} [CREATEDB LOGIN] {\"log_statement\": \"all\", \"work_mem\": \"4096\"} Some(\"admin\")"
        ]
    );
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn the_newest_style_names_its_keys() {
    let named = Definition {
        secret: "new".into(),
        user_key: "user".into(),
        password_key: "password".into(),
        role_key: "inrole".into(),
        ..Definition::default()
    };
    let (roles, warnings) = read_as_text(source(
        named.clone(),
        &[("user", "robot_zmon_acid_monitoring_new"), ("password", "foobar_new")],
        &[],
    ));
    assert_eq!(roles, ["robot_zmon_acid_monitoring_new foobar_new {} [LOGIN] {} None"]);
    assert!(warnings.is_empty(), "{warnings:?}");

    let defaults = Definition {
        default_user: "monitor".into(),
        default_role: "pg_monitor".into(),
        details: "user_flags: [createdb]".into(),
        ..named
    };
    let (roles, _) = read_as_text(source(defaults, &[("password", "p")], &[]));
    assert_eq!(roles, ["monitor p {\"pg_monitor\"} [CREATEDB LOGIN] {} None"]);
}

#[test]
fn a_gap_ends_the_numbers_and_what_is_left_is_counted() {
    let (roles, warnings) = read_as_text(source(
        Definition::numbered("roles"),
        &[("user1", "a"), ("password1", "x"), ("user3", "c"), ("password3", "z")],
        &[],
    ));
    assert_eq!(roles, ["a x {} [LOGIN] {} None"]);
    assert_eq!(warnings, ["Secret roles has 2 keys that say nothing about infrastructure roles"]);
}

#[test]
fn an_empty_name_is_skipped_silently() {
    let (roles, warnings) =
        read_as_text(source(Definition::numbered("roles"), &[("user1", ""), ("user2", "b"), ("password2", "y")], &[]));
    assert_eq!(roles, ["b y {} [LOGIN] {} None"]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn what_cannot_be_used_is_left_out_and_named() {
    for (secret, details, expected) in [
        (
            &[("user1", "a")][..],
            &[][..],
            "Secret roles has no password in UTF-8 for infrastructure role \"a\", which is left out",
        ),
        (
            &[],
            &[("b", "inrole: [x]")],
            "Secret roles has no password in UTF-8 for infrastructure role \"b\", which is left out",
        ),
        (
            &[("b", "y")],
            &[("b", "user_flags: [fly]")],
            "Secret roles gives infrastructure role \"b\" options that cannot be used: user flag \"FLY\" is not valid",
        ),
        (
            &[("user1", "!a"), ("password1", "x")],
            &[],
            "Secret roles names an infrastructure role \"!a\", which cannot be used",
        ),
    ] {
        let source = source(Definition::numbered("roles"), secret, details);
        let (roles, warnings) = read_as_text(source);
        assert!(roles.is_empty(), "{roles:?}");
        assert_eq!(warnings, [expected]);
    }
}

#[test]
fn a_missing_secret_is_a_warning() {
    let (roles, warnings) = read_as_text(Source { definition: Definition::numbered("ops/roles"), ..Source::default() });
    assert!(roles.is_empty());
    assert_eq!(warnings, ["there is no Secret ops/roles for infrastructure roles"]);
}

#[test]
fn a_description_that_is_no_yaml_leaves_the_role_out() {
    let source = source(Definition::numbered("roles"), &[("b", "y")], &[("b", "inrole: [")]);
    let (roles, warnings) = read_as_text(source);
    assert!(roles.is_empty());
    assert!(
        warnings[0].starts_with("Secret roles describes infrastructure role \"b\" in a way that cannot be read"),
        "{warnings:?}"
    );
}

#[test]
fn a_definition_is_read_from_either_form_of_the_configuration() {
    let text = serde_json::json!({"secretname": "a", "userkey": "user", "passwordkey": "password", "template": "true"});
    let typed = serde_json::json!({"secretname": "a", "userkey": "user", "passwordkey": "password", "template": true});
    let [text, typed] = [text, typed].map(|value| serde_json::from_value::<Definition>(value).unwrap());
    assert_eq!(text, typed);
    assert!(typed.template);
}

/// Each role with its password, and the warnings.
fn passwords(sources: &[Source]) -> (Vec<String>, Vec<String>) {
    let (roles, findings) = read(sources);
    let text = |role: InfrastructureRole| format!("{} {}", role.name, role.password.reveal());
    (roles.into_iter().map(text).collect(), findings.into_iter().map(|finding| finding.message).collect())
}

#[test]
fn the_numbered_secret_is_the_last_and_of_two_definitions_of_a_role_the_last_is_used() {
    let config = Config::read(&serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {
        "infrastructure_roles_secret_name": "numbered",
        "infrastructure_roles_secrets": "secretname: ops/listed, userkey: login, passwordkey: pw",
    }}));
    let definitions = definitions(&config.unwrap().config);
    let secrets: Vec<&str> = definitions.iter().map(|definition| &*definition.secret).collect();
    assert_eq!(secrets, ["ops/listed", "numbered"]);
    let data = [&[("login", "bob"), ("pw", "of-listed")][..], &[("user1", "bob"), ("password1", "of-numbered")]];
    let sources: Vec<Source> =
        definitions.into_iter().zip(data).map(|(definition, data)| source(definition, data, &[])).collect();
    let warning =
        "infrastructure role \"bob\" is defined twice: by Secret ops/listed and by Secret numbered, which is used";
    assert_eq!(passwords(&sources), (vec!["bob of-numbered".to_owned()], vec![warning.to_owned()]));
}

#[test]
fn a_role_of_numbered_keys_that_the_configmap_describes_too_is_as_the_configmap_says() {
    let data = [("user1", "bob"), ("password1", "numbered"), ("bob", "described")];
    let source = source(Definition::numbered("roles"), &data, &[("bob", "user_flags: [createdb]")]);
    let warning = "infrastructure role \"bob\" is defined twice: by Secret roles and the ConfigMap of its name, and the last \
                   definition is used";
    assert_eq!(passwords(&[source]), (vec!["bob described".to_owned()], vec![warning.to_owned()]));
}

#[test]
fn a_definition_that_names_no_secret_is_not_looked_for() {
    for listed in ["userkey: login, passwordkey: pw", "secretname: ns/, userkey: login"] {
        let data = serde_json::json!({"infrastructure_roles_secrets": listed});
        let config = Config::read(&serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data}));
        assert_eq!(definitions(&config.unwrap().config), [], "{listed}");
    }
}
