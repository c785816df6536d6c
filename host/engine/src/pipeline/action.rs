//! The actions of a response: checked against the permission of the step, and against the actions of earlier steps.

use std::collections::BTreeMap;

use pgloom_api::{ActionKind, placeholder};
use pgloom_common::name::covers;
use serde_json::Value;

use super::json;
use crate::decision::RequestedAction;
use crate::model::{Action, ActionPermission, ActionRequest};

/// Why the actions of a response are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The description does not ask for the action.
    #[error("action {key} is about {subject:?}, and the plugin's description does not ask for {kind} of that")]
    NotAsked {
        /// The action's key.
        key: String,
        /// The action's kind.
        kind: ActionKind,
        /// What the action is about.
        subject: String,
    },
    /// The configuration for Patroni is not usable.
    #[error("action {key}: the configuration for Patroni {reason}")]
    Configuration {
        /// The action's key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A parameter holds a placeholder.
    #[error(
        "action {key} holds the placeholder of a credential, which is filled in only as the value of a container's variable"
    )]
    Placeholder {
        /// The action's key.
        key: String,
    },
    /// Another action wants something else.
    #[error(transparent)]
    Conflict(Box<Conflict>),
}

/// Two actions that want different things of one subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "action {key} of step {step} wants {value} for {subject}, and action {earlier_key} of step {earlier} wants \
     {earlier_value}; remove one of the steps, or give both the same configuration"
)]
pub struct Conflict {
    /// What both are about.
    pub subject: String,
    /// The step of the earlier action.
    pub earlier: String,
    /// The key of the earlier action.
    pub earlier_key: String,
    /// What the earlier action wants.
    pub earlier_value: String,
    /// The step of the later action.
    pub step: String,
    /// The key of the later action.
    pub key: String,
    /// What the later action wants.
    pub value: String,
}

/// What a step may do: what its plugin asks for, and what the pipeline grants.
pub(super) struct Rights<'a> {
    pub step: &'a str,
    pub cluster: &'a str,
    pub asked: &'a [ActionPermission],
    pub granted: &'a [ActionPermission],
}

/// The actions that a response requests, each with the reason if it is not executed.
///
/// # Errors
/// If an action is not one that the description asks for, or wants something else than an action of `earlier` or of
/// the same response.
pub(super) fn check(
    requests: &[ActionRequest],
    rights: &Rights<'_>,
    earlier: &[RequestedAction],
) -> Result<Vec<RequestedAction>, Error> {
    let mut wants = Wants::default();
    for requested in earlier.iter().filter(|requested| requested.is_granted()) {
        wants.add(requested)?;
    }
    let mut all = Vec::with_capacity(requests.len());
    for request in requests {
        let requested = RequestedAction {
            step: rights.step.to_owned(),
            key: request.key.clone(),
            action: request.action.clone(),
            refusal: refusal(request, rights)?,
        };
        if requested.is_granted() {
            wants.add(&requested)?;
        }
        all.push(requested);
    }
    Ok(all)
}

fn refusal(request: &ActionRequest, rights: &Rights<'_>) -> Result<Option<String>, Error> {
    let (key, kind) = (&request.key, request.action.kind());
    if holds_placeholder(&request.action) {
        return Err(Error::Placeholder { key: key.clone() });
    }
    let subjects = subjects(&request.action).map_err(|reason| Error::Configuration { key: key.clone(), reason })?;
    if let Some(subject) = missing(rights.asked, rights.cluster, kind, &subjects) {
        return Err(Error::NotAsked { key: key.clone(), kind, subject });
    }
    Ok(missing(rights.granted, rights.cluster, kind, &subjects).map(|subject| match subject.as_str() {
        "" => format!("the pipeline does not grant {kind} to the step"),
        subject => format!("the pipeline does not grant {kind} of {subject:?} to the step"),
    }))
}

