//! The members of teams, from the fake Teams API of the manifests by https and with a token, and from APIs that are no good.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use e2e::{Namespace, PortForward, ensure, eventually, kubectl_with};
use serde_json::{Value, json};

use super::{CLUSTER, CLUSTERS, ask, configure, groups_of};
use crate::authority::Authority;

const NAME: &str = "fake-teams-api";
/// The roles that no Teams API may touch, and those of the members, with all that is known of them.
const ALL_ROLES: &str = "select string_agg(r::text, ';' order by rolname) from (select rolname, rolsuper, rolcreaterole, \
    rolcreatedb, rolcanlogin, rolpassword, (select array_agg(roleid::regrole order by roleid) from pg_auth_members m \
    where m.member = a.oid and m.roleid::regrole::text !~ '^asked_'), (select array_agg(setconfig) from pg_db_role_setting s where s.setrole = a.oid) \
    from pg_authid a where rolname !~ '^(pg_|asked_)') r";

/// The Deployment of the manifests, reached as an API outside of the cluster.
pub struct FakeTeamsApi {
    /// The file with the certificate of its authority.
    pub authority: String,
    way: PortForward,
}

impl FakeTeamsApi {
    pub fn start(namespace: &Namespace) -> Self {
        let authority = Authority::new("teams");
        namespace.apply(&authority.secret("fake-teams-api-tls", &["localhost"]));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/fake-teams-api.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        // An image of the local cluster that has Python.
        let text = text.replace("docker.io/library/python:3.13-alpine", "localhost/pgloom/database:15");
        kubectl_with(&["--namespace", &namespace.name, "create", "--filename", "-"], &text).unwrap();
        let deployment = format!("deployment/{NAME}");
        namespace.kubectl(&["rollout", "status", &deployment, "--timeout=120s"]).unwrap();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("teams-authority.crt");
        std::fs::write(&file, authority.certificate()).unwrap();
        let way = PortForward::to(&namespace.name, &deployment, 8080);
        Self { authority: file.display().to_string(), way }
    }

    /// The keys of the operator configuration.
    pub fn configuration(&self) -> Value {
        json!({
            "enable_teams_api": "true",
            "teams_api_url": format!("https://localhost:{}/", self.way.port),
            "oauth_token_secret_name": NAME,
            "postgres_superuser_teams": "admins",
        })
    }
}

pub fn members_of_teams_are_roles_without_a_secret(namespace: &Namespace) {
    for cluster in CLUSTERS {
        let of = |role: &str| described(namespace, cluster, role);
        eventually("the members of the team have roles", || {
            let answer = of("elephant")?;
            ensure(answer == MEMBER, answer)
        });
        assert_eq!(of("fox").unwrap(), MEMBER);
        assert_eq!(of("owl").unwrap(), SUPERUSER);
    }
    let secrets = namespace.kubectl(&["get", "secrets", "--output", "name"]).unwrap();
    assert!(
        secrets.contains("dbuser") && !["elephant", "fox", "owl"].iter().any(|name| secrets.contains(name)),
        "{secrets}"
    );
}

/// What [`described`] says of a member of the team and of one of a team of superusers.
const MEMBER: &str = "t|f|t|admin,zalandos|log_statement=all";
const SUPERUSER: &str = "t|t|t|zalandos|log_statement=all";

/// Whether a role can log in, is a superuser and has no password; its groups and its settings.
fn described(namespace: &Namespace, cluster: &str, role: &str) -> Result<String, String> {
    let groups = groups_of(role);
    let statement = format!(
        "select a.rolcanlogin, a.rolsuper, a.rolpassword is null, {groups}, array_to_string(r.rolconfig, ',') \
         from pg_authid a join pg_roles r on r.oid = a.oid where r.rolname = '{role}'"
    );
    ask(namespace, cluster, &statement)
}

pub fn an_api_that_is_dead_slow_or_lies_changes_nothing(namespace: &Namespace) {
    let before = ask(namespace, CLUSTER, ALL_ROLES).unwrap();
    assert!(before.contains("elephant") && before.contains("owl"), "{before}");
    let server = bad_apis();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (number, (url, what)) in [
        (format!("http://127.0.0.1:{dead}"), "the team API does not answer"),
        (format!("http://127.0.0.1:{server}/slow"), "the team API does not answer: deadline has elapsed"),
        (format!("http://127.0.0.1:{server}/page"), "could not parse team API response"),
        (format!("http://127.0.0.1:{server}/numbers"), "could not parse team API response"),
        (format!("http://127.0.0.1:{server}/broken"), "team API query failed with status code 500"),
        (format!("http://127.0.0.1:{server}/takeover"), "role \"postgres\" of the Teams API is left out"),
        (format!("http://127.0.0.1:{server}/none"), ""),
    ]
    .into_iter()
    .enumerate()
    {
        configure(namespace, &json!({"teams_api_url": url}));
        if !what.is_empty() {
            namespace.warned(CLUSTER, what);
        }
        // Roles are synchronised while it is so: a new user of the manifest has one.
        let asked = format!("asked_{number}");
        namespace.patch("postgresql", CLUSTER, &json!({"spec": {"users": {&asked: []}}}));
        eventually("a new user of the manifest has a role", || {
            let answer = ask(namespace, CLUSTER, &format!("select count(*) from pg_roles where rolname = '{asked}'"))?;
            ensure(answer == "1", answer)
        });
        // Not assert_eq: it would print the verifiers of passwords.
        assert!(ask(namespace, CLUSTER, ALL_ROLES).unwrap() == before, "{url} changed a role");
    }
}

