//! Names of objects: templates of the operator configuration, and the forms that Kubernetes accepts.

use std::borrow::Cow;

/// Labels of Services and Pods allow 63 characters; the longest suffix that the operator gives a cluster's name is `-repl`.
pub const MAX_CLUSTER_NAME: usize = MAX_LABEL - REPLICA_SUFFIX.len();

/// `{tprkind}` of a Secret's name.
pub const KIND: &str = "postgresql";
/// `{tprgroup}` of a Secret's name.
pub const GROUP: &str = "acid.zalan.do";

/// The name of the Secret that holds a role's password, in small letters, as names of objects have to be.
///
/// Placeholders: `{username}` (with `-` for `_`), `{cluster}`, `{team}`, `{tprkind}`, `{tprgroup}`.
///
/// ```
/// # use pgloom_common::name::secret_name;
/// let template = "{username}.{cluster}.credentials.{tprkind}.{tprgroup}";
/// let name = secret_name(template, "foo_user", "acid-minimal-cluster", "acid");
/// assert_eq!(name, "foo-user.acid-minimal-cluster.credentials.postgresql.acid.zalan.do");
/// ```
#[must_use]
pub fn secret_name(template: &str, username: &str, cluster: &str, team: &str) -> String {
    let username = username.replace('_', "-");
    filled(
        template,
        &[("username", &username), ("cluster", cluster), ("team", team), ("tprkind", KIND), ("tprgroup", GROUP)],
    )
    .to_lowercase()
}

/// The name of a disruption budget. Placeholder: `{cluster}`, as in `postgres-{cluster}-pdb`.
#[must_use]
pub fn pdb_name(template: &str, cluster: &str) -> String {
    filled(template, &[("cluster", cluster)])
}

/// The longest name, in characters, of a StatefulSet that gets pods: its pods have the label `controller-revision-hash`
/// with the name, a hyphen and a hash of up to 10 characters, and a label has at most 63.
pub const MAX_STATEFUL_SET_NAME: usize = MAX_LABEL - 11;

/// The longest name of a Service, a volume or a container, and the longest value of a label, in characters.
pub const MAX_LABEL: usize = 63;

/// The name of the volume of a Secret or a ConfigMap: its own name, or if that is no name of a volume, because it has dots
/// or is too long, one made of it. Other objects have other names of volumes.
///
/// ```
/// # use pgloom_common::name::volume_name;
/// assert_eq!(volume_name("orders-tls"), "orders-tls");
/// assert_eq!(volume_name("db.example.com"), "db-example-com-0eda8a90");
/// ```
#[must_use]
pub fn volume_name(object: &str) -> Cow<'_, str> {
    if is_dns1123_label(object) {
        return Cow::Borrowed(object);
    }
    let hash = format!("{:08x}", fnv1a(object));
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let readable = object.bytes().map(|byte| if is_inner(byte) { char::from(byte) } else { '-' });
    let readable: String = readable.take(MAX_LABEL - hash.len() - 1).collect();
    Cow::Owned(format!("{readable}-{hash}").trim_start_matches('-').to_owned())
}

/// A [hash](https://datatracker.ietf.org/doc/html/draft-eastlake-fnv) that is the same in every build: another name of a
/// volume would replace the pods.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The longest name of a CronJob, in characters: the names of its Jobs have 11 more.
const MAX_CRON_JOB_NAME: usize = 52;

/// The name of the CronJob of logical backups: `logical_backup_job_prefix` and the cluster's name, cut where it would be
/// too long for a CronJob, and without hyphens at its end.
#[must_use]
pub fn cron_job_name(prefix: &str, cluster: &str) -> String {
    let mut name = format!("{prefix}{cluster}");
    if name.len() > MAX_CRON_JOB_NAME {
        name.truncate(name.floor_char_boundary(MAX_CRON_JOB_NAME));
        name.truncate(name.trim_end_matches('-').len());
    }
    name
}

/// The name of the disruption budget of pods during a critical operation, as upstream names it.
#[must_use]
pub fn critical_operation_pdb_name(cluster: &str) -> String {
    format!("postgres-{cluster}-critical-op-pdb")
}

