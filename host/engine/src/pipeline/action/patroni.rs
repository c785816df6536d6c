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
const POWERFUL: [&str; 13] = [
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
    "postgresql.pre_promote",
    "standby_cluster.create_replica_methods",
];
/// The sections with parameters of PostgreSQL.
const PARAMETERS: [&str; 2] = ["postgresql.parameters.", "postgresql.recovery_conf."];
/// The parameters of PostgreSQL and its extensions for which the same holds, and the extensions all of whose parameters
/// are such.
const POWERFUL_PARAMETERS: [&str; 15] = [
    "config_file",
    "data_directory",
    "extension_control_path",
    "external_pid_file",
    "extwlist",
    "hba_file",
    "ident_file",
    "pljava",
    "plperl.on_init",
    "plperl.on_plperl_init",
    "plperl.on_plperlu_init",
    "pltcl.start_proc",
    "pltclu.start_proc",
    "plv8.start_proc",
    "set_user",
];
/// The ends of the names of keys with a command or a library, as in `archive_command`.
const COMMANDS: [&str; 5] = ["_command", "_libraries", "_library", "_library_path", "jit_provider"];
/// The command of a method that makes replicas, as in `postgresql.wal_e.command`.
const COMMAND: &str = "command";
/// The section whose keys are names that people choose.
const SLOTS: &str = "slots";

fn is_powerful(key: &str) -> bool {
    if is_or_below(key, SLOTS) {
        return false;
    }
    // PostgreSQL does not distinguish upper and lower case in names of parameters.
    let lower = key.to_ascii_lowercase();
    let parameter = parameter(&lower);
    POWERFUL.iter().any(|powerful| is_or_below(key, powerful))
        || parameter.is_some_and(|name| POWERFUL_PARAMETERS.iter().any(|powerful| is_or_below(name, powerful)))
        || lower.split('.').any(|part| COMMANDS.iter().any(|end| part.ends_with(end)))
        || parameter.is_none() && lower.split('.').any(|part| part == COMMAND)
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
            let is_listed = POWERFUL.contains(&pattern)
                || parameter(pattern).is_some_and(|name| POWERFUL_PARAMETERS.contains(&name));
            is_listed && is_or_below(key, pattern) || pattern == key
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
