//! Patroni's [configuration](https://patroni.readthedocs.io/en/latest/patroni_configuration.html): of a new cluster, in
//! `SPILO_CONFIGURATION`, and of a running one, by its REST API.

use pgloom_kit::json::{map, object, text, texts, unless_empty};
use pgloom_kit::metadata::Map;
use pgloom_kit::{Result, Value, Warnings, invalid, json};

use crate::config::Access;
use crate::spec::Spec;

/// Parameters of a member, not of the cluster: Patroni reads them from its own file, not from the
/// [dynamic configuration](https://patroni.readthedocs.io/en/latest/dynamic_configuration.html).
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

/// The keys of the dynamic configuration that [`dynamic`] sets. The parameters with a command, a library, or a
/// file of the server are named, because a `*` does not cover them.
pub const KEYS: [&str; 41] = [
    "failsafe_mode",
    "loop_wait",
    "maximum_lag_on_failover",
    "postgresql.parameters.*",
    "postgresql.parameters.archive_cleanup_command",
    "postgresql.parameters.archive_library",
    "postgresql.parameters.basic_archive.archive_directory",
    "postgresql.parameters.config_file",
    "postgresql.parameters.data_directory",
    "postgresql.parameters.dynamic_library_path",
    "postgresql.parameters.extension_control_path",
    "postgresql.parameters.extension_destdir",
    "postgresql.parameters.external_pid_file",
    "postgresql.parameters.hba_file",
    "postgresql.parameters.ident_file",
    "postgresql.parameters.jit_provider",
    "postgresql.parameters.krb_server_keyfile",
    "postgresql.parameters.local_preload_libraries",
    "postgresql.parameters.oauth_validator_libraries",
    "postgresql.parameters.pljava",
    "postgresql.parameters.plperl.on_init",
    "postgresql.parameters.plperl.on_plperl_init",
    "postgresql.parameters.plperl.on_plperlu_init",
    "postgresql.parameters.pltcl.start_proc",
    "postgresql.parameters.pltclu.start_proc",
    "postgresql.parameters.plv8.start_proc",
    "postgresql.parameters.recovery_end_command",
    "postgresql.parameters.restore_command",
    "postgresql.parameters.session_preload_libraries",
    "postgresql.parameters.set_user",
    "postgresql.parameters.ssl_crl_dir",
    "postgresql.parameters.ssl_dh_params_file",
    "postgresql.parameters.ssl_passphrase_command",
    "postgresql.parameters.unix_socket_directories",
    "retry_timeout",
    "slots",
    "slots.*.plugin",
    "synchronous_mode",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "ttl",
];

/// Refuses names of parameters that Patroni would not write as they are: another character would end the name in
/// the configuration file of PostgreSQL, and begin another setting.
///
/// # Errors
/// The first such name.
pub fn check(spec: &Spec) -> Result<()> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-$.".contains(&byte));
    #[expect(clippy::for_kv_map, reason = "another iterator would make the component larger")]
    for (name, _) in &spec.postgresql.parameters {
        if !is_name(name) {
            return Err(invalid(
                format!("spec.postgresql.parameters.{name}"),
                "the name has characters that are in no name of PostgreSQL",
                "write letters, digits, `_`, `-`, `$` and `.`",
            ));
        }
    }
    Ok(())
}

/// Options of [initdb](https://www.postgresql.org/docs/current/app-initdb.html) without a value: `true` sets them.
const FLAGS: [&str; 6] = ["data-checksums", "debug", "no-locale", "noclean", "nosync", "sync-only"];

/// The value of `SPILO_CONFIGURATION`. Another text restarts the database, so the order of the keys must not change.
pub fn configuration(spec: &Spec, version: &str, access: &Access) -> String {
    let (local, shared) = split(&spec.postgresql.parameters);
    let bin_dir = if access.enable_pgversion_env_var {
        String::new()
    } else {
        written(Value::String(format!("/usr/lib/postgresql/{version}/bin")))
    };
    let postgresql = ordered(&[
        ("bin_dir", bin_dir),
        ("parameters", written(map(local))),
        ("pg_hba", written(texts(&spec.patroni.pg_hba))),
    ]);
    let dcs = dcs(spec, shared, access, |switch| switch.filter(|&on| on));
    let bootstrap = ordered(&[("initdb", initdb(&spec.patroni.initdb)), ("dcs", dcs)]);
    escaped(ordered(&[("postgresql", postgresql), ("bootstrap", bootstrap)]))
}

/// The shared configuration of a running cluster, as JSON: that of a new one, and also the switches that are off.
pub fn dynamic(spec: &Spec, access: &Access) -> String {
    let (_, shared) = split(&spec.postgresql.parameters);
    dcs(spec, shared, access, |switch| Some(switch.unwrap_or_default()))
}

