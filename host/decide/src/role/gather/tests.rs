//! Tests: which roles a cluster has.

use pgloom_api::postgresql::with_defaults;

use super::*;
use crate::credential::Password;
use crate::role::{PreparedDatabase, Settings};

fn sources() -> Sources {
    Sources { namespace: "prod".into(), ..Sources::default() }
}

fn users(given: &[(&str, &[&str])]) -> BTreeMap<String, Attributes> {
    given.iter().map(|(name, words)| ((*name).into(), Attributes::parse(*words).unwrap())).collect()
}

fn infrastructure(name: &str, attributes: &[&str]) -> InfrastructureRole {
    InfrastructureRole {
        name: name.into(),
        password: Password::new("given"),
        attributes: Attributes::parse(attributes).unwrap(),
        member_of: BTreeSet::new(),
        admin: None,
        parameters: BTreeMap::new(),
    }
}

/// `name: FLAGS in groups admin x +secret`, for every role that is not a system user.
fn lines(roles: &Roles) -> Vec<String> {
    roles.roles.values().filter(|role| role.origin != Origin::System).map(line).collect()
}

fn line(role: &Role) -> String {
    let mut line = format!("{}: {}", role.name, role.attributes);
    if !role.member_of.is_empty() {
        let groups: Vec<_> = role.member_of.iter().cloned().collect();
        line += &format!(" in {}", groups.join(","));
    }
    if let Some(admin) = &role.admin {
        line += &format!(" admin {admin}");
    }
    if role.secret.is_some() {
        line += " +secret";
    }
    line
}

fn messages(roles: &Roles) -> Vec<String> {
    roles
        .findings
        .iter()
        .map(|finding| match finding.is_error() {
            true => format!("error: {}", finding.message),
            false => finding.message.clone(),
        })
        .collect()
}

#[test]
fn the_guides_users_log_in_and_have_secrets() {
    let roles = gather(&Sources {
        users: users(&[("zalando", &["superuser", "createdb"]), ("foo_user", &[])]),
        databases: [("foo".into(), "zalando".into())].into(),
        ..sources()
    });
    assert_eq!(
        lines(&roles),
        ["foo_user: LOGIN admin admin +secret", "zalando: CREATEDB LOGIN SUPERUSER admin admin +secret"]
    );
    assert_eq!(roles.databases["foo"], "zalando");
    let system: Vec<_> = roles.roles.values().filter(|role| role.origin == Origin::System).map(line).collect();
    assert_eq!(system, ["postgres:  +secret", "standby:  +secret"]);
    assert!(roles.findings.is_empty(), "{:?}", roles.findings);
}

#[test]
fn a_role_that_may_not_log_in_has_no_secret() {
    let roles = gather(&Sources {
        users: users(&[("group", &["nologin"])]),
        infrastructure: vec![infrastructure("ops", &["nologin"])],
        ..sources()
    });
    assert_eq!(lines(&roles), ["group:  admin admin", "ops: "]);
}

#[test]
fn an_infrastructure_role_replaces_the_manifests() {
    let roles = gather(&Sources {
        users: users(&[("foo", &["superuser", "createdb"])]),
        infrastructure: vec![infrastructure("foo", &["createrole"])],
        ..sources()
    });
    assert_eq!(lines(&roles), ["foo: CREATEROLE LOGIN +secret"]);
    assert_eq!(roles.roles["foo"].password, PasswordSource::Given(Password::new("given")));
    assert_eq!(
        messages(&roles),
        ["role \"foo\" is defined twice: the infrastructure roles replace the manifest's users"]
    );
    assert_eq!(roles.findings[0].path.as_deref(), Some("spec.users.foo"));
}

