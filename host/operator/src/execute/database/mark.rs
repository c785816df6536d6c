//! Comments on roles, by which the operator knows those that it may rename or drop: a role that somebody else made never has
//! one.

use super::session::column;
use super::statement::name;
use super::{Error, Session};

/// On the role of a member of a team.
pub(super) const TEAM_MEMBER: &str = "pgloom: team member";
/// On a login role of a rotation of passwords.
pub(super) const ROTATION: &str = "pgloom: login role of a rotation";

/// Part of a query after `FROM pg_authid r`: the comment on the role is `c.description`.
macro_rules! join {
    () => {
        "LEFT JOIN pg_shdescription c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass"
    };
}
pub(super) use join;

/// The SQL that marks a role.
pub(super) fn sql(role: &str, mark: &str) -> String {
    format!("COMMENT ON ROLE {} IS '{mark}'", name(role))
}

/// Whether a role exists without this mark.
pub(super) async fn is_missing(session: &Session, role: &str, mark: &str) -> Result<bool, Error> {
    let sql = concat!(
        "SELECT r.rolname::text, c.description IS DISTINCT FROM $2 FROM pg_authid r ",
        join!(),
        " WHERE r.rolname = $1"
    );
    let what = "read the comment on a role";
    for row in session.query(what, sql, &[&role, &mark]).await? {
        if column::<String>(&row, 0, what)? == role {
            return column(&row, 1, what);
        }
    }
    Ok(false)
}
