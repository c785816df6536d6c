//! Tests: the statements that create and alter roles.

use pgloom_decide::role::{Attributes, Origin, PasswordSource, Rotation, SecretPlace};

use super::*;

fn role(name: &str, words: &[&str]) -> Role {
    let attributes = Attributes::parse(words).unwrap();
    let login = attributes.grants(Attribute::Login);
    Role {
        name: name.into(),
        origin: Origin::Manifest,
        secret: login.then(SecretPlace::default),
        password: PasswordSource::Generated,
        attributes,
        member_of: BTreeSet::new(),
        admin: None,
        parameters: BTreeMap::new(),
        rotation: Rotation::NewRole,
        settings_of: None,
    }
}

fn group(name: &str) -> Role {
    role(name, &["nologin"])
}

fn there(attributes: &[Attribute]) -> Existing {
    Existing { attributes: attributes.iter().copied().collect(), ..Existing::default() }
}

fn planned(wanted: &[Role], passwords: &[(&str, &str)], existing: &[(&str, Existing)]) -> (Vec<String>, Vec<String>) {
    let passwords = passwords.iter().map(|(name, plain)| ((*name).into(), Password::new(*plain))).collect();
    let existing = existing.iter().map(|(name, role)| ((*name).into(), role.clone())).collect();
    let hash = |name: &str, _: &Password| Password::new(format!("<{name}>"));
    let additional_owners = ["cron_admin".into()].into();
    let (statements, findings) = plan(wanted, &passwords, &additional_owners, &existing, hash);
    (
        statements.iter().map(|statement| format!("{} | {}", statement.what, statement.sql())).collect(),
        findings.into_iter().map(|finding| finding.message).collect(),
    )
}

#[test]
fn a_missing_role_is_created_with_all_it_needs_at_once() {
    let mut wanted = role("foo_user", &["createdb"]);
    wanted.admin = Some("admin".into());
    wanted.member_of = ["readers".into(), "Writers".into()].into();
    wanted.parameters = [
        ("log_statement".into(), "all".into()),
        ("search_path".into(), "\"$user\", data".into()),
        ("my.setting".into(), "it's".into()),
    ]
    .into();
    let existing = ["admin", "readers", "Writers"].map(|name| (name, Existing::default()));
    let (statements, findings) = planned(&[wanted], &[("foo_user", "x")], &existing);
    assert_eq!(
        statements,
        [
            "create role foo_user | CREATE ROLE \"foo_user\" WITH CREATEDB LOGIN IN ROLE \"Writers\", \"readers\" ADMIN \"admin\" \
          PASSWORD '<foo_user>'; ALTER ROLE \"foo_user\" SET \"log_statement\" TO 'all'; \
          ALTER ROLE \"foo_user\" SET \"my\".\"setting\" TO 'it''s'; \
          ALTER ROLE \"foo_user\" SET \"search_path\" TO '$user', 'data'"
        ]
    );
    assert!(findings.is_empty());
}

#[test]
fn a_role_without_a_password_is_created_with_none() {
    let (statements, _) = planned(&[group("readers")], &[], &[]);
    assert_eq!(statements, ["create role readers | CREATE ROLE \"readers\" WITH PASSWORD NULL"]);
}

#[test]
fn the_replication_user_follows_its_secret_and_is_never_created() {
    let standby = Role {
        origin: Origin::System,
        attributes: Attributes::default(),
        secret: Some(SecretPlace::default()),
        ..group("standby")
    };
    let wanted = std::slice::from_ref(&standby);
    assert_eq!(planned(wanted, &[("standby", "x")], &[]), (vec![], vec![]));
    let known = Existing {
        verifier: Some(verifier::make(verifier::Encryption::Md5, "standby", &Password::new("x"))),
        ..there(&[Attribute::Login])
    };
    assert_eq!(planned(wanted, &[("standby", "x")], &[("standby", known.clone())]), (vec![], vec![]));
    let (statements, findings) = planned(wanted, &[("standby", "y")], &[("standby", known)]);
    assert_eq!(statements, ["alter role standby: password | ALTER ROLE \"standby\" WITH PASSWORD '<standby>'"]);
    assert!(findings[0].starts_with("the password of \"standby\""), "{findings:?}");
}