#[test]
fn protected_and_system_names_are_left_out_everywhere() {
    let roles = gather(&Sources {
        users: users(&[("admin", &["superuser"]), ("postgres", &[])]),
        infrastructure: vec![infrastructure("standby", &[])],
        teams: vec![Team { name: "acid".into(), members: vec!["admin".into(), "postgres".into()], superusers: false }],
        credentials: vec![CredentialRequest { username: "cron_admin".into(), ..CredentialRequest::default() }],
        ..sources()
    });
    assert!(lines(&roles).is_empty());
    assert_eq!(
        messages(&roles),
        [
            "role \"standby\" of the infrastructure roles is left out: the name belongs to a system user",
            "role \"admin\" of the manifest's users is left out: the name is protected by protected_role_names",
            "role \"postgres\" of the manifest's users is left out: the name belongs to a system user",
            "role \"admin\" of the Teams API is left out: the name is protected by protected_role_names",
            "role \"postgres\" of the Teams API is left out: the name belongs to a system user",
            "role \"cron_admin\" of a plugin's credential is left out: the name is protected by protected_role_names",
        ]
    );
    assert_eq!(roles.roles["postgres"].origin, Origin::System);
}

#[test]
fn a_name_that_postgres_would_cut_is_left_out() {
    let long = "a".repeat(64);
    let roles = gather(&Sources { users: users(&[(&long, &[])]), ..sources() });
    assert!(lines(&roles).is_empty());
    assert!(messages(&roles)[0].ends_with("longer than the 63 bytes that PostgreSQL keeps"));
}

#[test]
fn a_team_member_replaces_an_infrastructure_role_and_has_no_password() {
    let roles = gather(&Sources {
        infrastructure: vec![infrastructure("elephant", &["createdb"])],
        teams: vec![Team { name: "acid".into(), members: vec!["elephant".into(), "mouse".into()], superusers: false }],
        ..sources()
    });
    assert_eq!(lines(&roles), ["elephant: LOGIN in admin,zalandos", "mouse: LOGIN in admin,zalandos"]);
    assert_eq!(roles.roles["mouse"].parameters["log_statement"], "all");
    assert_eq!(roles.roles["mouse"].password, PasswordSource::None);
}

#[test]
fn members_of_superuser_teams_are_superusers_of_the_group_alone() {
    let superusers = Team { name: "dba".into(), members: vec!["root".into()], superusers: true };
    let owners = Team { name: "acid".into(), members: vec!["mouse".into()], superusers: false };
    let teams = vec![superusers, owners];
    let roles = gather(&Sources { teams: teams.clone(), ..sources() });
    assert_eq!(lines(&roles), ["mouse: LOGIN in admin,zalandos", "root: LOGIN SUPERUSER in zalandos"]);
    let roles =
        gather(&Sources { teams, settings: Settings { team_superuser: true, ..Settings::default() }, ..sources() });
    assert_eq!(lines(&roles), ["mouse: LOGIN SUPERUSER in zalandos", "root: LOGIN SUPERUSER in zalandos"]);
}

#[test]
fn a_plugin_gets_no_role_whose_secret_would_be_that_of_another_role() {
    let wanted = ["Postgres", "foo-user", "Foo_user", "spy", "spy"];
    let credentials = wanted.map(|name| CredentialRequest { username: name.into(), ..CredentialRequest::default() });
    let roles = gather(&Sources { users: users(&[("foo_user", &[])]), credentials: credentials.into(), ..sources() });
    assert_eq!(lines(&roles), ["foo_user: LOGIN admin admin +secret", "spy: LOGIN +secret"]);
    let taken = |of: &str| format!("its Secret would have the name of that of role {of:?}");
    let refused: Vec<(&str, &str)> = roles.refused.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
    let (of_user, of_system) = (taken("foo_user"), taken("postgres"));
    assert_eq!(refused, [("Foo_user", &*of_user), ("Postgres", &*of_system), ("foo-user", &*of_user)]);
}

#[test]
fn a_plugins_credential_is_a_login_role_with_its_labels() {
    let roles = gather(&Sources {
        credentials: vec![CredentialRequest {
            username: "pooler".into(),
            labels: [("application".into(), "db-connection-pooler".into())].into(),
        }],
        ..sources()
    });
    assert_eq!(lines(&roles), ["pooler: LOGIN +secret"]);
    let place = roles.roles["pooler"].secret.clone().unwrap();
    assert_eq!(place.namespace, "prod");
    assert_eq!(place.labels["application"], "db-connection-pooler");
}

