//! Compares the desired roles of a cluster with the existing ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_decide::credential::Password;
use pgloom_decide::role::{Attribute, Origin, Role};
use postgres_protocol::escape::escape_literal;

use super::session::column;
use super::statement::{Statement, name, names};
use super::verifier;
use super::{Error, Session, mark};

/// Settings whose value is a list of names. `ALTER ROLE … SET` needs each name as a separate value.
const LISTS_OF_NAMES: [&str; 5] = [
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
];

/// An existing role.
#[derive(Clone, Debug, Default)]
pub(super) struct Existing {
    /// The stored verifier of its password.
    pub verifier: Option<Password>,
    pub attributes: BTreeSet<Attribute>,
    /// The settings that apply in every database.
    pub parameters: BTreeMap<String, String>,
    pub member_of: BTreeSet<String>,
}

/// The names of the roles that [`plan`] looks up: the desired ones and those that they refer to.
pub(super) fn names_of(wanted: &[Role]) -> BTreeSet<&str> {
    let names = wanted.iter().flat_map(|role| std::iter::once(&role.name).chain(&role.member_of).chain(&role.admin));
    names.map(String::as_str).collect()
}

/// The most settings of a role that are read, and the longest one in bytes. A longer one is treated as missing.
const MAX_SETTINGS: i64 = 200;
const MAX_SETTING: i32 = 4096;
/// The longest verifier that is read, in characters. A longer one is treated as missing.
const MAX_VERIFIER: i32 = 512;

/// The existing roles of these names, with their memberships in each other.
pub(super) async fn read(session: &Session, names: &BTreeSet<&str>) -> Result<BTreeMap<String, Existing>, Error> {
    let names: Vec<&str> = names.iter().copied().collect();
    // As JSON, because servers before 9.5 have no rolbypassrls.
    let sql = "SELECT r.rolname::text, left(r.rolpassword, $2), \
            r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, \
            COALESCE((row_to_json(r)->>'rolbypassrls')::bool, false), \
            ARRAY(SELECT c FROM pg_db_role_setting s, unnest(s.setconfig) c \
                WHERE s.setrole = r.oid AND s.setdatabase = 0 AND octet_length(c) <= $3 LIMIT $4), \
            ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid \
                WHERE m.member = r.oid AND g.rolname = ANY($1::text[])) \
        FROM pg_authid r WHERE r.rolname = ANY($1::text[])";
    let what = "read the roles";
    let rows = session.query(what, sql, &[&names, &MAX_VERIFIER, &MAX_SETTING, &MAX_SETTINGS]).await?;
    let attributes = [
        Attribute::Superuser,
        Attribute::Inherit,
        Attribute::CreateRole,
        Attribute::CreateDb,
        Attribute::Login,
        Attribute::Replication,
        Attribute::BypassRls,
    ];
    let existing = rows.iter().map(|row| {
        let mut existing = Existing {
            verifier: column::<Option<String>>(row, 1, what)?.map(Password::new),
            attributes: BTreeSet::new(),
            parameters: column::<Vec<String>>(row, 9, what)?
                .iter()
                .filter_map(|setting| setting.split_once('='))
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            member_of: column::<Vec<String>>(row, 10, what)?.into_iter().collect(),
        };
        for (index, attribute) in attributes.into_iter().enumerate() {
            if column(row, index + 2, what)? {
                existing.attributes.insert(attribute);
            }
        }
        Ok((column(row, 0, what)?, existing))
    });
    existing.collect()
}