#[test]
fn roles_that_others_name_are_created_first() {
    let mut owner_user = group("a_owner_user");
    owner_user.member_of = ["owner".into()].into();
    let mut reader = group("b_reader");
    reader.admin = Some("owner".into());
    let (statements, findings) = planned(&[owner_user, reader, group("owner")], &[], &[]);
    let order: Vec<_> = statements.iter().map(|line| line.split_once(" |").unwrap().0).collect();
    assert_eq!(order, ["create role owner", "create role a_owner_user", "create role b_reader"]);
    assert!(findings.is_empty());
}

#[test]
fn a_circle_of_roles_ends() {
    let (mut a, mut b) = (group("a"), group("b"));
    a.member_of = ["b".into()].into();
    b.member_of = ["a".into()].into();
    assert_eq!(planned(&[a, b], &[], &[]).0.len(), 2);
}

#[test]
fn a_role_that_the_database_does_not_have_is_left_out_and_named() {
    let mut wanted = group("foo");
    wanted.admin = Some("admin".into());
    wanted.member_of = ["cron_admin".into()].into();
    let (statements, findings) = planned(&[wanted], &[], &[]);
    assert_eq!(statements, ["create role foo | CREATE ROLE \"foo\" WITH PASSWORD NULL"]);
    assert_eq!(
        findings,
        [
            "role \"foo\" is not made a member of \"cron_admin\": the database has no role \"cron_admin\"",
            "role \"admin\" is not made an admin of \"foo\": the database has no role \"admin\""
        ]
    );
}

#[test]
fn an_unchanged_role_gets_no_statement() {
    let plain = Password::new("secret");
    let wanted = role("foo", &["replication", "bypassrls", "noinherit"]);
    for encryption in [verifier::Encryption::Scram, verifier::Encryption::Md5] {
        let existing = Existing {
            verifier: Some(verifier::make(encryption, "foo", &plain)),
            ..there(&[Attribute::Login, Attribute::Replication, Attribute::BypassRls])
        };
        let (statements, _) = planned(std::slice::from_ref(&wanted), &[("foo", "secret")], &[("foo", existing)]);
        assert_eq!(statements, [""; 0], "{encryption:?}");
    }
}

#[test]
fn missing_options_and_another_password_are_altered_in_one_statement() {
    let existing = Existing { verifier: Some(Password::new("md5other")), ..there(&[Attribute::Login]) };
    let (statements, _) = planned(&[role("foo", &["superuser"])], &[("foo", "new")], &[("foo", existing)]);
    assert_eq!(
        statements,
        ["alter role foo: superuser, password | ALTER ROLE \"foo\" WITH SUPERUSER PASSWORD '<foo>'"]
    );
}

#[test]
fn options_that_the_manifest_does_not_state_stay() {
    let existing = there(&[Attribute::Login, Attribute::Superuser, Attribute::CreateDb, Attribute::Inherit]);
    for wanted in [role("foo", &[]), group("foo")] {
        let (statements, _) = planned(&[wanted], &[], &[("foo", existing.clone())]);
        assert_eq!(statements, [""; 0]);
    }
    let (statements, _) = planned(&[role("foo", &["nosuperuser"])], &[], &[("foo", existing)]);
    assert_eq!(statements, ["alter role foo: nosuperuser | ALTER ROLE \"foo\" WITH NOSUPERUSER"]);
}

#[test]
fn memberships_are_added_and_never_taken() {
    let mut wanted = group("foo");
    wanted.member_of = ["a".into(), "b".into()].into();
    let existing = Existing { member_of: ["b".into(), "c".into()].into(), ..Existing::default() };
    let (statements, _) =
        planned(&[wanted], &[], &[("foo", existing), ("a", Existing::default()), ("b", Existing::default())]);
    assert_eq!(statements, ["alter role foo: member of a | GRANT \"a\" TO \"foo\""]);
}

#[test]
fn an_owner_that_was_granted_to_an_additional_owner_role_is_taken_back_and_no_other_grant_is() {
    let mut owner = group("bar_owner");
    owner.member_of = ["cron_admin".into(), "theirs".into()].into();
    let member_of_owner = Existing { member_of: ["bar_owner".into()].into(), ..Existing::default() };
    let existing =
        [("bar_owner", Existing::default()), ("cron_admin", member_of_owner.clone()), ("theirs", member_of_owner)];
    let (statements, _) = planned(&[owner], &[], &existing);
    assert_eq!(
        statements,
        ["alter role bar_owner: no longer granted to cron_admin, member of cron_admin, member of theirs | \
          REVOKE \"bar_owner\" FROM \"cron_admin\"; GRANT \"cron_admin\" TO \"bar_owner\"; \
          GRANT \"theirs\" TO \"bar_owner\""]
    );
}