#[test]
fn an_empty_prepared_section_means_one_database_named_like_the_cluster() {
    let roles = gather(&Sources { prepared: prepared(serde_json::json!({})), ..sources() });
    assert_eq!(
        lines(&roles),
        [
            "acid_test_data_owner:  admin acid_test_owner",
            "acid_test_data_reader:  admin acid_test_data_owner",
            "acid_test_data_writer:  in acid_test_data_reader admin acid_test_data_owner",
            "acid_test_owner:  admin admin",
            "acid_test_reader:  admin acid_test_owner",
            "acid_test_writer:  in acid_test_reader admin acid_test_owner",
        ]
    );
    assert_eq!(roles.databases["acid_test"], "acid_test_owner");
}

fn prepared(json: serde_json::Value) -> BTreeMap<String, PreparedDatabase> {
    with_defaults(serde_json::from_value(json).unwrap(), "acid-test")
}

#[test]
fn default_users_are_login_roles_of_the_prepared_ones() {
    let roles = gather(&Sources {
        prepared: prepared(serde_json::json!({"foo": {
            "defaultUsers": true,
            "extensions": {"pgcrypto": "", "pg_partman": "parts"},
            "schemas": {"bar": {"defaultUsers": true}, "plain": {"defaultRoles": false, "defaultUsers": true}, "null": {}},
        }})),
        ..sources()
    });
    assert_eq!(
        lines(&roles),
        [
            "foo_bar_owner:  admin foo_owner",
            "foo_bar_owner_user: LOGIN in foo_bar_owner admin foo_owner +secret",
            "foo_bar_reader:  admin foo_bar_owner",
            "foo_bar_reader_user: LOGIN in foo_bar_reader admin foo_bar_owner +secret",
            "foo_bar_writer:  in foo_bar_reader admin foo_bar_owner",
            "foo_bar_writer_user: LOGIN in foo_bar_writer admin foo_bar_owner +secret",
            "foo_null_owner:  admin foo_owner",
            "foo_null_reader:  admin foo_null_owner",
            "foo_null_writer:  in foo_null_reader admin foo_null_owner",
            "foo_owner:  admin admin",
            "foo_owner_user: LOGIN in foo_owner admin admin +secret",
            "foo_reader:  admin foo_owner",
            "foo_reader_user: LOGIN in foo_reader admin foo_owner +secret",
            "foo_writer:  in foo_reader admin foo_owner",
            "foo_writer_user: LOGIN in foo_writer admin foo_owner +secret",
        ]
    );
    let search_path = |name: &str| roles.roles[name].parameters["search_path"].clone();
    assert_eq!(search_path("foo_owner_user"), "\"$user\", bar, null, plain");
    assert_eq!(search_path("foo_bar_reader"), "\"$user\", bar");
    let extensions = &roles.prepared[0].extensions;
    assert_eq!((&*extensions["pgcrypto"], &*extensions["pg_partman"]), ("public", "parts"));
    let own: Vec<_> = roles.prepared[0].schemas.iter().map(|schema| schema.own_roles).collect();
    assert_eq!(own, [true, true, false]);
}

#[test]
fn a_prepared_database_with_a_bad_name_is_left_out() {
    let roles = gather(&Sources {
        prepared: prepared(serde_json::json!({"foo-bar": {}, "ok": {"schemas": {"a-b": {}, "c": {}}}})),
        ..sources()
    });
    assert_eq!(
        messages(&roles),
        [
            "database \"foo-bar\" is left out: its name cannot be used",
            "schema \"a-b\" is left out: its name cannot be used"
        ]
    );
    assert_eq!(roles.prepared.len(), 1);
}

