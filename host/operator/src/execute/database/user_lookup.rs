//! The pooler's user lookup: a schema with a function that returns a user's verifier, only to the pooler. See
//! PgBouncer's
//! [`auth_query`](https://www.pgbouncer.org/config.html#auth_query).

use super::session::column;
use super::statement::{Statement, name};
use super::{Error, PoolerAccess, Session};

/// The name of the function. The pooler's image calls it.
const FUNCTION: &str = "user_lookup";
/// The body of the function. The function also has a fixed `search_path`, so that no object in the database can replace
/// the view.
const BODY: &str = "
BEGIN
    SELECT usename, passwd INTO uname, phash FROM pg_catalog.pg_shadow WHERE usename = i_username;
    RETURN;
END
";

/// The existing parts of the user lookup in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Existing {
    /// Whether the schema exists.
    pub schema: bool,
    /// Whether the pooler has `USAGE` of the schema.
    pub usage: bool,
    /// Whether the function exists with the right body, search path and owner.
    pub function: bool,
    /// Whether only the pooler and the owner may call the function.
    pub execute: bool,
}

/// The existing parts in the session's database.
pub(super) async fn read(session: &Session, pooler: &PoolerAccess) -> Result<Existing, Error> {
    let sql = "SELECT \
            EXISTS (SELECT FROM aclexplode(n.nspacl) a \
                WHERE pg_get_userbyid(a.grantee) = $2 AND a.privilege_type = 'USAGE'), \
            COALESCE(p.prosrc = $3 AND p.prosecdef AND o.rolsuper \
                AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp'], false), \
            COALESCE((SELECT array_agg(pg_get_userbyid(a.grantee) ORDER BY 1) = ARRAY[$2] \
                FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner), false) \
        FROM pg_namespace n \
        LEFT JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = $4 AND oidvectortypes(p.proargtypes) = 'text' \
        LEFT JOIN pg_authid o ON o.oid = p.proowner \
        WHERE n.nspname = $1";
    let what = "read the pooler's look-up function";
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&pooler.schema, &pooler.username, &BODY, &FUNCTION];
    let rows = session.query(what, sql, &values).await?;
    let Some(row) = rows.first() else { return Ok(Existing::default()) };
    Ok(Existing {
        schema: true,
        usage: column(row, 0, what)?,
        function: column(row, 1, what)?,
        execute: column(row, 2, what)?,
    })
}

/// The statement that creates the function and its grants, if a part is missing.
pub(super) fn plan(database: &str, pooler: &PoolerAccess, superuser: &str, existing: &Existing) -> Option<Statement> {
    let PoolerAccess { username, schema } = pooler;
    let (schema, username, superuser) = (name(schema), name(username), name(superuser));
    let function = format!("{schema}.{FUNCTION}(text)");
    let mut sql = Vec::new();
    if !existing.schema {
        sql.push(format!("CREATE SCHEMA {schema}"));
    }
    if !existing.function {
        sql.push(format!(
            "CREATE OR REPLACE FUNCTION {schema}.{FUNCTION}(IN i_username text, OUT uname text, OUT phash text) \
             RETURNS record LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $look_up${BODY}$look_up$"
        ));
        sql.push(format!("ALTER FUNCTION {function} OWNER TO {superuser}"));
    }
    if !existing.function || !existing.execute {
        sql.push(format!("REVOKE ALL ON FUNCTION {function} FROM PUBLIC, {username}"));
        sql.push(format!("GRANT EXECUTE ON FUNCTION {function} TO {username}"));
    }
    if !existing.usage {
        sql.push(format!("GRANT USAGE ON SCHEMA {schema} TO {username}"));
    }
    if sql.is_empty() {
        return None;
    }
    let what = format!("let {} look users up in database {database}", pooler.username);
    Some(Statement::new(what, sql.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooler() -> PoolerAccess {
        PoolerAccess { username: "pooler".into(), schema: "pool".into() }
    }

    fn planned(existing: &Existing) -> String {
        plan("foo", &pooler(), "postgres", existing).map(|one| one.sql().to_string()).unwrap_or_default()
    }

    #[test]
    fn a_database_without_it_gets_schema_function_and_rights() {
        let sql = planned(&Existing::default());
        assert!(sql.starts_with("CREATE SCHEMA \"pool\"; CREATE OR REPLACE FUNCTION \"pool\".user_lookup("), "{sql}");
        assert!(
            sql.ends_with(
                "ALTER FUNCTION \"pool\".user_lookup(text) OWNER TO \"postgres\"; \
             REVOKE ALL ON FUNCTION \"pool\".user_lookup(text) FROM PUBLIC, \"pooler\"; \
             GRANT EXECUTE ON FUNCTION \"pool\".user_lookup(text) TO \"pooler\"; \
             GRANT USAGE ON SCHEMA \"pool\" TO \"pooler\""
            ),
            "{sql}"
        );
    }

    #[test]
    fn a_database_that_has_it_is_left_alone() {
        let all = Existing { schema: true, usage: true, function: true, execute: true };
        assert_eq!(planned(&all), "");
        let closed = Existing { usage: false, ..all };
        assert_eq!(planned(&closed), "GRANT USAGE ON SCHEMA \"pool\" TO \"pooler\"");
    }
}