/// The first subject that no permission covers; empty if there is no permission for the kind at all.
fn missing(permissions: &[ActionPermission], cluster: &str, kind: ActionKind, subjects: &[String]) -> Option<String> {
    let of_kind = || permissions.iter().filter(|permission| permission.kind == kind);
    if of_kind().next().is_none() {
        return Some(String::new());
    }
    let patterns = || of_kind().flat_map(|permission| &permission.subjects);
    let is_covered = |subject: &String| match kind {
        ActionKind::ConfigurePatroni => patterns().any(|pattern| covers_key(pattern, subject)),
        _ => patterns().any(|pattern| covers(pattern, cluster, subject)),
    };
    subjects.iter().find(|subject| !is_covered(subject)).cloned()
}

/// What an action is about, as a permission names it: names, or keys of Patroni's configuration.
fn subjects(action: &Action) -> Result<Vec<String>, String> {
    Ok(match action {
        Action::Credential(credential) => vec![credential.username.clone()],
        Action::UserList(list) => vec![list.secret_name.clone()],
        Action::PoolerAccess(access) => vec![access.schema.clone()],
        Action::ConfigurePatroni(text) => keys(text)?.into_keys().collect(),
        Action::Promote => Vec::new(),
        Action::ExpandClaim(claim) => vec![claim.claim.clone()],
        Action::ModifyVolume(volume) => vec![volume.claim.clone()],
        Action::GrowFilesystem(filesystem) => vec![filesystem.claim.clone()],
    })
}

