//! The rotation of passwords: which roles take part, and the login roles that a rotation makes.
//!
//! See [password rotation](https://postgres-operator.readthedocs.io/en/latest/administrator/#password-rotation-in-k8s-secrets).

use std::collections::BTreeMap;

use pgloom_api::Finding;
use pgloom_api::postgresql::owner_of;
use pgloom_api::suggest::nearest_or;
use pgloom_common::role::MAX_IDENTIFIER;

use super::{Origin, PasswordSource, Role, Roles, Sources};

/// How the password of a role changes regularly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// Never, and none was made: a system user, an infrastructure role, a team member, a plugin's role.
    #[default]
    Never,
    /// Not now. It may have been on, so the Secret may name a login role of a rotation.
    Off,
    /// The Secret gets a new login role, which is a member of the role.
    NewRole,
    /// The role gets a new password.
    InPlace,
}

/// The length of the date in the name of a login role, as in `foo_user240131`.
const DATE: usize = "240131".len();

/// The name of the login role of a rotation. `date` is `YYMMDD`.
#[must_use]
pub fn rotated_name(role: &str, date: &str) -> String {
    format!("{role}{date}")
}

/// The date of a login role of this role, `YYMMDD`; `None` if it is no such role.
#[must_use]
pub fn rotation_date<'a>(role: &str, login: &'a str) -> Option<&'a str> {
    let date = login.strip_prefix(role)?;
    (date.len() == DATE && date.bytes().all(|byte| byte.is_ascii_digit())).then_some(date)
}

impl Role {
    /// The login role of a rotation of this role: a member of it, with its attributes and settings.
    #[must_use]
    pub fn rotated(&self, login: &str) -> Self {
        Self {
            name: login.to_owned(),
            member_of: [self.name.clone()].into(),
            rotation: Rotation::Never,
            settings_of: Some(self.name.clone()),
            ..self.clone()
        }
    }
}

/// Sets how the passwords of the roles change.
pub(super) fn set(sources: &Sources, roles: &mut Roles) {
    let rotation = &sources.rotation;
    let lists = [
        ("usersWithSecretRotation", &rotation.with_role),
        ("usersWithInPlaceSecretRotation", &rotation.in_place),
        ("usersIgnoringSecretRotation", &rotation.ignoring),
    ];
    for (field, names) in lists {
        let findings = names.iter().enumerate().filter_map(|(index, name)| {
            let path = format!("spec.{field}[{index}]");
            without_effect(name, &roles.roles, sources).map(|finding| finding.at(path))
        });
        roles.findings.extend(findings);
    }
    let owners: Vec<&String> = sources.databases.values().collect();
    let mut too_long = Vec::new();
    for role in roles.roles.values_mut().filter(|role| may_rotate(role)) {
        let is_owner = owners.contains(&&role.name) || is_prepared_owner(role);
        let has = |names: &[String]| names.contains(&role.name);
        role.rotation = match () {
            () if !sources.settings.rotation_possible || sources.is_standby || has(&rotation.ignoring) => Rotation::Off,
            () if has(&rotation.in_place) => Rotation::InPlace,
            () if has(&rotation.with_role) || sources.settings.rotation && !is_owner => Rotation::NewRole,
            () => Rotation::Off,
        };
        if role.rotation == Rotation::NewRole && role.name.len() + DATE > MAX_IDENTIFIER {
            role.rotation = Rotation::Off;
            too_long.push(role.name.clone());
        }
    }
    roles.findings.extend(too_long.into_iter().map(|name| {
        let message =
            format!("the password of role \"{name}\" does not change: its name and a date have more than 63 bytes");
        Finding::warning(message).remedy("use a shorter name, or name it in usersWithInPlaceSecretRotation")
    }));
}

fn may_rotate(role: &Role) -> bool {
    matches!(role.origin, Origin::Manifest | Origin::Prepared)
        && role.secret.is_some()
        && role.password == PasswordSource::Generated
}

/// Whether it is the login role of an owner of a prepared database or of one of its schemas.
fn is_prepared_owner(role: &Role) -> bool {
    role.origin == Origin::Prepared && role.member_of.iter().any(|group| group.ends_with(&owner_of("")))
}

/// Why it has no effect that the manifest names a role.
fn without_effect(name: &str, roles: &BTreeMap<String, Role>, sources: &Sources) -> Option<Finding> {
    let Some(role) = roles.get(name) else {
        let known = roles.values().filter(|role| may_rotate(role)).map(|role| role.name.as_str());
        let finding = Finding::warning(format!("has no effect: {name:?} is not a role of this cluster"));
        return Some(finding.remedy(nearest_or(name, known, "remove it")));
    };
    if !may_rotate(role) {
        let message = format!(
            "has no effect: {name:?} is one of {}, whose password is not changed here, or has no password",
            role.origin.words()
        );
        return Some(Finding::warning(message).remedy("remove it"));
    }
    if !sources.settings.rotation_possible {
        let message = "has no effect: enable_database_access of the operator configuration is off";
        return Some(Finding::warning(message).remedy("switch it on, or remove the field"));
    }
    None
}

#[cfg(test)]
mod tests {
    use pgloom_api::postgresql::with_defaults;
    use pgloom_api::validate::UserRotation;
    use pgloom_common::role::Attributes;

