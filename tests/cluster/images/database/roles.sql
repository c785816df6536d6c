-- The roles that a new database cluster has before anyone asks for more. Runs once, after the bootstrap.
-- psql variables: human_role, the group of the people who log in.
\set ON_ERROR_STOP on
SET synchronous_commit = local;

SELECT format('CREATE ROLE %I %s', name, options)
FROM (VALUES
    ('admin', 'NOLOGIN CREATEDB CREATEROLE'),
    (:'human_role', 'NOLOGIN'),
    ('robot_zmon', 'NOLOGIN')
) AS wanted (name, options)
WHERE name NOT IN (SELECT rolname FROM pg_roles)
\gexec