#[test]
fn secrets_go_to_another_namespace_only_if_the_operator_allows_it() {
    let mut given = Sources {
        users: users(&[("app.db_user", &[])]),
        prepared: prepared(serde_json::json!({"foo": {"defaultUsers": true, "secretNamespace": "team"}})),
        ..sources()
    };
    let namespaces = |roles: &Roles| {
        ["app.db_user", "foo_reader_user"].map(|name| roles.roles[name].secret.clone().unwrap().namespace)
    };
    let roles = gather(&given);
    assert_eq!(namespaces(&roles), ["prod", "prod"]);
    assert_eq!(roles.findings[0].path.as_deref(), Some("spec.preparedDatabases.foo.secretNamespace"));
    given.settings.cross_namespace_secrets = true;
    assert_eq!(namespaces(&gather(&given)), ["app", "team"]);
}

#[test]
fn owners_of_databases_and_of_their_schemas_are_members_of_the_additional_owner_roles() {
    let roles = gather(&Sources {
        users: users(&[("zalando", &[]), ("foo_user", &[])]),
        databases: [("foo".into(), "zalando".into())].into(),
        prepared: prepared(serde_json::json!({"bar": {}})),
        settings: Settings {
            additional_owner_roles: ["cron_admin".into()].into(),
            admin_for_users: false,
            ..Settings::default()
        },
        ..sources()
    });
    let with: Vec<_> = lines(&roles).into_iter().filter(|line| line.contains("cron_admin")).collect();
    assert_eq!(
        with,
        [
            "bar_data_owner:  in cron_admin admin bar_owner",
            "bar_owner:  in cron_admin admin admin",
            "zalando: LOGIN in cron_admin +secret"
        ]
    );
    assert_eq!(roles.additional_owners, ["cron_admin".into()].into());
}

#[test]
fn databases_without_a_known_owner_or_with_two_are_named() {
    let roles = gather(&Sources {
        users: users(&[("zalando", &[])]),
        databases: [
            ("lost".into(), "nobody".into()),
            ("a-b".into(), "zalando".into()),
            ("bar".into(), "zalando".into()),
            ("system".into(), "postgres".into()),
        ]
        .into(),
        prepared: prepared(serde_json::json!({"bar": {}})),
        ..sources()
    });
    assert_eq!(
        messages(&roles),
        [
            "database \"a-b\" is left out: its name cannot be used",
            "database \"bar\" is also a prepared database, and belongs to \"zalando\", not to \"bar_owner\"",
            "database \"lost\" is left out: its owner \"nobody\" is not a role of this cluster",
        ]
    );
    let kept: Vec<_> = roles.databases.iter().map(|(name, owner)| format!("{name} {owner}")).collect();
    assert_eq!(kept, ["bar zalando", "system postgres"]);
    assert!(roles.created_with_owner.is_empty(), "the owner of bar is that of spec.databases");
}

#[test]
fn a_database_that_is_only_prepared_gets_its_owner_when_it_is_created() {
    let roles = gather(&Sources { prepared: prepared(serde_json::json!({"bar": {}})), ..sources() });
    assert_eq!(roles.databases, [("bar".to_owned(), "bar_owner".to_owned())].into());
    assert_eq!(roles.created_with_owner, ["bar".to_owned()].into());
}