// ------------------------------------------------------------------------------------------------------------ Patroni

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
const POWERFUL_PARAMETERS: [&str; 27] = [
    "basic_archive.archive_directory",
    "config_file",
    "data_directory",
    "extension_control_path",
    "extension_destdir",
    "external_pid_file",
    "extwlist",
    "hba_file",
    "ident_file",
    "krb_server_keyfile",
    "log_directory",
    "log_filename",
    "pljava",
    "plperl.on_init",
    "plperl.on_plperl_init",
    "plperl.on_plperlu_init",
    "pltcl.start_proc",
    "pltclu.start_proc",
    "plv8.start_proc",
    "set_user",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_crl_dir",
    "ssl_crl_file",
    "ssl_dh_params_file",
    "ssl_key_file",
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

/// Whether a pattern covers a key: the key itself, what is below it, and with a `*` what the `*` can be.
fn covers_key(pattern: &str, key: &str) -> bool {
    if holds_powerful(key) {
        return false;
    }
    if is_powerful(key) {
        if is_slot_plugin(key) {
            return pattern == key || pattern == SLOT_PLUGINS;
        }
        let is_parameter = parameter(pattern).is_some_and(|name| POWERFUL_PARAMETERS.contains(&name));
        if is_parameter && is_or_below(&key.to_ascii_lowercase(), pattern) {
            return true;
        }
        let is_same = if parameter(key).is_some() { pattern.eq_ignore_ascii_case(key) } else { pattern == key };
        return is_same || POWERFUL.contains(&pattern) && is_or_below(key, pattern);
    }
    // Every key above the given one, and itself.
    let ends = key.match_indices('.').map(|(at, _)| at).chain([key.len()]);
    ends.into_iter().any(|end| covers(pattern, "", &key[..end]))
}

fn is_or_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The keys of a configuration, joined by dots, each with its value. An empty section is a key.
fn keys(text: &str) -> Result<BTreeMap<String, Value>, String> {
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

// ---------------------------------------------------------------------------------------------------------- conflicts

/// What the actions so far want: by subject, the value and the action.
#[derive(Default)]
struct Wants(BTreeMap<(ActionKind, String), Want>);

#[derive(Clone)]
struct Want {
    value: String,
    step: String,
    key: String,
}

impl Wants {
    /// Adds what an action wants.
    ///
    /// # Errors
    /// If an earlier one wants another value.
    fn add(&mut self, requested: &RequestedAction) -> Result<(), Error> {
        let kind = requested.action.kind();
        for (subject, value) in wanted(&requested.action) {
            let want = Want { value, step: requested.step.clone(), key: requested.key.clone() };
            let place = (kind, subject);
            if let Some((subject, earlier)) = self.other(&place, &want.value) {
                return Err(conflict(kind, &subject, earlier, want));
            }
            self.0.insert(place, want);
        }
        Ok(())
    }

    /// An earlier want of another value for the same subject, for one above it or for one below it.
    fn other(&self, place: &(ActionKind, String), value: &str) -> Option<(String, Want)> {
        if let Some(earlier) = self.0.get(place) {
            return (earlier.value != value).then(|| (place.1.clone(), earlier.clone()));
        }
        if place.0 != ActionKind::ConfigurePatroni {
            return None;
        }
        let of_patroni = self.0.iter().filter(|((kind, _), _)| *kind == ActionKind::ConfigurePatroni);
        let mut related = of_patroni.filter(|((_, key), _)| is_or_below(key, &place.1) || is_or_below(&place.1, key));
        related.next().map(|((_, key), earlier)| (key.clone(), earlier.clone()))
    }
}

fn conflict(kind: ActionKind, subject: &str, earlier: Want, want: Want) -> Error {
    let what = match kind {
        ActionKind::Credential => "the role",
        ActionKind::UserList => "the Secret",
        ActionKind::PoolerAccess => "the schema",
        ActionKind::ConfigurePatroni => "the key of Patroni's configuration",
        ActionKind::Promote => "the cluster",
        ActionKind::ExpandClaim | ActionKind::ModifyVolume | ActionKind::GrowFilesystem => "the claim",
    };
    Error::Conflict(Box::new(Conflict {
        subject: format!("{what} {subject:?}"),
        earlier: earlier.step,
        earlier_key: earlier.key,
        earlier_value: earlier.value,
        step: want.step,
        key: want.key,
        value: want.value,
    }))
}

/// What an action wants of each of its subjects, for messages too.
fn wanted(action: &Action) -> Vec<(String, String)> {
    match action {
        Action::Credential(credential) => vec![(credential.username.clone(), labels(&credential.labels))],
        Action::UserList(list) => {
            vec![(list.secret_name.clone(), format!("the role {:?} with {}", list.username, labels(&list.labels)))]
        }
        Action::PoolerAccess(access) => vec![(access.schema.clone(), format!("the role {:?}", access.username))],
        Action::ConfigurePatroni(text) => {
            keys(text).unwrap_or_default().into_iter().map(|(key, value)| (key, value.to_string())).collect()
        }
        Action::Promote => Vec::new(),
        Action::ExpandClaim(claim) => vec![(claim.claim.clone(), claim.size.clone())],
        Action::ModifyVolume(volume) => vec![(
            volume.claim.clone(),
            format!(
                "size {}, iops {}, throughput {}, type {}",
                shown(volume.size.as_ref()),
                shown(volume.iops),
                shown(volume.throughput),
                shown(volume.volume_type.as_ref())
            ),
        )],
        Action::GrowFilesystem(filesystem) => {
            vec![(filesystem.claim.clone(), format!("the pod {}", filesystem.pod))]
        }
    }
}

fn labels(labels: &[(String, String)]) -> String {
    let labels: BTreeMap<&str, &str> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("the labels {}", pairs.join(","))
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unchanged".to_owned(), |value| value.to_string())
}

fn holds_placeholder(action: &Action) -> bool {
    let has = |text: &str| text.contains(placeholder::PREFIX);
    let in_labels = |labels: &[(String, String)]| labels.iter().any(|(key, value)| has(key) || has(value));
    match action {
        Action::Credential(credential) => has(&credential.username) || in_labels(&credential.labels),
        Action::UserList(list) => has(&list.secret_name) || has(&list.username) || in_labels(&list.labels),
        Action::PoolerAccess(access) => has(&access.username) || has(&access.schema),
        // In JSON a letter can be written as its number.
        Action::ConfigurePatroni(text) => {
            let parsed = json::Parser::default().parse(text);
            has(text) || parsed.is_ok_and(|value| placeholder::forged(&value).is_some())
        }
        Action::Promote => false,
        Action::ExpandClaim(claim) => has(&claim.claim) || has(&claim.size),
        Action::ModifyVolume(volume) => [Some(&volume.claim), volume.size.as_ref(), volume.volume_type.as_ref()]
            .into_iter()
            .flatten()
            .any(|text| has(text)),
        Action::GrowFilesystem(filesystem) => has(&filesystem.claim) || has(&filesystem.pod),
    }
}

#[cfg(test)]
mod tests;