/// What follows the cluster's name in the names of the replicas' Service and pooler.
pub const REPLICA_SUFFIX: &str = "-repl";
/// What follows the cluster's name in the name of its pooler; [`REPLICA_SUFFIX`] may follow.
pub const POOLER_SUFFIX: &str = "-pooler";
/// What follows a pooler's name in the name of the Secret with its list of users.
pub const USER_LIST_SUFFIX: &str = "-u";

/// The suffixes of the names of Patroni's objects, after the cluster's name: Endpoints, the Service of the Endpoints,
/// or ConfigMaps. The leader's lock of a cluster without ConfigMaps is in the Endpoints without a suffix.
///
/// See [Patroni's objects](https://patroni.readthedocs.io/en/latest/kubernetes.html).
pub const PATRONI: [&str; 4] = ["-config", "-failover", "-sync", "-leader"];

/// The annotation in which Patroni records the state of a member, on the member's pod.
pub const MEMBER_STATUS: &str = "status";

/// Whether an object of this kind and name is one in which Patroni keeps the state of a cluster, whatever it is set to use.
///
/// ```
/// # use pgloom_common::name::is_patronis;
/// assert!(is_patronis("v1", "ConfigMap", "acid-a", "acid-a-config"));
/// assert!(!is_patronis("v1", "ConfigMap", "acid-a", "acid-a-settings"));
/// ```
#[must_use]
pub fn is_patronis(api_version: &str, kind: &str, cluster: &str, name: &str) -> bool {
    api_version == "v1"
        && matches!(kind, "ConfigMap" | "Endpoints" | "Service")
        && name.strip_prefix(cluster).is_some_and(|rest| PATRONI.contains(&rest))
}

/// The value of the label `application` of a pooler's objects.
pub const POOLER_APPLICATION: &str = "db-connection-pooler";
/// The value of the label `application` of the objects of logical backups.
pub const BACKUP_APPLICATION: &str = "spilo-logical-backup";

/// A DNS name of a load balancer, lower case. Placeholders: `{cluster}`, `{team}`, `{namespace}`, `{hostedzone}`.
///
/// `cluster` is the object's name for the current templates (`master_dns_name_format`) and the [`internal_name`] for
/// the legacy ones (`master_legacy_dns_name_format`).
///
/// ```
/// # use pgloom_common::name::dns_name;
/// let name = dns_name("{cluster}-repl.{team}.{hostedzone}", "test", "acid", "default", "db.example.com");
/// assert_eq!(name, "test-repl.acid.db.example.com");
/// ```
#[must_use]
pub fn dns_name(template: &str, cluster: &str, team: &str, namespace: &str, hosted_zone: &str) -> String {
    filled(template, &[("cluster", cluster), ("team", team), ("namespace", namespace), ("hostedzone", hosted_zone)])
        .to_ascii_lowercase()
}

/// A cluster's name without its team: `test` of `acid-test`. The whole name if it does not start with the team.
#[must_use]
pub fn internal_name<'a>(cluster: &'a str, team: &str) -> &'a str {
    match cluster.get(..team.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(team) => {
            cluster[team.len()..].strip_prefix('-').filter(|rest| !rest.is_empty()).unwrap_or(cluster)
        }
        _ => cluster,
    }
}

/// Fills in the placeholders, in one pass so that a placeholder in a value stays as it is. Unknown ones stay, too.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let hit = rest.find('}').and_then(|close| {
            let name = &rest[1..close];
            values.iter().find(|(key, _)| *key == name).map(|(_, value)| (close, *value))
        });
        match hit {
            Some((close, value)) => {
                text.push_str(value);
                rest = &rest[close + 1..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

/// The placeholders of a template that are not among the known ones.
///
/// ```
/// # use pgloom_common::name::unknown_placeholders;
/// assert_eq!(unknown_placeholders("{user}.{cluster}", &["username", "cluster"]), ["user"]);
/// ```
#[must_use]
pub fn unknown_placeholders<'a>(template: &'a str, known: &[&str]) -> Vec<&'a str> {
    template
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}').map(|(name, _)| name))
        .filter(|name| !known.contains(name))
        .collect()
}

