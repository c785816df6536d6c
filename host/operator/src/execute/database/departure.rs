//! Roles of members who have left their team: they are renamed and can no longer log in. When a member comes back, so does
//! the role.
//!
//! A role is that of a member, or was it, only if it is marked as one.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_common::role::MAX_IDENTIFIER;
use pgloom_decide::role::{Departure, Origin, Role};

use super::session::column;
use super::statement::{Statement, name};
use super::{Error, Session, mark};

/// An existing role that is marked as that of a member, or has the name of one, or of one who has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Existing {
    pub can_log_in: bool,
    pub is_marked: bool,
    /// Whether it has another comment.
    pub has_comment: bool,
}

/// The names of the roles of members.
fn members(roles: &[Role]) -> impl Iterator<Item = &str> {
    roles.iter().filter(|role| role.origin == Origin::Team).map(|role| role.name.as_str())
}

/// The roles that [`plan`] looks up, by name.
pub(super) async fn read(
    session: &Session,
    departure: &Departure,
    roles: &[Role],
) -> Result<BTreeMap<String, Existing>, Error> {
    let both = |member: &str| [member.to_owned(), format!("{member}{}", departure.suffix)];
    let names: Vec<String> = members(roles).flat_map(both).collect();
    let sql = concat!(
        "SELECT r.rolname::text, r.rolcanlogin, c.description IS NOT DISTINCT FROM $2, c.description IS NOT NULL \
        FROM pg_authid r ",
        mark::join!(),
        " WHERE r.rolname = ANY($1::text[]) OR c.description = $2"
    );
    let what = "read the roles of members";
    let rows = session.query(what, sql, &[&names, &mark::TEAM_MEMBER]).await?;
    let existing = rows.iter().map(|row| {
        let role = Existing {
            can_log_in: column(row, 1, what)?,
            is_marked: column(row, 2, what)?,
            has_comment: column(row, 3, what)?,
        };
        Ok((column(row, 0, what)?, role))
    });
    existing.collect()
}

/// The statements for members who come back, to be executed before other roles are synchronised.
pub(super) fn returns(departure: &Departure, roles: &[Role], existing: &BTreeMap<String, Existing>) -> Vec<Statement> {
    let mut statements = Vec::new();
    for member in members(roles).filter(|member| !existing.contains_key(*member)) {
        let former = format!("{member}{}", departure.suffix);
        if existing.get(&former).is_some_and(|role| role.is_marked && !role.can_log_in) {
            let (from, to) = (name(&former), name(member));
            let sql = format!("ALTER ROLE {from} RENAME TO {to}; ALTER ROLE {to} WITH LOGIN");
            statements.push(Statement::new(format!("rename role {former} to {member}, who is back"), sql));
        }
    }
    statements
}

/// The statements that mark the roles of members, and, if all members are known, those for members who have left. The
/// superuser never leaves.
pub(super) fn plan(
    departure: &Departure,
    roles: &[Role],
    superuser: &str,
    existing: &BTreeMap<String, Existing>,
) -> (Vec<Statement>, Vec<Finding>) {
    let (mut statements, mut findings) = (Vec::new(), Vec::new());
    let is_unmarked = |member: &&str| existing.get(*member).is_some_and(|role| !role.has_comment);
    for member in members(roles).filter(is_unmarked) {
        let sql = mark::sql(member, mark::TEAM_MEMBER);
        statements.push(Statement::new(format!("mark role {member} as that of a team member"), sql));
    }
    if !departure.is_known {
        return (statements, findings);
    }
    let wanted: BTreeSet<&str> = roles.iter().map(|role| role.name.as_str()).chain([superuser]).collect();
    let has_left = |(role, it): &(&String, &Existing)| it.is_marked && it.can_log_in && !wanted.contains(role.as_str());
    for (role, _) in existing.iter().filter(has_left) {
        let renamed = format!("{role}{}", departure.suffix);
        let mut sql = format!("ALTER ROLE {} WITH NOLOGIN", name(role));
        let mut what = format!("take the log-in of role {role}, who has left the team");
        if existing.contains_key(&renamed) || renamed.len() > MAX_IDENTIFIER || wanted.contains(renamed.as_str()) {
            let message =
                format!("role \"{role}\" of a member who has left is not renamed: \"{renamed}\" exists or is too long");
            findings.push(Finding::warning(message).remedy("rename or drop one of them"));
        } else {
            sql += &format!("; ALTER ROLE {} RENAME TO {}", name(role), name(&renamed));
            what += &format!(", and rename it to {renamed}");
        }
        statements.push(Statement::new(what, sql));
    }
    (statements, findings)
}