#[test]
fn a_database_whose_owner_is_no_role_is_left_out_with_the_field_and_the_remedy() {
    let said = |owner: &str| {
        let databases = [("foo".to_owned(), owner.to_owned())].into();
        let roles = gather(&Sources { users: users(&[("zalando", &[])]), databases, ..sources() });
        assert_eq!(roles.databases.is_empty(), !roles.findings.is_empty(), "{owner}");
        roles.findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let left_out = |owner: &str, remedy: &str| {
        let message = format!(
            "spec.databases.foo: database \"foo\" is left out: its owner \"{owner}\" is not a role of this cluster"
        );
        [format!("{message}; {remedy}")]
    };
    assert_eq!(said("zalandoo"), left_out("zalandoo", "did you mean zalando?"));
    assert_eq!(said("nobody"), left_out("nobody", "add \"nobody\" to spec.users, or name another owner"));
    // The image may have made a protected role.
    assert_eq!(said("cron_admin"), left_out("cron_admin", "add \"cron_admin\" to spec.users, or name another owner"));
    assert!(said("zalando").is_empty() && said("standby").is_empty());
}

#[test]
fn a_role_that_postgresql_does_not_create_is_left_out_and_holds_no_cluster() {
    let reserved = ["pg_read", "public", "none"];
    let taken = reserved.map(|name| (name, &[][..]));
    let given = [taken[0], taken[1], taken[2], ("current_user", &[]), ("pgbench", &[])];
    let databases = [("foo".to_owned(), "pg_read".to_owned()), ("bar".to_owned(), "pgbench".to_owned())];
    let infrastructure = vec![infrastructure("pg_monitor", &["login"])];
    let teams = vec![Team { name: "acid".into(), members: vec!["pg_mouse".into()], superusers: false }];
    let roles =
        gather(&Sources { users: users(&given), databases: databases.into(), infrastructure, teams, ..sources() });
    assert_eq!(lines(&roles), ["current_user: LOGIN admin admin +secret", "pgbench: LOGIN admin admin +secret"]);
    assert_eq!(roles.databases.keys().collect::<Vec<_>>(), ["bar"]);
    let left_out = |name: &str, of: &str| {
        format!("role \"{name}\" of {of} is left out: PostgreSQL reserves the name, or cannot have it")
    };
    assert_eq!(
        messages(&roles),
        [
            left_out("pg_monitor", "the infrastructure roles"),
            left_out("none", "the manifest's users"),
            left_out("pg_read", "the manifest's users"),
            left_out("public", "the manifest's users"),
            left_out("pg_mouse", "the Teams API"),
            "database \"foo\" is left out: PostgreSQL reserves the name of its owner \"pg_read\"".to_owned(),
        ]
    );
}

#[test]
fn a_plugin_never_takes_over_a_role_that_someone_else_defines() {
    let credentials = ["app", "robot", "mouse", "shop_owner", "postgres", "public", "pg_monitor", "a\nb", "pooler"];
    let credential = |username: &str| CredentialRequest { username: username.into(), ..CredentialRequest::default() };
    let roles = gather(&Sources {
        users: users(&[("app", &["superuser"])]),
        infrastructure: vec![infrastructure("robot", &["login"])],
        teams: vec![Team { name: "acid".into(), members: vec!["mouse".into()], superusers: false }],
        prepared: prepared(serde_json::json!({"shop": {}})),
        credentials: credentials.map(credential).into(),
        ..sources()
    });
    for (name, reason) in [
        ("app", "the role is one of the manifest's users"),
        ("robot", "the role is one of the infrastructure roles"),
        ("mouse", "the role is one of the Teams API"),
        ("shop_owner", "the role is one of the prepared databases"),
        ("postgres", "the name belongs to a system user"),
        ("public", "PostgreSQL reserves the name, or cannot have it"),
        ("pg_monitor", "PostgreSQL reserves the name, or cannot have it"),
        ("a\nb", "PostgreSQL reserves the name, or cannot have it"),
    ] {
        assert_eq!(roles.refused.get(name).map(String::as_str), Some(reason), "{name}");
        assert!(roles.roles.get(name).is_none_or(|role| role.origin != Origin::Credential), "{name}");
    }
    assert_eq!(roles.roles["app"].attributes.to_string(), "LOGIN SUPERUSER");
    assert_eq!((roles.roles["pooler"].origin, roles.refused.len()), (Origin::Credential, 8));
}

#[test]
fn two_sources_of_one_name_are_decided_the_same_way_every_time() {
    let given = Sources {
        users: users(&[("pooler", &["superuser"])]),
        credentials: vec![CredentialRequest { username: "pooler".into(), ..CredentialRequest::default() }],
        ..sources()
    };
    let once = gather(&given);
    assert_eq!(lines(&once), ["pooler: LOGIN SUPERUSER admin admin +secret"]);
    let again = gather(&given);
    assert_eq!((once.roles, once.findings), (again.roles, again.findings));
}