/// Whether a text is a DNS label that starts with a letter, as names of Services have to be (RFC 1035): at most 63 of
/// `a-z`, `0-9` and `-`, first a letter, last not a hyphen.
#[must_use]
pub fn is_dns1035(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let bytes = text.as_bytes();
    text.len() <= MAX_LABEL
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().copied().all(inner)
        && bytes.last() != Some(&b'-')
}

/// Whether a pattern covers a name: `{cluster}` in it is the cluster's name, and a `*` any characters.
///
/// ```
/// # use pgloom_common::name::covers;
/// assert!(covers("{cluster}-*", "acid-a", "acid-a-repl"));
/// assert!(!covers("{cluster}-*", "acid-a", "acid-b-repl"));
/// ```
#[must_use]
pub fn covers(pattern: &str, cluster: &str, name: &str) -> bool {
    // In one pass: a `*` in the cluster's name would not mean any characters, but no cluster has one.
    let pattern = match pattern.contains('{') {
        true => Cow::Owned(filled(pattern, &[("cluster", cluster)])),
        false => Cow::Borrowed(pattern),
    };
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
    let Some(end) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

/// Whether a text is a DNS subdomain (RFC 1123), as names of most objects have to be: at most 253 characters, DNS labels
/// joined by dots. A name that is not one must not become a part of a URL.
///
/// See [object names](https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#names).
#[must_use]
pub fn is_dns1123_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns1123_part)
}

fn is_dns1123_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether a text is a DNS label (RFC 1123), as names of containers and volumes have to be: at most 63 of `a-z`, `0-9`
/// and `-`, first and last not a hyphen.
#[must_use]
pub fn is_dns1123_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_dns1123_part(text)
}

/// Whether a text is the key of a label or an annotation: the name of one, and in front of it optionally a DNS subdomain
/// and a slash.
///
/// See [labels](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set).
#[must_use]
pub fn is_label_key(text: &str) -> bool {
    let (domain, name) = text.rsplit_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    !name.is_empty() && is_label_value(name) && domain.is_none_or(is_dns1123_subdomain)
}

/// Whether a text is the key of an annotation: as of a label, but the domain may have capital letters.
#[must_use]
pub fn is_annotation_key(text: &str) -> bool {
    is_label_key(&text.to_ascii_lowercase())
}

