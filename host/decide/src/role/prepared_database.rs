//! Prepared databases: a database with owner, reader and writer roles, for itself and for each of its schemas.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Attribute, Finding, Flags, Origin, PasswordSource, Role, SecretPlace, Settings, is_database_name};

/// The role that becomes a member of a prepared database's owner. The image creates it.
const ADMIN: &str = "admin";
/// The schema of a database that names none.
const DEFAULT_SCHEMA: &str = "data";
/// Where an extension goes that names no schema.
const DEFAULT_EXTENSION_SCHEMA: &str = "public";

/// An entry of `spec.preparedDatabases`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreparedDatabase {
    /// Whether there are login roles beside the owner, reader and writer.
    pub default_users: bool,
    /// Schemas of extensions, by extension.
    pub extensions: Option<BTreeMap<String, Option<String>>>,
    /// Schemas by name.
    pub schemas: Option<BTreeMap<String, Option<PreparedSchema>>>,
    /// Where the Secrets of the login roles go, if the operator allows another namespace.
    pub secret_namespace: Option<String>,
}

/// A schema of a prepared database.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreparedSchema {
    /// Whether the schema has an owner, a reader and a writer of its own; yes unless denied.
    pub default_roles: Option<bool>,
    /// Whether those have login roles beside them.
    pub default_users: bool,
}

/// A prepared database, ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Its name.
    pub database: String,
    /// Schemas of extensions, by extension.
    pub extensions: BTreeMap<String, String>,
    /// Its schemas, by name.
    pub schemas: Vec<Schema>,
}

/// A schema of a prepared database, ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Whether it has an owner, a reader and a writer of its own.
    pub own_roles: bool,
}

/// The owner of a database `foo`, or of its schema `bar` by `foo_bar`.
#[must_use]
pub fn owner_of(prefix: &str) -> String {
    format!("{prefix}_owner")
}

/// The role that reads a database `foo`, or its schema `bar` by `foo_bar`.
#[must_use]
pub fn reader_of(prefix: &str) -> String {
    format!("{prefix}_reader")
}

/// The role that writes to a database `foo`, or to its schema `bar` by `foo_bar`.
#[must_use]
pub fn writer_of(prefix: &str) -> String {
    format!("{prefix}_writer")
}

/// The prepared databases and their roles. A name that cannot be used is left out with a warning.
pub(super) fn expand(
    cluster: &str,
    namespace: &str,
    settings: &Settings,
    databases: &BTreeMap<String, Option<PreparedDatabase>>,
    findings: &mut Vec<Finding>,
) -> (Vec<Prepared>, Vec<Role>) {
    let default;
    let databases = if databases.is_empty() {
        default = BTreeMap::from([(cluster.replace('-', "_"), None)]);
        &default
    } else {
        databases
    };
    let (mut prepared, mut roles) = (Vec::new(), Vec::new());
    for (name, database) in databases {
        let path = format!("spec.preparedDatabases.{name}");
        if !is_database_name(name) {
            findings.push(unusable("database", name).at(path));
            continue;
        }
        let database = database.clone().unwrap_or_default();
        let schemas = schemas(&database, &path, findings);
        let secrets = secret_namespace(&database, namespace, settings, &path, findings);
        roles.extend(database_roles(name, &database, &schemas, &secrets, settings));
        prepared.push(Prepared {
            database: name.clone(),
            extensions: extensions(&database),
            schemas: schemas
                .into_iter()
                .map(|(name, schema)| Schema { name, own_roles: schema.default_roles.unwrap_or(true) })
                .collect(),
        });
    }
    (prepared, roles)
}

fn unusable(what: &str, name: &str) -> Finding {
    Finding::warning(format!("{what} \"{name}\" is left out: its name cannot be used"))
        .remedy("start with a letter or an underscore and go on with letters, digits and underscores")
}

fn schemas(database: &PreparedDatabase, path: &str, findings: &mut Vec<Finding>) -> BTreeMap<String, PreparedSchema> {
    let named = database.schemas.clone().unwrap_or_default();
    if named.is_empty() {
        return BTreeMap::from([(DEFAULT_SCHEMA.into(), PreparedSchema::default())]);
    }
    let (good, bad): (Vec<_>, Vec<_>) = named.into_iter().partition(|(name, _)| is_database_name(name));
    findings.extend(bad.iter().map(|(name, _)| unusable("schema", name).at(format!("{path}.schemas.{name}"))));
    good.into_iter().map(|(name, schema)| (name, schema.unwrap_or_default())).collect()
}

