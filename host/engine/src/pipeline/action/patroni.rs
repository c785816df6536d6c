//! Which keys of Patroni's configuration a pattern covers.

use std::collections::BTreeMap;

use pgloom_common::name::covers;
use serde_json::Value;

use super::super::json;

/// The key in which the host keeps its notes.
const NOTES: &str = "pgloom";

/// Keys of Patroni's configuration that make the database run a command or load a library, or that say who may log in.
/// They are covered only by their own names, because a `*` is written for parameters that cannot do so. See
/// [Patroni's settings](https://patroni.readthedocs.io/en/latest/yaml_configuration.html).
const POWERFUL: [&str; 14] = [
    "postgresql.authentication",
    "postgresql.before_stop",
    "postgresql.bin_dir",
    "postgresql.bin_name",
    "postgresql.callbacks",
    "postgresql.config_dir",
    "postgresql.create_replica_methods",
    "postgresql.custom_conf",
    "postgresql.data_dir",
    "postgresql.pg_hba",
    "postgresql.pg_ident",
    "postgresql.pgpass",
    "postgresql.pre_promote",
    "standby_cluster.create_replica_methods",
];
/// The sections with parameters of PostgreSQL.
const PARAMETERS: [&str; 2] = ["postgresql.parameters.", "postgresql.recovery_conf."];
/// The parameters of PostgreSQL and its extensions for which the same holds, with those that name files and folders of the
/// server, and the extensions all of whose parameters are such.
const POWERFUL_PARAMETERS: [&str; 33] = [
    "basic_archive.archive_directory",
    "config_file",
    "data_directory",
    "extension_control_path",
    "extension_destdir",
    "external_pid_file",
    "extwlist",
    "hba_file",
    "ident_file",
    "include",
    "include_dir",
    "include_if_exists",
    "krb_server_keyfile",
    "log_directory",
    "log_filename",
    "pgsodium",
    "pljava",
    "plperl.on_init",
    "plperl.on_plperl_init",
    "plperl.on_plperlu_init",
    "pltcl.start_proc",
    "pltclu.start_proc",
    "plrust",
    "plv8.start_proc",
    "set_user",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_crl_dir",
    "ssl_crl_file",
    "ssl_dh_params_file",
    "ssl_key_file",
    "supautils",
    "unix_socket_directories",
];
/// The ends of the names of keys with a command or a library, as in `archive_command`.
const COMMANDS: [&str; 5] = ["_command", "_libraries", "_library", "_library_path", "jit_provider"];
/// The command of a method that makes replicas, as in `postgresql.wal_e.command`.
const COMMAND: &str = "command";
/// The section whose keys are names that people choose.
const SLOTS: &str = "slots";
/// The library that decodes the changes of a slot, as in `slots.orders.plugin`; and its pattern for all slots.
const SLOT_PLUGIN: &str = ".plugin";
const SLOT_PLUGINS: &str = "slots.*.plugin";

fn is_powerful(key: &str) -> bool {
    if is_or_below(key, SLOTS) {
        return is_slot_plugin(key);
    }
    // PostgreSQL does not distinguish upper and lower case in names of parameters.
    let lower = key.to_ascii_lowercase();
    let parameter = parameter(&lower);
    POWERFUL.iter().any(|powerful| is_or_below(key, powerful))
        || parameter.is_some_and(|name| POWERFUL_PARAMETERS.iter().any(|powerful| is_or_below(name, powerful)))
        || lower.split('.').any(|part| COMMANDS.iter().any(|end| part.ends_with(end)))
        || parameter.is_none() && lower.split('.').any(|part| part == COMMAND)
}

fn is_slot_plugin(key: &str) -> bool {
    let slot = key.strip_prefix(SLOTS).and_then(|slot| slot.strip_suffix(SLOT_PLUGIN));
    slot.is_some_and(|slot| !slot.is_empty())
}

/// The name of a parameter of PostgreSQL.
fn parameter(key: &str) -> Option<&str> {
    PARAMETERS.iter().find_map(|section| key.strip_prefix(section))
}

/// Whether a key is a section with powerful keys. A value for the section itself, such as null, replaces or removes them all.
fn holds_powerful(key: &str) -> bool {
    let mut below = POWERFUL.iter().chain(&PARAMETERS);
    below.any(|powerful| *powerful != key && is_or_below(powerful, key))
}

/// What a pattern needs to cover a key of Patroni's configuration.
#[derive(Clone, Copy)]
pub(super) enum Power {
    /// No pattern covers it: it is a section with powerful keys.
    Section,
    /// Only its own name, or the powerful one above it.
    Powerful,
    /// Any pattern that means it or what is above it.
    None,
}

impl Power {
    pub(super) fn of(key: &str) -> Self {
        match (holds_powerful(key), is_powerful(key)) {
            (true, _) => Self::Section,
            (_, true) => Self::Powerful,
            _ => Self::None,
        }
    }
}

/// Whether a pattern covers a key of this power: the key itself, what is below it, and with a `*` what the `*` can be.
pub(super) fn covers_key(pattern: &str, key: &str, power: Power) -> bool {
    match power {
        Power::Section => false,
        Power::Powerful => {
            if is_slot_plugin(key) {
                return pattern == key || pattern == SLOT_PLUGINS;
            }
            let is_parameter = parameter(pattern).is_some_and(|name| POWERFUL_PARAMETERS.contains(&name));
            if is_parameter && is_or_below(&key.to_ascii_lowercase(), pattern) {
                return true;
            }
            let is_same = if parameter(key).is_some() { pattern.eq_ignore_ascii_case(key) } else { pattern == key };
            is_same || POWERFUL.contains(&pattern) && is_or_below(key, pattern)
        }
        Power::None => {
            let open = pattern.bytes().position(|byte| matches!(byte, b'*' | b'{'));
            let Some(open) = open else { return is_or_below(key, pattern) };
            if !key.starts_with(&pattern[..open]) {
                return false;
            }
            // Every key above the given one, and itself.
            let ends = key.match_indices('.').map(|(at, _)| at).chain([key.len()]);
            ends.into_iter().any(|end| covers(pattern, "", &key[..end]))
        }
    }
}

pub(super) fn is_or_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The keys of a configuration, joined by dots, each with its value. An empty section is a key.
pub(super) fn keys(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let configuration = match json::Parser::default().parse(text) {
        Ok(Value::Object(configuration)) => configuration,
        Ok(_) => return Err("is not a JSON object".to_owned()),
        Err(json::Error::Parse(error)) => return Err(format!("is not a JSON object: {error}")),
        Err(limit @ (json::Error::Values | json::Error::Depth)) => return Err(format!("is refused: {limit}")),
    };
    let mut keys = BTreeMap::new();
    for (name, value) in configuration {
        collect(name, value, &mut keys);
    }
    if keys.keys().any(|key| is_or_below(key, NOTES)) {
        return Err("has the key in which the host keeps its notes".to_owned());
    }
    match keys.keys().find(|key| !key.chars().all(is_of_key)) {
        Some(key) => Err(format!("has the key {key:?}; keys have letters, digits, `_`, `-`, `$` and `.` only")),
        None => Ok(keys),
    }
}

/// Patroni writes names with a dot as they are into PostgreSQL's configuration file, where other characters would end the
/// name, and begin another setting.
fn is_of_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '$' | '.')
}

fn collect(path: String, value: Value, keys: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                collect(format!("{path}.{name}"), value, keys);
            }
        }
        value => {
            keys.insert(path, value);
        }
    }
}