/// Whether a text is the value of a label: at most 63 letters, digits, `-`, `_` and `.`, the first and the last a letter
/// or digit; or empty.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= MAX_LABEL
        && text.bytes().all(inner)
        && ends.into_iter().flatten().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_labels_have_a_short_name_and_perhaps_a_domain() {
        for key in ["application", "spilo-role", "a.b_c", "example.com/Role", "A"] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "a b", "-a", "a_", "/a", "Example.com/a", "a/", "a/b/c", &"a".repeat(64)] {
            assert!(!is_label_key(key), "{key}");
        }
    }

    #[test]
    fn the_domain_in_the_key_of_an_annotation_may_have_capital_letters() {
        assert!(is_annotation_key("Example.com/Role") && is_annotation_key("prometheus.io/port"));
        assert!(!is_annotation_key("a b") && !is_annotation_key("") && !is_annotation_key("a/b/c"));
    }

    #[test]
    fn secret_names_are_made_from_their_templates() {
        let long = "{username}.{cluster}.credentials.{tprkind}.{tprgroup}";
        assert_eq!(
            secret_name(long, "postgres", "acid-minimal-cluster", "acid"),
            "postgres.acid-minimal-cluster.credentials.postgresql.acid.zalan.do"
        );
        assert_eq!(
            secret_name("{username}.{cluster}.credentials", "foo_user", "acid-a", "acid"),
            "foo-user.acid-a.credentials"
        );
        assert_eq!(secret_name("{team}/{username}", "a_b", "acid-a", "acid"), "acid/a-b");
    }

    #[test]
    fn a_placeholder_in_a_value_is_not_filled_in() {
        assert_eq!(secret_name("{username}.{cluster}", "{cluster}", "x", "t"), "{cluster}.x");
        assert_eq!(secret_name("{unknown}.{cluster", "u", "x", "t"), "{unknown}.{cluster");
    }

    #[test]
    fn a_name_is_cut_to_the_longest_of_a_cronjob_and_does_not_end_with_a_hyphen() {
        let long = "acid-0123456789-0123456789-0123456789-0123456789";
        for (prefix, cluster, expected) in [
            ("logical-backup-", "acid-orders", "logical-backup-acid-orders"),
            ("logical-backup-", long, "logical-backup-acid-0123456789-0123456789-0123456789"),
            ("logical-backup-x-", &long[..37], "logical-backup-x-acid-0123456789-0123456789-01234567"),
            ("0123456789-", &"a-".repeat(30), "0123456789-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a"),
            ("", "acid-orders", "acid-orders"),
        ] {
            assert_eq!(cron_job_name(prefix, cluster), expected);
        }
    }

    #[test]
    fn a_volume_has_a_valid_name_of_its_own_whatever_the_secret_is_called() {
        let long = "a".repeat(64);
        let longer = format!("{long}.b");
        let names = ["a.b", "a-b", "a.b.c", "a-b.c", &long, &longer, "-.-"].map(volume_name);
        for (index, name) in names.iter().enumerate() {
            assert!(is_dns1123_label(name), "{name}");
            assert!(!names[..index].contains(name), "{name} is there twice");
        }
        assert_eq!(volume_name(&"a".repeat(63)), "a".repeat(63));
    }

    #[test]
    fn dns_names_are_lower_case() {
        assert_eq!(
            dns_name("{cluster}.{namespace}.{hostedzone}", "ACID-a", "acid", "prod", "Db.example.com"),
            "acid-a.prod.db.example.com"
        );
        assert_eq!(
            dns_name("{cluster}.{team}.{hostedzone}", internal_name("acid-test", "ACID"), "ACID", "x", "db"),
            "test.acid.db"
        );
    }

    #[test]
    fn the_internal_name_is_the_part_after_the_team() {
        for (cluster, team, expected) in [
            ("acid-test", "acid", "test"),
            ("my-team-another-test", "my-team", "another-test"),
            ("acid-test", "test", "acid-test"),
            ("acidtest", "acid", "acidtest"),
            ("acid-", "acid", "acid-"),
            ("a", "acid", "a"),
        ] {
            assert_eq!(internal_name(cluster, team), expected, "{cluster} of {team}");
        }
    }

    #[test]
    fn the_name_of_a_disruption_budget_is_made_from_its_template() {
        assert_eq!(pdb_name("postgres-{cluster}-databass-budget", "acid-a"), "postgres-acid-a-databass-budget");
    }

    #[test]
    fn a_pattern_covers_a_name_as_a_whole() {
        for (pattern, name, expected) in [
            ("{cluster}", "acid-a", true),
            ("{cluster}", "acid-a-repl", false),
            ("{cluster}-*", "acid-a", false),
            ("*{cluster}", "logical-backup-acid-a", true),
            ("postgres-{cluster}-pdb", "postgres-acid-a-pdb", true),
            ("*{cluster}*", "postgres-acid-a-pdb", true),
            ("*{cluster}*", "postgres-acid-b-pdb", false),
            ("a*a", "a", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("{other}", "{other}", true),
        ] {
            assert_eq!(covers(pattern, "acid-a", name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_that_would_change_a_url_is_no_name_of_an_object() {
        for good in ["a", "pgdata-acid-a-0", "a.b-c.d"] {
            assert!(is_dns1123_subdomain(good), "{good}");
        }
        for bad in ["", ".", "..", "../secrets", "a/b", "a?dryRun=All", "a#b", "a%2fb", "A", "a..b", &"a".repeat(254)] {
            assert!(!is_dns1123_subdomain(bad), "{bad}");
        }
    }

    #[test]
    fn labels_do_not_end_with_a_hyphen_and_those_of_services_start_with_a_letter() {
        for good in ["a", "acid-test", "a1"] {
            assert!(is_dns1035(good) && is_dns1123_label(good), "{good}");
        }
        assert!(is_dns1123_label("1a") && !is_dns1035("1a"));
        for bad in ["", "-a", "a-", "A", "a.b", "b_c", &"a".repeat(64)] {
            assert!(!is_dns1123_label(bad), "{bad}");
        }
        for bad in ["", "-a", "1a", "a-", "A", "a.b", "foo+bar", &"a".repeat(64)] {
            assert!(!is_dns1035(bad), "{bad}");
        }
    }
}