fn extensions(database: &PreparedDatabase) -> BTreeMap<String, String> {
    let named = database.extensions.clone().unwrap_or_default();
    named
        .into_iter()
        .map(|(extension, schema)| {
            let schema = schema.filter(|schema| !schema.is_empty());
            (extension, schema.unwrap_or_else(|| DEFAULT_EXTENSION_SCHEMA.into()))
        })
        .collect()
}

fn secret_namespace(
    database: &PreparedDatabase,
    namespace: &str,
    settings: &Settings,
    path: &str,
    findings: &mut Vec<Finding>,
) -> String {
    match database.secret_namespace.as_deref() {
        None | Some("") => namespace.into(),
        Some(other) if settings.cross_namespace_secrets => other.into(),
        Some(_) => {
            let path = format!("{path}.secretNamespace");
            findings.push(
                Finding::warning("Secrets in another namespace are not allowed; they stay in the cluster's")
                    .at(path)
                    .remedy("set enable_cross_namespace_secret in the operator configuration"),
            );
            namespace.into()
        }
    }
}

/// What the three roles of a database or schema have in common.
struct Trio<'a> {
    /// `foo`, or `foo_bar` for a schema.
    prefix: &'a str,
    /// Which role becomes a member of the owner, and of the owner's login role.
    admin: &'a str,
    /// Which schemas an unqualified name is looked up in.
    search_path: &'a str,
    /// Whether there are login roles beside them.
    users: bool,
    /// Where the login roles' Secrets go.
    namespace: &'a str,
}

fn database_roles(
    name: &str,
    database: &PreparedDatabase,
    schemas: &BTreeMap<String, PreparedSchema>,
    namespace: &str,
    settings: &Settings,
) -> Vec<Role> {
    let search_path: String = schemas.keys().map(|schema| format!(", {schema}")).collect();
    let mut roles = trio(&Trio {
        prefix: name,
        admin: ADMIN,
        search_path: &format!("\"$user\"{search_path}"),
        users: database.default_users,
        namespace,
    });
    for role in roles.iter_mut().filter(|role| role.name == owner_of(name)) {
        role.member_of.extend(settings.additional_owner_roles.iter().cloned());
    }
    for (schema, wanted) in schemas {
        if wanted.default_roles == Some(false) {
            continue;
        }
        roles.extend(trio(&Trio {
            prefix: &format!("{name}_{schema}"),
            admin: &owner_of(name),
            search_path: &format!("\"$user\", {schema}"),
            users: wanted.default_users,
            namespace,
        }));
    }
    roles
}

/// Owner, reader and writer, and their login roles if wanted.
fn trio(of: &Trio<'_>) -> Vec<Role> {
    let (owner, reader, writer) = (owner_of(of.prefix), reader_of(of.prefix), writer_of(of.prefix));
    let mut roles = vec![
        group(&owner, None, of.admin, of.search_path),
        group(&reader, None, &owner, of.search_path),
        group(&writer, Some(&reader), &owner, of.search_path),
    ];
    if of.users {
        roles.extend([user(&owner, of.admin, of), user(&reader, &owner, of), user(&writer, &owner, of)]);
    }
    roles
}

fn group(name: &str, member_of: Option<&str>, admin: &str, search_path: &str) -> Role {
    Role {
        name: name.into(),
        origin: Origin::Prepared,
        flags: Flags::default(),
        member_of: member_of.map(String::from).into_iter().collect(),
        admin: Some(admin.into()),
        parameters: BTreeMap::from([("search_path".into(), search_path.into())]),
        password: PasswordSource::None,
        secret: None,
    }
}

fn user(group_name: &str, admin: &str, of: &Trio<'_>) -> Role {
    Role {
        flags: Flags::of(&[Attribute::Login]),
        member_of: BTreeSet::from([group_name.into()]),
        password: PasswordSource::Generated,
        secret: Some(SecretPlace { namespace: of.namespace.into(), labels: BTreeMap::new() }),
        ..group(&format!("{group_name}_user"), None, admin, of.search_path)
    }
}
