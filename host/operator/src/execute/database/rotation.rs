//! Login roles that rotations of passwords have made: drops those that are no longer kept.
//!
//! A role is one of these only if it is marked as one, its name is that of another role with a date, it is a member of that
//! role, and the Secret of that role has had a rotation. A rotation marks the role that it makes; one that the Zalando
//! operator made is marked while a Secret names it.

use std::collections::BTreeSet;

use pgloom_api::Finding;
use pgloom_decide::role::rotation_date;

use super::session::column;
use super::statement::{Statement, name};
use super::{Error, Session, mark};
use crate::execute::rotation::Calendar;

/// Which login roles are looked for.
#[derive(Clone, Debug)]
pub struct Retirement {
    /// The roles whose Secrets have had a rotation.
    pub of: BTreeSet<String>,
    /// The login roles of rotations that Secrets name.
    pub named: BTreeSet<String>,
    /// Roles that are never dropped: those of the manifest, and those that a Secret names.
    pub kept: BTreeSet<String>,
    /// How long the others are kept.
    pub calendar: Calendar,
}

/// An existing member of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub name: String,
    /// The role that it is a member of.
    pub of: String,
    /// Whether it is logged in on the leader.
    pub is_used: bool,
    /// Whether it owns something, or has or has given rights of its own.
    pub has_objects: bool,
    pub is_marked: bool,
    /// Whether it has another comment.
    pub has_comment: bool,
}

/// The members of the roles whose names are as long as those of login roles of a rotation.
pub(super) async fn read(session: &Session, of: &BTreeSet<String>) -> Result<Vec<Member>, Error> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let of: Vec<&str> = of.iter().map(String::as_str).collect();
    let sql = concat!(
        "SELECT r.rolname::text, g.rolname::text, \
            EXISTS (SELECT FROM pg_stat_activity a WHERE a.usesysid = r.oid), \
            EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid \
                AND d.classid <> 'pg_auth_members'::regclass) \
                OR EXISTS (SELECT FROM pg_auth_members o WHERE o.grantor = r.oid), \
            c.description IS NOT DISTINCT FROM $2, c.description IS NOT NULL \
        FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid JOIN pg_authid r ON r.oid = m.member ",
        mark::join!(),
        " WHERE g.rolname = ANY($1::text[]) AND length(r.rolname::text) = length(g.rolname::text) + 6 ORDER BY 1, 2"
    );
    let what = "read the login roles of rotations";
    let rows = session.query(what, sql, &[&of, &mark::ROTATION]).await?;
    let members = rows.iter().map(|row| {
        Ok(Member {
            name: column(row, 0, what)?,
            of: column(row, 1, what)?,
            is_used: column(row, 2, what)?,
            has_objects: column(row, 3, what)?,
            is_marked: column(row, 4, what)?,
            has_comment: column(row, 5, what)?,
        })
    });
    members.collect()
}

/// The statements that mark the login roles that Secrets name and drop those that are no longer kept, and why some of these
/// stay.
pub(super) fn plan(retirement: &Retirement, members: &[Member]) -> (Vec<Statement>, Vec<Finding>) {
    let (mut statements, mut findings) = (Vec::new(), Vec::new());
    for Member { name: role, .. } in members.iter().filter(|it| retirement.named.contains(&it.name) && !it.has_comment)
    {
        statements
            .push(Statement::new(format!("mark role {role} as that of a rotation"), mark::sql(role, mark::ROTATION)));
    }
    for member in members.iter().filter(|member| !retirement.kept.contains(&member.name)) {
        if !rotation_date(&member.of, &member.name).is_some_and(|date| retirement.calendar.is_over(date)) {
            continue;
        }
        let Member { name: role, of, .. } = member;
        let kept =
            |why: &str| format!("role \"{role}\" has been kept for password_rotation_user_retention and stays: {why}");
        if !member.is_marked {
            // With another comment it is somebody else's.
            if !member.has_comment {
                let finding = Finding::warning(kept("it is not known whether a rotation has made it"));
                findings.push(finding.remedy(format!("drop it, or give it a comment: {}", mark::sql(role, "…"))));
            }
        } else if member.is_used {
            let finding = Finding::warning(kept("it is logged in"));
            findings.push(
                finding.remedy(format!("restart the clients that use it; the Secret of \"{of}\" names another one")),
            );
        } else if member.has_objects {
            let finding = Finding::warning(kept("it owns something, or has rights of its own"));
            let remedy =
                format!("REASSIGN OWNED BY \"{role}\" TO \"{of}\" and DROP OWNED BY \"{role}\" in each database");
            findings.push(finding.remedy(remedy));
        } else {
            statements.push(Statement::new(format!("drop role {role}"), format!("DROP ROLE {}", name(role))));
        }
    }
    (statements, findings)
}

#[cfg(test)]
mod tests {
    use pgloom_api::config::Config;

    use super::*;

    fn member(name: &str) -> Member {
        let of = "foo".into();
        Member { name: name.into(), of, is_used: false, has_objects: false, is_marked: true, has_comment: true }
    }

    fn planned(members: &[Member]) -> (Vec<String>, Vec<String>) {
        let retirement = Retirement {
            of: ["foo".to_owned()].into(),
            named: ["foo200202".to_owned()].into(),
            kept: ["foo", "foo200202"].map(String::from).into(),
            calendar: Calendar::of(&Config::defaults(), "2024-03-21T10:00:00Z".parse().unwrap()),
        };
        let (statements, findings) = plan(&retirement, members);
        let sql = statements.iter().map(|statement| statement.sql().to_owned()).collect();
        (sql, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_login_role_is_dropped_after_its_time_and_no_other_member() {
        let members = ["foo201031", "foo240101", "foo200202", "foo209931", "foo_admin"].map(member);
        assert_eq!(planned(&members), (vec!["DROP ROLE \"foo201031\"".to_owned()], vec![]));
    }

    #[test]
    fn a_role_without_the_mark_is_not_dropped_and_one_that_a_secret_names_gets_it() {
        let unmarked = |name: &str| Member { is_marked: false, has_comment: false, ..member(name) };
        let (statements, findings) = planned(&[unmarked("foo200202"), unmarked("foo201031")]);
        assert_eq!(statements, ["COMMENT ON ROLE \"foo200202\" IS 'pgloom: login role of a rotation'"]);
        assert_eq!(
            findings,
            [
                "role \"foo201031\" has been kept for password_rotation_user_retention and stays: it is not known whether a \
              rotation has made it; drop it, or give it a comment: COMMENT ON ROLE \"foo201031\" IS '…'"
            ]
        );
        let others = Member { has_comment: true, ..unmarked("foo201031") };
        assert_eq!(planned(&[others]), (vec![], vec![]));
    }

    #[test]
    fn a_role_that_is_used_or_owns_something_stays_with_a_warning() {
        let used = Member { is_used: true, ..member("foo201031") };
        let owner = Member { has_objects: true, ..member("foo201101") };
        let (statements, findings) = planned(&[used, owner]);
        assert!(statements.is_empty());
        assert_eq!(
            findings,
            [
                "role \"foo201031\" has been kept for password_rotation_user_retention and stays: it is logged in; \
                 restart the clients that use it; the Secret of \"foo\" names another one",
                "role \"foo201101\" has been kept for password_rotation_user_retention and stays: it owns something, or \
                 has rights of its own; REASSIGN OWNED BY \"foo201101\" TO \"foo\" and DROP OWNED BY \"foo201101\" in each database",
            ]
        );
    }
}