/// The statements that create and alter the desired roles, in an order in which every role exists before another one
/// refers to it. `hash` computes the verifier of a password. A membership of a role of `additional_owners` in an owner
/// is revoked, because the owner has to become a member of that role.
///
/// See
/// [`additional_owner_roles`](https://postgres-operator.readthedocs.io/en/latest/reference/operator_parameters/#postgres-users).
pub(super) fn plan(
    wanted: &[Role],
    passwords: &BTreeMap<String, Password>,
    additional_owners: &BTreeSet<String>,
    existing: &BTreeMap<String, Existing>,
    hash: impl Fn(&str, &Password) -> Password,
) -> (Vec<Statement>, Vec<Finding>) {
    let known: BTreeSet<_> = existing.keys().chain(wanted.iter().map(|role| &role.name)).collect();
    let mut findings = Vec::new();
    let mut statements = Vec::new();
    for role in in_order(wanted) {
        let role = &*with_settings(role, existing);
        let (groups, unknown): (BTreeSet<_>, BTreeSet<_>) =
            role.member_of.iter().cloned().partition(|group| known.contains(group));
        for group in unknown {
            findings.push(missing(format!("\"{}\" is not made a member of \"{group}\"", role.name), &group));
        }
        let password = passwords.get(&role.name).filter(|_| role.secret.is_some());
        match existing.get(&role.name) {
            Some(there) => {
                let is_member =
                    |group: &&String| existing.get(*group).is_some_and(|group| group.member_of.contains(&role.name));
                let reversed: Vec<_> = groups.intersection(additional_owners).filter(is_member).collect();
                let change = alter(role, &groups, &reversed, password, there, &hash);
                if change.is_some() && role.origin == Origin::System {
                    findings.push(outdated(&role.name));
                }
                statements.extend(change);
            }
            // The image creates it.
            None if role.origin == Origin::System => {}
            None => {
                let admin = role.admin.as_ref().filter(|admin| {
                    if known.contains(admin) {
                        return true;
                    }
                    findings.push(missing(format!("\"{admin}\" is not made an admin of \"{}\"", role.name), admin));
                    false
                });
                let verifier = password.map(|password| hash(&role.name, password));
                statements.push(create(role, &groups, admin, verifier));
            }
        }
    }
    (statements, findings)
}

/// The role with the settings that another one has in the database, if it is a login role of that one.
fn with_settings<'a>(role: &'a Role, existing: &BTreeMap<String, Existing>) -> Cow<'a, Role> {
    match role.settings_of.as_ref().and_then(|of| existing.get(of)) {
        Some(of) => Cow::Owned(Role { parameters: of.parameters.clone(), ..role.clone() }),
        None => Cow::Borrowed(role),
    }
}

fn outdated(role: &str) -> Finding {
    Finding::warning(format!(
        "the password of \"{role}\" in the database was not that of its Secret and is so now; a member that was started before loses its connection sooner or later"
    ))
    .remedy("delete the replicas' pods one after the other, so that each starts with the new password")
}

fn missing(what: String, role: &str) -> Finding {
    Finding::warning(format!("role {what}: the database has no role \"{role}\""))
        .remedy(format!("create role \"{role}\", or use an image that does"))
}

/// The roles, each after those that it refers to.
fn in_order(wanted: &[Role]) -> Vec<&Role> {
    fn visit<'a>(
        role: &'a Role,
        all: &BTreeMap<&str, &'a Role>,
        seen: &mut BTreeSet<&'a str>,
        order: &mut Vec<&'a Role>,
    ) {
        // A role that was visited but is not in the order yet is part of a cycle of memberships. The server reports it.
        if !seen.insert(&role.name) {
            return;
        }
        for named in role.member_of.iter().chain(&role.admin) {
            if let Some(named) = all.get(named.as_str()) {
                visit(named, all, seen, order);
            }
        }
        order.push(role);
    }
    let all: BTreeMap<_, _> = wanted.iter().map(|role| (role.name.as_str(), role)).collect();
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for role in all.values() {
        visit(role, &all, &mut seen, &mut order);
    }
    order
}

fn create(role: &Role, groups: &BTreeSet<String>, admin: Option<&String>, verifier: Option<Password>) -> Statement {
    let mut sql = format!("CREATE ROLE {} WITH", name(&role.name));
    for word in role.attributes.words() {
        sql += &format!(" {word}");
    }
    if !groups.is_empty() {
        sql += &format!(" IN ROLE {}", names(groups));
    }
    if let Some(admin) = admin {
        sql += &format!(" ADMIN {}", name(admin));
    }
    let confidential = verifier.is_some();
    match verifier {
        Some(verifier) => sql += &format!(" PASSWORD {}", escape_literal(verifier.reveal())),
        None => sql += " PASSWORD NULL",
    }
    sql += &settings(role);
    if role.settings_of.is_some() {
        // In the same transaction, so that it can be dropped whenever the operator ends.
        sql += &format!("; {}", mark::sql(&role.name, mark::ROTATION));
    }
    finish(format!("create role {}", role.name), sql, confidential)
}