#[cfg(test)]
mod tests {
    use pgloom_decide::role::{Sources, Team, gather};

    use super::*;

    fn roles(members: &[&str]) -> Vec<Role> {
        let members = members.iter().map(|name| (*name).to_owned()).collect();
        let teams = vec![Team { name: "acid".into(), members, superusers: false }];
        gather(&Sources { teams, ..Sources::default() }).roles.into_values().collect()
    }

    fn existing(roles: &[(&str, bool, bool)]) -> BTreeMap<String, Existing> {
        let one = |(name, can_log_in, is_marked): &(&str, bool, bool)| {
            let role = Existing { can_log_in: *can_log_in, is_marked: *is_marked, has_comment: *is_marked };
            ((*name).to_owned(), role)
        };
        roles.iter().map(one).collect()
    }

    fn departure(is_known: bool) -> Departure {
        Departure { suffix: "_deleted".into(), is_known }
    }

    fn sql(statements: &[Statement]) -> Vec<&str> {
        statements.iter().map(Statement::sql).collect()
    }

    #[test]
    fn a_member_who_has_left_is_renamed_and_cannot_log_in() {
        let existing =
            existing(&[("ada", true, true), ("grace", true, true), ("postgres", true, true), ("robot", true, false)]);
        let (statements, findings) = plan(&departure(true), &roles(&["grace"]), "postgres", &existing);
        let expected = "ALTER ROLE \"ada\" WITH NOLOGIN; ALTER ROLE \"ada\" RENAME TO \"ada_deleted\"";
        assert_eq!(sql(&statements), [expected]);
        assert!(findings.is_empty());
    }

    #[test]
    fn nobody_leaves_while_not_all_members_are_known() {
        let existing = existing(&[("ada", true, true), ("grace", true, false)]);
        let (statements, _) = plan(&departure(false), &roles(&["grace"]), "postgres", &existing);
        assert_eq!(sql(&statements), ["COMMENT ON ROLE \"grace\" IS 'pgloom: team member'"]);
        assert!(plan(&departure(false), &roles(&[]), "postgres", &existing).0.is_empty());
    }

    #[test]
    fn a_role_that_has_left_or_has_another_comment_is_left_as_it_is() {
        let mut existing = existing(&[("ada", false, true), ("ada_deleted", false, true), ("grace", true, false)]);
        existing.get_mut("grace").unwrap().has_comment = true;
        assert!(plan(&departure(true), &roles(&["grace"]), "postgres", &existing).0.is_empty());
    }

    #[test]
    fn a_role_whose_new_name_is_taken_only_loses_its_log_in_with_a_warning() {
        let existing = existing(&[("ada", true, true), ("ada_deleted", false, false)]);
        let (statements, findings) = plan(&departure(true), &roles(&["grace"]), "postgres", &existing);
        assert_eq!(sql(&statements), ["ALTER ROLE \"ada\" WITH NOLOGIN"]);
        assert!(findings[0].message.contains("\"ada_deleted\" exists"), "{findings:?}");
    }

    #[test]
    fn a_member_who_comes_back_gets_the_role_back() {
        let all = existing(&[
            ("ada_deleted", false, true),
            ("grace_deleted", true, true),
            ("robot_deleted", false, false),
            ("tia", true, true),
        ]);
        let statements = returns(&departure(false), &roles(&["ada", "grace", "robot", "tia"]), &all);
        let expected = "ALTER ROLE \"ada_deleted\" RENAME TO \"ada\"; ALTER ROLE \"ada\" WITH LOGIN";
        assert_eq!(sql(&statements), [expected], "a role that may log in, or is not marked, is none that has left");
    }
}