/// The value of `KUBERNETES_LABELS`.
pub fn labels(labels: &Map) -> String {
    escaped(written(map(labels.clone())))
}

/// JSON as [Go writes it](https://pkg.go.dev/encoding/json#HTMLEscape), in which `<`, `>` and `&` are escaped. Another
/// text would restart the database.
fn escaped(text: String) -> String {
    if !text.contains(['&', '<', '>', '\u{2028}', '\u{2029}']) {
        return text;
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
    escaped
}

/// An object whose fields keep their order, from keys without special characters and JSON texts; empty ones are left
/// out.
fn ordered(fields: &[(&str, String)]) -> String {
    let mut text = String::from("{");
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        if text.len() > 1 {
            text.push(',');
        }
        text.push('"');
        text.push_str(key);
        text.push_str("\":");
        text.push_str(value);
    }
    text.push('}');
    text
}

/// JSON text; empty for an empty list or map.
fn written(value: Value) -> String {
    match unless_empty(value) {
        Value::Null => String::new(),
        value => json::write(&value),
    }
}

/// The parameters of a member, and those of the cluster.
fn split(parameters: &Map) -> (Map, Map) {
    let (mut local, mut shared) = (Map::new(), Map::new());
    for (name, value) in parameters {
        let side = if LOCAL.contains(&name.as_str()) { &mut local } else { &mut shared };
        side.insert(name.clone(), value.clone());
    }
    (local, shared)
}

/// The options of initdb: the authentication methods, which the manifest may replace, and the manifest's other options.
fn initdb(options: &Map) -> String {
    let option = |name: &str, value: &str| object([(name, text(value))]);
    let mut list = Vec::with_capacity(options.len() + 2);
    for (name, default) in [("auth-host", "scram-sha-256"), ("auth-local", "trust")] {
        list.push(option(name, options.get(name).map_or(default, String::as_str)));
    }
    for (name, value) in options {
        match name.as_str() {
            "auth-host" | "auth-local" => {}
            flag if value == "true" && FLAGS.contains(&flag) => list.push(flag.into()),
            name => list.push(option(name, value)),
        }
    }
    written(Value::Array(list))
}

/// The dynamic configuration. `shown` returns for a boolean whether it is written, and with which value.
fn dcs(spec: &Spec, parameters: Map, access: &Access, shown: fn(Option<bool>) -> Option<bool>) -> String {
    let patroni = &spec.patroni;
    let number = |number: Option<i64>| match number {
        None | Some(0) => String::new(),
        Some(number) => number.to_string(),
    };
    let switch = |on: Option<bool>| written(shown(on).into());
    let parameters = ordered(&[("parameters", written(map(parameters)))]);
    ordered(&[
        ("ttl", number(patroni.ttl)),
        ("loop_wait", number(patroni.loop_wait)),
        ("retry_timeout", number(patroni.retry_timeout)),
        ("maximum_lag_on_failover", lag(&patroni.maximum_lag_on_failover)),
        ("synchronous_mode", switch(patroni.synchronous_mode)),
        ("synchronous_mode_strict", switch(patroni.synchronous_mode_strict)),
        ("synchronous_node_count", number(patroni.synchronous_node_count)),
        ("postgresql", if parameters == "{}" { String::new() } else { parameters }),
        ("slots", written(patroni.slots.clone())),
        ("failsafe_mode", patroni.failsafe_mode.unwrap_or(access.enable_patroni_failsafe_mode).to_string()),
    ])
}

/// Warns of a lag that has no effect. It is left out as that of 0, which is Patroni's default.
pub fn warn_of_lag(spec: &Spec, warnings: &mut Warnings) {
    if spec.patroni.maximum_lag_on_failover.as_f64().is_some_and(|lag| lag < 0.0) {
        let message = "a negative number of bytes has no effect: Patroni's default holds";
        warnings.warn("spec.patroni.maximum_lag_on_failover", message, "write a positive number, or remove the field");
    }
}

/// The lag as Go writes a `float32`: the shortest decimal number that is parsed to the same `float32`.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "float32 is the type of the field")]
fn lag(number: &Value) -> String {
    let wanted = number.as_f64().unwrap_or_default() as f32;
    if wanted <= 0.0 {
        return String::new();
    }
    let exact = wanted as i64;
    let mut round = 1_i64;
    let mut shortest = exact;
    while round < exact {
        round *= 10;
        let candidate = (exact + round / 2) / round * round;
        if candidate as f32 != wanted {
            break;
        }
        shortest = candidate;
    }
    shortest.to_string()
}