    use super::*;
    use crate::role::{CredentialRequest, Settings, gather};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn sources(rotation: bool) -> Sources {
        Sources {
            namespace: "prod".into(),
            settings: Settings { rotation, ..Settings::default() },
            users: ["app", "owner", "group"]
                .map(|name| {
                    let words: &[&str] = if name == "group" { &["nologin"] } else { &[] };
                    (name.to_owned(), Attributes::parse(words).unwrap())
                })
                .into(),
            databases: [("store".into(), "owner".into())].into(),
            prepared: with_defaults(
                serde_json::from_value(serde_json::json!({"foo": {"defaultUsers": true}})).unwrap(),
                "acid-test",
            ),
            credentials: vec![CredentialRequest { username: "pooler".into(), ..CredentialRequest::default() }],
            ..Sources::default()
        }
    }

    /// The roles that do not keep their password.
    fn rotating(sources: &Sources) -> Vec<String> {
        let roles = gather(sources).roles;
        let rotating = roles.values().filter(|role| !matches!(role.rotation, Rotation::Never | Rotation::Off));
        rotating.map(|role| format!("{} {:?}", role.name, role.rotation)).collect()
    }

    #[test]
    fn without_the_configuration_or_the_manifest_no_password_changes() {
        assert_eq!(rotating(&sources(false)), Vec::<String>::new());
    }

    #[test]
    fn the_configuration_rotates_login_roles_that_own_no_database_and_that_the_host_does_not_need() {
        let of_schemas = ["foo_data_reader_user NewRole", "foo_data_writer_user NewRole"];
        let found = rotating(&sources(true));
        let expected = ["app NewRole", "foo_reader_user NewRole", "foo_writer_user NewRole"];
        assert_eq!(found.iter().filter(|it| !of_schemas.contains(&it.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_manifest_names_single_roles_owners_too_and_leaves_others_out() {
        let mut sources = sources(true);
        sources.rotation.in_place = names(&["owner", "foo_owner_user"]);
        sources.rotation.with_role = names(&["owner"]);
        sources.rotation.ignoring = names(&["app", "foo_reader_user", "foo_writer_user"]);
        let found = rotating(&sources);
        assert_eq!(found, ["foo_owner_user InPlace", "owner InPlace"]);
        sources.settings.rotation = false;
        sources.rotation = UserRotation { with_role: names(&["owner"]), ..UserRotation::default() };
        assert_eq!(rotating(&sources), ["owner NewRole"]);
    }

    #[test]
    fn a_name_that_has_no_effect_is_a_warning_with_its_place() {
        let mut sources = sources(false);
        sources.rotation.with_role = names(&["ap", "postgres", "pooler", "group"]);
        sources.rotation.in_place = names(&["standby"]);
        let found: Vec<_> = gather(&sources).findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "spec.usersWithSecretRotation[0]: has no effect: \"ap\" is not a role of this cluster; did you mean app?",
                "spec.usersWithSecretRotation[1]: has no effect: \"postgres\" is one of the system users, whose password \
                 is not changed here, or has no password; remove it",
                "spec.usersWithSecretRotation[2]: has no effect: \"pooler\" is one of a plugin's credential, whose \
                 password is not changed here, or has no password; remove it",
                "spec.usersWithSecretRotation[3]: has no effect: \"group\" is one of the manifest's users, whose password \
                 is not changed here, or has no password; remove it",
                "spec.usersWithInPlaceSecretRotation[0]: has no effect: \"standby\" is one of the system users, whose \
                 password is not changed here, or has no password; remove it",
            ]
        );
        assert_eq!(rotating(&sources), Vec::<String>::new());
    }

    #[test]
    fn no_password_changes_in_a_standby_cluster_or_without_access_to_the_database() {
        assert_eq!(rotating(&Sources { is_standby: true, ..sources(true) }), Vec::<String>::new());
        let mut without = sources(true);
        without.settings.rotation_possible = false;
        without.rotation.in_place = names(&["app"]);
        assert_eq!(rotating(&without), Vec::<String>::new());
        assert!(gather(&without).findings[0].message.contains("enable_database_access"));
    }

    #[test]
    fn a_role_whose_name_leaves_no_place_for_a_date_keeps_its_password_with_a_warning() {
        let long = "x".repeat(58);
        let none: [&str; 0] = [];
        let users = [(long.clone(), Attributes::parse(none).unwrap())].into();
        let sources = Sources { users, databases: BTreeMap::new(), ..sources(true) };
        let roles = gather(&sources);
        assert_eq!(roles.roles[&long].rotation, Rotation::Off);
        assert!(roles.findings[0].message.contains("more than 63 bytes"), "{:?}", roles.findings);
    }

    #[test]
    fn a_login_role_has_six_digits_after_the_name_and_the_rights_of_the_role() {
        assert_eq!(rotation_date("foo", &rotated_name("foo", "240131")), Some("240131"));
        for other in ["foo", "foo2401", "foo24013a", "bar240131", "foo2401310"] {
            assert_eq!(rotation_date("foo", other), None, "{other}");
        }
        let roles = gather(&sources(true)).roles;
        let login = roles["app"].rotated("app240131");
        assert_eq!((login.name.as_str(), &login.attributes), ("app240131", &roles["app"].attributes));
        assert_eq!(login.member_of, ["app".to_owned()].into());
    }
}