#[test]
fn only_the_wanted_roles_and_those_that_they_name_are_looked_up() {
    let mut wanted = group("foo");
    wanted.admin = Some("admin".into());
    wanted.member_of = ["readers".into()].into();
    assert_eq!(names_of(&[wanted, group("bar")]), ["admin", "bar", "foo", "readers"].into());
}

#[test]
fn settings_are_set_anew_when_they_differ_and_only_then() {
    let mut wanted = group("foo");
    wanted.parameters = [("search_path".into(), "\"$user\",  Data".into()), ("Work_Mem".into(), "4MB".into())].into();
    let with = |settings: &[(&str, &str)]| Existing {
        parameters: settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        ..Existing::default()
    };
    let same = with(&[("search_path", "\"$user\", data"), ("work_mem", "4MB")]);
    let (statements, _) = planned(std::slice::from_ref(&wanted), &[], &[("foo", same)]);
    assert_eq!(statements, [""; 0]);

    let more = with(&[("search_path", "\"$user\", data"), ("work_mem", "4MB"), ("jit", "off")]);
    let (statements, _) = planned(&[wanted], &[], &[("foo", more.clone())]);
    assert_eq!(
        statements,
        ["alter role foo: settings | ALTER ROLE \"foo\" RESET ALL; ALTER ROLE \"foo\" SET \"Work_Mem\" TO '4MB'; \
          ALTER ROLE \"foo\" SET \"search_path\" TO '$user', 'data'"]
    );
    let (statements, _) = planned(&[group("foo")], &[], &[("foo", more)]);
    assert_eq!(statements, [""; 0], "a role that wants no settings keeps what it has");
}

#[test]
fn a_role_whose_password_is_unknown_keeps_the_one_it_has() {
    let existing = Existing { verifier: Some(Password::new("md5other")), ..there(&[Attribute::Login]) };
    let (statements, _) = planned(&[role("foo", &[])], &[], &[("foo", existing)]);
    assert_eq!(statements, [""; 0]);
}

#[test]
fn names_are_quoted_however_odd() {
    let mut wanted = group("a\"; DROP ROLE x; --");
    wanted.parameters = [("a\".b".into(), "\\".into())].into();
    let (statements, _) = planned(&[wanted], &[], &[]);
    let sql = statements[0].split_once(" | ").unwrap().1;
    assert_eq!(
        sql,
        "CREATE ROLE \"a\"\"; DROP ROLE x; --\" WITH PASSWORD NULL; \
         ALTER ROLE \"a\"\"; DROP ROLE x; --\" SET \"a\"\"\".\"b\" TO  E'\\\\'"
    );
}

#[test]
fn a_statement_with_a_verifier_does_not_print_it() {
    let (statements, _) = plan(
        &[role("foo", &[])],
        &[("foo".into(), Password::new("plain"))].into(),
        &BTreeSet::new(),
        &BTreeMap::new(),
        |_, _| Password::new("verifier"),
    );
    assert_eq!(format!("{statements:?}"), "[create role foo: (secret)]");
}

#[test]
fn lists_of_names_are_read_as_the_server_reads_them() {
    for (list, expected) in [
        ("\"$user\", public", &["$user", "public"][..]),
        ("Data", &["data"]),
        ("\"A,b\"\"c\"", &["A,b\"c"]),
        ("", &[""]),
    ] {
        assert_eq!(items(list), expected, "{list}");
    }
}

#[test]
fn a_login_role_of_a_rotation_is_a_member_of_its_role_and_has_the_settings_that_it_has_in_the_database() {
    let foo = role("foo", &["createdb"]);
    let wanted = [foo.clone(), foo.rotated("foo240131")];
    let known = Existing {
        parameters: [("search_path".to_owned(), "data".to_owned())].into(),
        ..there(&[Attribute::Login, Attribute::CreateDb])
    };
    let (statements, findings) = planned(&wanted, &[("foo240131", "new")], &[("foo", known)]);
    assert_eq!(
        statements,
        [
            "create role foo240131 | CREATE ROLE \"foo240131\" WITH CREATEDB LOGIN IN ROLE \"foo\" PASSWORD '<foo240131>'; \
             ALTER ROLE \"foo240131\" SET \"search_path\" TO 'data'; \
             COMMENT ON ROLE \"foo240131\" IS 'pgloom: login role of a rotation'"
        ]
    );
    assert!(findings.is_empty());
}
