//! Prepared databases: a database with owner, reader and writer roles, for itself and for each of its schemas. See
//! [prepared
//! databases](https://postgres-operator.readthedocs.io/en/latest/user/#prepared-databases-with-roles-and-default-privileges).

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_api::postgresql::{PreparedDatabase, PreparedSchema, owner_of, reader_of, user_of, writer_of};
use pgloom_common::role::is_identifier;

use super::{Attribute, Attributes, Origin, PasswordSource, Role, Rotation, SecretPlace, Settings};

/// The role that becomes a member of a prepared database's owner. The image creates it.
const ADMIN: &str = "admin";
/// The schema of an extension that names none.
const DEFAULT_EXTENSION_SCHEMA: &str = "public";

/// A prepared database with its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The name of the database.
    pub database: String,
    /// By extension, the schema that it is created in.
    pub extensions: BTreeMap<String, String>,
    /// The schemas, in the order of their names.
    pub schemas: Vec<Schema>,
}

/// A schema of a prepared database.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The name of the schema.
    pub name: String,
    /// Whether it has its own owner, reader and writer role.
    pub own_roles: bool,
}

/// The prepared databases and their roles. An entry with an invalid name is left out with a warning.
pub(super) fn expand(
    namespace: &str,
    settings: &Settings,
    databases: &BTreeMap<String, PreparedDatabase>,
    findings: &mut Vec<Finding>,
) -> (Vec<Prepared>, Vec<Role>) {
    let (mut prepared, mut roles) = (Vec::new(), Vec::new());
    for (name, database) in databases {
        let path = format!("spec.preparedDatabases.{name}");
        if !is_identifier(name) {
            findings.push(unusable("database", name).at(path));
            continue;
        }
        let schemas = schemas(database, &path, findings);
        let secrets = secret_namespace(database, namespace, settings, &path, findings);
        roles.extend(database_roles(name, database, &schemas, &secrets, settings));
        prepared.push(Prepared {
            database: name.clone(),
            extensions: extensions(database),
            schemas: schemas
                .into_iter()
                .map(|(name, schema)| Schema { name, own_roles: schema.has_own_roles() })
                .collect(),
        });
    }
    (prepared, roles)
}

fn unusable(what: &str, name: &str) -> Finding {
    Finding::warning(format!("{what} \"{name}\" is left out: its name cannot be used"))
        .remedy("start with a letter or an underscore and continue with letters, digits and underscores")
}

fn schemas(database: &PreparedDatabase, path: &str, findings: &mut Vec<Finding>) -> BTreeMap<String, PreparedSchema> {
    let (good, bad): (BTreeMap<_, _>, BTreeMap<_, _>) =
        database.schemas.clone().into_iter().partition(|(name, _)| is_identifier(name));
    findings.extend(bad.keys().map(|name| unusable("schema", name).at(format!("{path}.schemas.{name}"))));
    good
}

fn extensions(database: &PreparedDatabase) -> BTreeMap<String, String> {
    let named = database.extensions.iter();
    named
        .map(|(extension, schema)| {
            let schema = if schema.is_empty() { DEFAULT_EXTENSION_SCHEMA } else { schema };
            (extension.clone(), schema.to_owned())
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

/// The parameters of the three roles of a database or schema.
struct Trio<'a> {
    /// `foo`, or `foo_bar` for a schema.
    prefix: &'a str,
    /// The role that becomes a member of the owner, and of the owner's login role.
    admin: &'a str,
    /// The `search_path` of the roles.
    search_path: &'a str,
    /// Whether each of them has a login role.
    users: bool,
    /// The namespace of the login roles' Secrets.
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
    let mut owners = BTreeSet::from([owner_of(name)]);
    for (schema, wanted) in schemas {
        if !wanted.has_own_roles() {
            continue;
        }
        owners.insert(owner_of(&format!("{name}_{schema}")));
        roles.extend(trio(&Trio {
            prefix: &format!("{name}_{schema}"),
            admin: &owner_of(name),
            search_path: &format!("\"$user\", {schema}"),
            users: wanted.default_users,
            namespace,
        }));
    }
    for role in roles.iter_mut().filter(|role| owners.contains(&role.name)) {
        role.member_of.extend(settings.additional_owner_roles.iter().cloned());
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
        attributes: Attributes::default(),
        member_of: member_of.map(String::from).into_iter().collect(),
        admin: Some(admin.into()),
        parameters: BTreeMap::from([("search_path".into(), search_path.into())]),
        password: PasswordSource::None,
        secret: None,
        rotation: Rotation::Never,
        settings_of: None,
    }
}

fn user(group_name: &str, admin: &str, of: &Trio<'_>) -> Role {
    Role {
        attributes: Attributes::of(&[Attribute::Login]),
        member_of: BTreeSet::from([group_name.into()]),
        password: PasswordSource::Generated,
        secret: Some(SecretPlace { namespace: of.namespace.into(), labels: BTreeMap::new() }),
        ..group(&user_of(group_name), None, admin, of.search_path)
    }
}
