//! What Patroni is told: when a cluster starts for the first time, and while it runs.

use std::collections::BTreeMap;

use pgloom_kit::metadata::Map;
use pgloom_kit::{Result, internal, serde_json};
use serde::{Serialize, Serializer};

use crate::config::Access;
use crate::spec::{Patroni, Spec};

/// Parameters that belong to a member, not to the cluster: Patroni takes them from its own file, not from what the members share.
const LOCAL: [&str; 20] = [
    "archive_command",
    "bg_mon.history_buckets",
    "bg_mon.listen_address",
    "extwlist.custom_path",
    "extwlist.extensions",
    "log_destination",
    "log_directory",
    "log_file_mode",
    "log_filename",
    "log_rotation_age",
    "log_truncate_on_rotation",
    "logging_collector",
    "pg_stat_statements.track_utility",
    "shared_buffers",
    "shared_preload_libraries",
    "ssl",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_crl_file",
    "ssl_key_file",
];

/// Options of initdb that take no value: `true` switches them on.
const FLAGS: [&str; 6] = ["data-checksums", "debug", "no-locale", "noclean", "nosync", "sync-only"];

/// The text of `SPILO_CONFIGURATION`. A byte that changes restarts the database, so the order of the keys is part of it: it is
/// that of the fields below.
pub fn configuration(spec: &Spec, version: &str, access: &Access) -> Result<String> {
    let (local, shared) = split(&spec.postgresql.parameters);
    let bin_dir = (!access.enable_pgversion_env_var).then(|| ["/usr/lib/postgresql/", version, "/bin"].concat());
    let configuration = Configuration {
        postgresql: Local { bin_dir, parameters: local, pg_hba: &spec.patroni.pg_hba },
        bootstrap: Bootstrap { initdb: initdb(&spec.patroni.initdb), dcs: dcs(&spec.patroni, shared, access) },
    };
    write(&configuration)
}

/// What the members of a running cluster should share, as JSON text: the same as at its start, and what is switched off.
pub fn dynamic(spec: &Spec, access: &Access) -> Result<String> {
    let (_, shared) = split(&spec.postgresql.parameters);
    let mut dcs = dcs(&spec.patroni, shared, access);
    dcs.synchronous_mode.get_or_insert_default();
    dcs.synchronous_mode_strict.get_or_insert_default();
    write(&dcs)
}

/// Writes JSON as Go does, which escapes what HTML would take for markup.
pub fn write(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|error| internal(error.to_string()))?;
    if !text.contains(['&', '<', '>', '\u{2028}', '\u{2029}']) {
        return Ok(text);
    }
    let mut escaped = String::with_capacity(text.len() + 32);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("\\u0026"),
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}

#[derive(Serialize)]
struct Configuration<'a> {
    postgresql: Local<'a>,
    bootstrap: Bootstrap<'a>,
}

#[derive(Serialize)]
struct Local<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bin_dir: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pg_hba: &'a [String],
}

#[derive(Serialize)]
struct Bootstrap<'a> {
    initdb: Vec<InitdbOption<'a>>,
    dcs: Dcs<'a>,
}

#[derive(Serialize)]
struct Dcs<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    ttl: u32,
    #[serde(skip_serializing_if = "is_zero")]
    loop_wait: u32,
    #[serde(skip_serializing_if = "is_zero")]
    retry_timeout: u32,
    #[serde(skip_serializing_if = "is_nothing", serialize_with = "shortest")]
    maximum_lag_on_failover: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    synchronous_mode: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    synchronous_mode_strict: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    synchronous_node_count: u32,
    #[serde(skip_serializing_if = "Shared::is_empty")]
    postgresql: Shared<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    slots: &'a BTreeMap<String, Map>,
    failsafe_mode: bool,
}

#[derive(Serialize)]
struct Shared<'a> {
    parameters: Parameters<'a>,
}

impl Shared<'_> {
    fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }
}

type Parameters<'a> = BTreeMap<&'a str, &'a str>;

/// An option of initdb: a bare word, or a name with a value.
enum InitdbOption<'a> {
    Flag(&'a str),
    Value(&'a str, &'a str),
}

impl Serialize for InitdbOption<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Flag(name) => serializer.serialize_str(name),
            Self::Value(name, value) => serializer.collect_map([(name, value)]),
        }
    }
}

/// The member's parameters, and the cluster's.
fn split(parameters: &Map) -> (Parameters<'_>, Parameters<'_>) {
    parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .partition(|(name, _)| LOCAL.binary_search(name).is_ok())
}

/// The authentication methods, which the manifest may replace, and the manifest's options by name.
fn initdb(options: &Map) -> Vec<InitdbOption<'_>> {
    let mut list = Vec::with_capacity(options.len() + 2);
    for (name, default) in [("auth-host", "scram-sha-256"), ("auth-local", "trust")] {
        list.push(InitdbOption::Value(name, options.get(name).map_or(default, String::as_str)));
    }
    for (name, value) in options {
        match name.as_str() {
            "auth-host" | "auth-local" => {}
            flag if value == "true" && FLAGS.contains(&flag) => list.push(InitdbOption::Flag(flag)),
            name => list.push(InitdbOption::Value(name, value)),
        }
    }
    list
}

fn dcs<'a>(patroni: &'a Patroni, parameters: Parameters<'a>, access: &Access) -> Dcs<'a> {
    Dcs {
        ttl: patroni.ttl,
        loop_wait: patroni.loop_wait,
        retry_timeout: patroni.retry_timeout,
        maximum_lag_on_failover: patroni.maximum_lag_on_failover,
        synchronous_mode: patroni.synchronous_mode.then_some(true),
        synchronous_mode_strict: patroni.synchronous_mode_strict.then_some(true),
        synchronous_node_count: patroni.synchronous_node_count,
        postgresql: Shared { parameters },
        slots: &patroni.slots,
        failsafe_mode: patroni.failsafe_mode.unwrap_or(access.enable_patroni_failsafe_mode),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_nothing(number: &f32) -> bool {
    *number == 0.0
}

/// The lag has the precision of 32 bits: of the numbers that are the same lag, the shortest is written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn shortest<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    let text = serde_json::to_string(number).unwrap_or_default();
    match text.strip_suffix(".0").and_then(|whole| whole.parse::<i64>().ok()) {
        Some(whole) => serializer.serialize_i64(whole),
        None => serializer.serialize_f32(*number),
    }
}