pub fn a_member_who_left_keeps_the_role(namespace: &Namespace) {
    let server = bad_apis();
    configure(namespace, &json!({"teams_api_url": format!("http://127.0.0.1:{server}/left")}));
    for cluster in CLUSTERS {
        eventually("the new member has a role, and the former one has it still", || {
            let statement = "select string_agg(rolname, ',' order by rolname) from pg_roles \
                where rolname in ('fox', 'elephant', 'badger') and rolcanlogin";
            let answer = ask(namespace, cluster, statement)?;
            ensure(answer == "badger,elephant,fox", answer)
        });
    }
}

pub fn members_and_teams_that_an_object_adds_leave_with_it_and_come_back(namespace: &Namespace) {
    let server = bad_apis();
    let adds = |member: &[&str], team: &[&str], superusers: &[&str]| {
        json!({
            "apiVersion": "acid.zalan.do/v1", "kind": "PostgresTeam", "metadata": {"name": "more"},
            "spec": {
                "additionalMembers": {"acid": member},
                "additionalTeams": {"acid": team},
                "additionalSuperuserTeams": {"acid": superusers},
            },
        })
    };
    let more = adds(&["hedgehog"], &["web"], &["dba"]);
    namespace.apply(&more);
    configure(
        namespace,
        &json!({
            "teams_api_url": format!("http://127.0.0.1:{server}/staff"),
            "enable_postgres_team_crd": "true", "enable_postgres_team_crd_superusers": "true",
            "enable_team_member_deprecation": "true",
        }),
    );
    let marked = "shobj_description(oid, 'pg_authid') = 'pgloom: team member'";
    are_eventually(namespace, marked, "badger t,fox t,hedgehog t,lynx t,otter t,owl t");
    let are_as_others = || {
        for cluster in CLUSTERS {
            let of = |role: &str| described(namespace, cluster, role).unwrap();
            assert_eq!((of("hedgehog"), of("otter"), of("lynx")), (MEMBER.into(), MEMBER.into(), SUPERUSER.into()));
        }
    };
    are_as_others();
    let everyone = "rolname ~ '^(badger|elephant|fox|hedgehog|lynx|otter|owl)'";
    namespace.apply(&adds(&[], &[], &[]));
    // Nobody knew that elephant is a member when members were first marked.
    let left = "badger t,elephant t,fox t,hedgehog_deleted f,lynx_deleted f,otter_deleted f,owl t";
    are_eventually(namespace, everyone, left);
    namespace.apply(&more);
    are_eventually(namespace, everyone, "badger t,elephant t,fox t,hedgehog t,lynx t,otter t,owl t");
    are_as_others();
}

/// Waits until these are the roles of both clusters for which a condition holds, each with whether it can log in.
#[track_caller]
fn are_eventually(namespace: &Namespace, condition: &str, expected: &str) {
    let statement = format!(
        "select string_agg(concat(rolname, ' ', rolcanlogin), ',' order by rolname) from pg_roles where {condition}"
    );
    for cluster in CLUSTERS {
        eventually(&format!("the roles of {cluster} are {expected}"), || {
            let answer = ask(namespace, cluster, &statement)?;
            ensure(answer == expected, answer)
        });
    }
}

/// A server with several APIs, each below a path of its own; gives its port. It ends with the test's process.
fn bad_apis() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(stream: TcpStream) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let (status, body) = match first.split('/').nth(1) {
        Some("slow") => {
            std::thread::sleep(Duration::from_secs(30));
            ("200 OK", r#"["fox"]"#.to_owned())
        }
        Some("page") => ("200 OK", "<html>Please log in</html>".to_owned()),
        Some("numbers") => ("200 OK", "[1, 2, 3]".to_owned()),
        Some("takeover") => ("200 OK", json!(["postgres", "standby", "", "x".repeat(64)]).to_string()),
        Some("none") => ("200 OK", r#"{"member": []}"#.to_owned()),
        Some("left") if first.contains("/teams/acid ") => ("200 OK", r#"["fox", "badger"]"#.to_owned()),
        Some("left") => ("200 OK", "[]".to_owned()),
        Some("staff") if first.contains("/teams/acid ") => ("200 OK", r#"["fox", "badger"]"#.to_owned()),
        Some("staff") if first.contains("/teams/web ") => ("200 OK", r#"["otter"]"#.to_owned()),
        Some("staff") if first.contains("/teams/dba ") => ("200 OK", r#"["lynx"]"#.to_owned()),
        Some("staff") => ("200 OK", r#"["owl"]"#.to_owned()),
        _ => ("500 Internal Server Error", r#"{"error": "out of order"}"#.to_owned()),
    };
    let length = body.len();
    // The client may be gone.
    let _ = write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
}
