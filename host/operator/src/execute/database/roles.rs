//! Compares the roles that a cluster wants with those that the database has.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_decide::credential::Password;
use pgloom_decide::role::{Attribute, Origin, Role};
use postgres_protocol::escape::escape_literal;

use super::statement::{Statement, name, names};
use super::verifier;
use super::{Error, Session};

/// Settings whose value is a list of names, which SQL takes one by one.
const LISTS_OF_NAMES: [&str; 5] = [
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
];

/// A role that the database has.
#[derive(Clone, Debug, Default)]
pub(super) struct Existing {
    /// How its password is stored.
    pub verifier: Option<Password>,
    pub attributes: BTreeSet<Attribute>,
    /// Its settings in every database.
    pub parameters: BTreeMap<String, String>,
    pub member_of: BTreeSet<String>,
}

/// The roles that the database has, by name.
pub(super) async fn read(session: &Session) -> Result<BTreeMap<String, Existing>, Error> {
    // By way of JSON, because servers before 9.5 have no rolbypassrls.
    let sql = "SELECT r.rolname::text, r.rolpassword, \
            r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, \
            COALESCE((row_to_json(r)->>'rolbypassrls')::bool, false), \
            (SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0), \
            ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid WHERE m.member = r.oid) \
        FROM pg_authid r";
    let rows = session.query("read the roles", sql, &[]).await?;
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
        let granted = |(index, _): &(usize, Attribute)| row.get::<_, bool>(index + 2);
        let settings: Option<Vec<String>> = row.get(9);
        let existing = Existing {
            verifier: row.get::<_, Option<String>>(1).map(Password::new),
            attributes: attributes.into_iter().enumerate().filter(granted).map(|(_, attribute)| attribute).collect(),
            parameters: settings
                .unwrap_or_default()
                .iter()
                .filter_map(|setting| setting.split_once('='))
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            member_of: row.get::<_, Vec<String>>(10).into_iter().collect(),
        };
        (row.get(0), existing)
    });
    Ok(existing.collect())
}

/// The changes that make the wanted roles true, in an order in which each finds the roles it names. `hash` makes a verifier
/// of a password.
pub(super) fn plan(
    wanted: &[Role],
    passwords: &BTreeMap<String, Password>,
    existing: &BTreeMap<String, Existing>,
    hash: impl Fn(&str, &Password) -> Password,
) -> (Vec<Statement>, Vec<Finding>) {
    let known: BTreeSet<_> = existing.keys().chain(wanted.iter().map(|role| &role.name)).collect();
    let mut findings = Vec::new();
    let mut statements = Vec::new();
    for role in in_order(wanted) {
        let (groups, unknown): (BTreeSet<_>, BTreeSet<_>) =
            role.member_of.iter().cloned().partition(|group| known.contains(group));
        for group in unknown {
            findings.push(missing(format!("\"{}\" is not made a member of \"{group}\"", role.name), &group));
        }
        let password = passwords.get(&role.name).filter(|_| role.secret.is_some());
        match existing.get(&role.name) {
            Some(there) => {
                let change = alter(role, &groups, password, there, &hash);
                if change.is_some() && role.origin == Origin::System {
                    findings.push(outdated(&role.name));
                }
                statements.extend(change);
            }
            // The image makes it.
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

/// The roles, each after those it names.
fn in_order(wanted: &[Role]) -> Vec<&Role> {
    fn visit<'a>(
        role: &'a Role,
        all: &BTreeMap<&str, &'a Role>,
        seen: &mut BTreeSet<&'a str>,
        order: &mut Vec<&'a Role>,
    ) {
        // A role that is seen but not in order yet names itself in a circle; the server will say so.
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
    finish(format!("create role {}", role.name), sql, confidential)
}

fn alter(
    role: &Role,
    groups: &BTreeSet<String>,
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

/// Settings in a form in which equal ones are equal: names of settings in lower case, lists as their items.
fn canonical(parameters: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
    let one = |(key, value): (&String, &String)| {
        let value = if is_list_of_names(key) { items(value) } else { vec![value.clone()] };
        (key.to_ascii_lowercase(), value)
    };
    parameters.iter().map(one).collect()
}

/// The items of a list of names, as in `"$user", public`: quotes undone, what is not quoted in lower case. An empty list is
/// one empty name, as the server has it.
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