fn alter(
    role: &Role,
    groups: &BTreeSet<String>,
    reversed: &[&String],
    password: Option<&Password>,
    existing: &Existing,
    hash: &impl Fn(&str, &Password) -> Password,
) -> Option<Statement> {
    let (mut words, mut sql, mut changes) = (String::new(), Vec::new(), Vec::new());
    for (attribute, granted) in role.attributes.iter() {
        if existing.attributes.contains(&attribute) != granted {
            let word = attribute.word(granted);
            words += &format!(" {word}");
            changes.push(word.to_ascii_lowercase());
        }
    }
    let changed = password.filter(|password| {
        let stored = existing.verifier.as_ref();
        !stored.is_some_and(|stored| verifier::matches(stored, &role.name, password))
    });
    if let Some(password) = changed {
        let verifier = hash(&role.name, password);
        words += &format!(" PASSWORD {}", escape_literal(verifier.reveal()));
        changes.push("password".into());
    }
    if !words.is_empty() {
        sql.push(format!("ALTER ROLE {} WITH{words}", name(&role.name)));
    }
    for member in reversed {
        sql.push(format!("REVOKE {} FROM {}", name(&role.name), name(member)));
        changes.push(format!("no longer granted to {member}"));
    }
    for group in groups.difference(&existing.member_of) {
        sql.push(format!("GRANT {} TO {}", name(group), name(&role.name)));
        changes.push(format!("member of {group}"));
    }
    if !role.parameters.is_empty() && canonical(&role.parameters) != canonical(&existing.parameters) {
        sql.push(format!("ALTER ROLE {} RESET ALL{}", name(&role.name), settings(role)));
        changes.push("settings".into());
    }
    if sql.is_empty() {
        return None;
    }
    let what = format!("alter role {}: {}", role.name, changes.join(", "));
    Some(finish(what, sql.join("; "), changed.is_some()))
}

fn finish(what: String, sql: String, confidential: bool) -> Statement {
    let statement = Statement::new(what, sql);
    if confidential { statement.confidential() } else { statement }
}

/// A role's settings as statements, each after a semicolon.
fn settings(role: &Role) -> String {
    let one = |(key, value): (&String, &String)| {
        let key_sql: Vec<_> = key.split('.').map(name).collect();
        let value = if is_list_of_names(key) {
            let items: Vec<_> = items(value).iter().map(|item| escape_literal(item)).collect();
            items.join(", ")
        } else {
            escape_literal(value)
        };
        format!("; ALTER ROLE {} SET {} TO {value}", name(&role.name), key_sql.join("."))
    };
    role.parameters.iter().map(one).collect()
}

fn is_list_of_names(key: &str) -> bool {
    LISTS_OF_NAMES.iter().any(|list| list.eq_ignore_ascii_case(key))
}

/// Settings in a comparable form: names of settings in lower case, lists as their items.
fn canonical(parameters: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
    let one = |(key, value): (&String, &String)| {
        let value = if is_list_of_names(key) { items(value) } else { vec![value.clone()] };
        (key.to_ascii_lowercase(), value)
    };
    parameters.iter().map(one).collect()
}

/// The items of a list of names, as in `"$user", public`: without quotes; unquoted ones in lower case. An empty list is
/// one empty name, as in the server.
fn items(list: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut quoted = false;
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(item) = items.last_mut() else { break };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                item.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(String::new()),
            _ if quoted => item.push(character),
            _ if character.is_whitespace() => {}
            _ => item.extend(character.to_lowercase()),
        }
    }
    items
}

#[cfg(test)]
mod tests;
