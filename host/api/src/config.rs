//! The operator configuration, in both forms, as one flat object of typed values.

mod check;
mod crd;
mod grammar;
mod key;
mod kubernetes;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pgloom_common::duration;
use serde_json::{Map, Value};

use crd::KIND;
pub use crd::definition;
pub use key::{Form, Key, Section, ValueType};
pub use table::KEYS;

use crate::field::member;
use crate::finding::Finding;
use crate::placeholder::{self, Credentials};
use crate::postgresql::API_VERSION;
use crate::suggest::instead;
use crate::validate::Rules;
use crate::validate::window::MaintenanceWindow;

/// The operator configuration: every key with its value, absent ones filled in.
///
/// In JSON a value is what its [`ValueType`] says: a flag, a number, a text (durations and amounts too), a list or a
/// map; an optional number that is not given is null.
#[derive(Clone)]
pub struct Config {
    values: Value,
    /// What plugins see of it. It is made once, and all decisions share it.
    shown: OnceLock<Arc<Shown>>,
    /// The same with the infrastructure roles that were read last, which are the same for all clusters.
    with_roles: Arc<Mutex<Option<Arc<Shown>>>>,
}

/// The configuration without its credentials, and the credentials.
#[derive(Debug)]
pub struct Shown {
    /// All values as one flat object, with empty credentials.
    pub values: Arc<Value>,
    /// The credentials.
    pub credentials: Credentials,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

/// A configuration that was read, and the warnings about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// A warning for each unknown key and for each key that pgloom ignores.
    pub warnings: Vec<Finding>,
}

/// The namespaces that are watched, by `watched_namespace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The namespace of the operator.
    Own,
    /// These namespaces.
    These(BTreeSet<String>),
    /// All namespaces.
    All,
}

/// The key with the names of the infrastructure roles.
const INFRASTRUCTURE_ROLES: &str = "infrastructure_roles";

impl Config {
    fn of(values: Value) -> Self {
        Self { values, shown: OnceLock::new(), with_roles: Arc::default() }
    }

    /// The configuration where there is none: every key has its default.
    #[must_use]
    pub fn defaults() -> Self {
        static DEFAULTS: OnceLock<Config> = OnceLock::new();
        DEFAULTS
            .get_or_init(|| {
                let value =
                    |key: &Key| (key.name.to_owned(), grammar::read(key.value_type, key.default).unwrap_or_default());
                Self::of(Value::Object(KEYS.iter().map(value).collect()))
            })
            .clone()
    }

    /// Reads a ConfigMap or an OperatorConfiguration. An error holds every problem, not only the first.
    pub fn read(document: &Value) -> Result<Loaded, Vec<Finding>> {
        match (document["apiVersion"].as_str(), document["kind"].as_str()) {
            (Some("v1"), Some("ConfigMap")) => Self::from_config_map(document),
            (Some(API_VERSION), Some(KIND)) => Self::from_object(document),
            _ => {
                Err(vec![Finding::error("is no operator configuration").at("kind").remedy(
                    "give a ConfigMap (apiVersion v1) or an OperatorConfiguration (apiVersion acid.zalan.do/v1)",
                )])
            }
        }
    }

    /// Reads a ConfigMap: an empty string means no value or, by [`Key::is_unset_by`], an absent key; that is [`Key::absent`].
    fn from_config_map(document: &Value) -> Result<Loaded, Vec<Finding>> {
        let mut reading = Reading::default();
        const FIELDS: [&str; 6] = ["apiVersion", "kind", "metadata", "data", "binaryData", "immutable"];
        for name in document.as_object().into_iter().flatten().map(|(name, _)| name) {
            if !FIELDS.contains(&name.as_str()) {
                let finding = Finding::error("this field does not exist").at(name.clone());
                reading.findings.push(finding.remedy(instead(name, FIELDS)));
            }
        }
        if !document["data"].is_object() && !document["data"].is_null() {
            reading
                .findings
                .push(Finding::error("expected a map").at("data").remedy("it holds the keys, each with a string"));
        }
        for (name, value) in document["data"].as_object().into_iter().flatten() {
            let path = member("data", name);
            let Some(key) = reading.known(name, &path) else { continue };
            if key.is_unset_by(Form::ConfigMap, value) {
                continue;
            }
            match value.as_str() {
                Some(text) => reading.set(key, &path, grammar::read(key.value_type, text)),
                None => reading.findings.push(
                    Finding::error("expected a string")
                        .at(path)
                        .remedy("write it in quotes, as all values of a ConfigMap"),
                ),
            }
        }
        reading.finish(Form::ConfigMap)
    }

    /// Reads an OperatorConfiguration: keys in their sections; one that is absent or empty is [`Key::absent`].
    fn from_object(document: &Value) -> Result<Loaded, Vec<Finding>> {
        let mut reading = Reading::default();
        let configuration = &document["configuration"];
        if !configuration.is_object() {
            let finding = Finding::error("is missing").at("configuration");
            return Err(vec![finding.remedy("an OperatorConfiguration holds its keys below configuration")]);
        }
        for (name, value) in configuration.as_object().into_iter().flatten() {
            let path = member("configuration", name);
            let section =
                Section::ALL.into_iter().find(|section| section.name() == Some(name) || section.was() == Some(name));
            match section {
                Some(section) => reading.section(section, value, &path),
                None => reading.typed(Section::Top, name, value, &path),
            }
        }
        reading.finish(Form::Object)
    }

    /// The same with another value of a key, or with its default; `None` if there is no such key, or the value is not of its
    /// type.
    #[must_use]
    pub fn with(&self, name: &str, value: Option<Value>) -> Option<Self> {
        let key = KEYS.iter().find(|key| key.name == name)?;
        let value = match value {
            Some(value) => grammar::typed(key.value_type, &value).ok()?,
            None => grammar::read(key.value_type, key.default).ok()?,
        };
        let mut values = self.values.clone();
        values[name] = value;
        Some(Self::of(values))
    }

    /// All values as one flat object. It holds credentials: plugins see [`Self::shown`].
    #[must_use]
    pub fn values(&self) -> &Value {
        &self.values
    }

    /// The configuration as plugins see it, and its credentials. `infrastructure_roles` is the value of the key of that
    /// name, which no document has.
    #[must_use]
    pub fn shown(&self, infrastructure_roles: &BTreeSet<&str>) -> Arc<Shown> {
        let shown = self.shown.get_or_init(|| {
            let (values, credentials) = placeholder::take_from_config(&self.values);
            Arc::new(Shown { values: Arc::new(values), credentials })
        });
        if infrastructure_roles.is_empty() {
            return Arc::clone(shown);
        }
        let mut last = self.with_roles.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |shown: &&Arc<Shown>| {
            let names = shown.values[INFRASTRUCTURE_ROLES].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).eq(infrastructure_roles.iter().copied())
        };
        if let Some(known) = last.as_ref().filter(is_same) {
            return Arc::clone(known);
        }
        let mut values = Value::clone(&shown.values);
        values[INFRASTRUCTURE_ROLES] = infrastructure_roles.iter().copied().collect();
        let shown = Arc::new(Shown { values: Arc::new(values), credentials: shown.credentials.clone() });
        *last = Some(Arc::clone(&shown));
        shown
    }

    /// The value of a boolean key.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.value(key).as_bool().unwrap_or_default()
    }

    /// The value of an integer key; `None` if it is not set.
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.value(key).as_i64()
    }

    /// The value of a string key; empty if it is not set.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.value(key).as_str().unwrap_or_default()
    }

    /// The value of a list key.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.value(key).as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The value of a map key.
    #[must_use]
    pub fn map(&self, key: &str) -> BTreeMap<&str, &str> {
        let fields = self.value(key).as_object().into_iter().flatten();
        fields.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
    }

    /// The value of a duration key.
    #[must_use]
    pub fn duration(&self, key: &str) -> Duration {
        duration::parse(self.text(key)).unwrap_or_default()
    }

    /// The namespace and the name of the object that a key refers to; the namespace is `own` if the value has none.
    /// `None` if the key is empty.
    #[must_use]
    pub fn reference(&self, key: &str, own: &str) -> Option<(String, String)> {
        grammar::reference(self.text(key))
            .map(|(namespace, name)| (namespace.unwrap_or(own).to_owned(), name.to_owned()))
    }

    /// The namespaces of `watched_namespace`.
    #[must_use]
    pub fn watched(&self) -> Watched {
        watched(self.text("watched_namespace"))
    }

    /// The maintenance windows of a cluster: `of_manifest`, or if that is empty `maintenance_windows`. Empty while
    /// `enable_maintenance_windows` is false.
    #[must_use]
    pub fn maintenance_windows(&self, of_manifest: &[MaintenanceWindow]) -> Vec<MaintenanceWindow> {
        if !self.flag("enable_maintenance_windows") {
            return Vec::new();
        }
        if !of_manifest.is_empty() {
            return of_manifest.to_vec();
        }
        // A window that cannot be parsed was refused when the configuration was read.
        self.list("maintenance_windows").into_iter().filter_map(|text| MaintenanceWindow::parse(text).ok()).collect()
    }

    /// The rules for the manifest of a new cluster.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            team_prefix: self.flag("enable_team_id_clustername_prefix"),
            maintenance_windows: self.flag("enable_maintenance_windows"),
            runs: false,
        }
    }

    fn value(&self, key: &str) -> &Value {
        debug_assert!(self.values.get(key).is_some(), "{key} is no key");
        &self.values[key]
    }
}

impl fmt::Debug for Config {
    /// Shows the keys that differ from their defaults, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defaults = Self::defaults();
        let mut map = f.debug_map();
        for key in KEYS.iter().filter(|key| self.values[key.name] != defaults.values[key.name]) {
            if key.value_type == ValueType::Credential {
                map.entry(&key.name, &"(hidden)");
            } else {
                map.entry(&key.name, &self.values[key.name]);
            }
        }
        map.finish()
    }
}

/// Parses `watched_namespace`: `*`, namespaces separated by commas, or an empty string.
fn watched(text: &str) -> Watched {
    let names: BTreeSet<_> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        Watched::Own
    } else if names.contains("*") {
        Watched::All
    } else {
        Watched::These(names)
    }
}

/// A configuration that is being read.
#[derive(Default)]
struct Reading {
    values: Map<String, Value>,
    findings: Vec<Finding>,
}

impl Reading {
    /// The key with that current or older name.
    fn known(&mut self, name: &str, path: &str) -> Option<&'static Key> {
        let keys = || KEYS.iter().filter(|key| !key.derived);
        let key = keys().find(|key| key.name == name || key.was == Some(name));
        if key.is_none() {
            let remedy = instead(name, keys().map(|key| key.name));
            let remedy = if remedy.starts_with("did you") { remedy } else { "remove it".to_owned() };
            self.findings.push(Finding::warning("this key does not exist; it is ignored").at(path).remedy(remedy));
        }
        key
    }

    fn section(&mut self, section: Section, value: &Value, path: &str) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.typed(section, name, value, &member(path, name));
                }
            }
            Value::Null => {}
            _ => {
                self.findings.push(Finding::error("expected a map").at(path).remedy("it is a section that holds keys"))
            }
        }
    }

    fn typed(&mut self, section: Section, name: &str, value: &Value, path: &str) {
        let Some(key) = self.known(name, path) else { return };
        if key.section != section {
            let finding = Finding::warning("this key belongs elsewhere; it is ignored here").at(path);
            self.findings.push(finding.remedy(format!("move it to {}", key.path())));
        } else if !value.is_null() && !key.is_unset_by(Form::Object, value) {
            self.set(key, path, grammar::typed(key.value_type, value));
        }
    }

    fn set(&mut self, key: &'static Key, path: &str, value: Result<Value, grammar::Error>) {
        match value {
            Ok(_) if self.values.contains_key(key.name) => {
                let finding = Finding::error(format!("{} is given by its older name, too", key.name)).at(path);
                self.findings.push(finding.remedy("remove one of them"));
            }
            Ok(mut value) => {
                self.findings.extend(kubernetes::check(key.value_type, &mut value, path));
                self.values.insert(key.name.to_owned(), value);
            }
            // What changes nothing is refused for nothing.
            Err(_) if !key.honoured => self.findings.push(not_honoured(path)),
            Err(error) if key.is_default_if_wrong() => {
                let finding = Finding::warning(format!("{}; {} is used", error.message, key.default)).at(path);
                self.findings.push(finding.remedy(error.remedy));
            }
            Err(error) => self.findings.push(Finding::error(error.message).at(path).remedy(error.remedy)),
        }
    }

    fn finish(self, form: Form) -> Result<Loaded, Vec<Finding>> {
        let Self { values, mut findings } = self;
        let mut config = Config::of(Config::defaults().values);
        for key in KEYS.iter().filter(|key| key.absent(form) != key.default) {
            config.values[key.name] = grammar::read(key.value_type, key.absent(form)).unwrap_or_default();
        }
        for key in KEYS.iter().filter(|key| !key.honoured) {
            if values.get(key.name).is_some_and(|value| *value != config.values[key.name]) {
                findings.push(not_honoured(key.name));
            }
        }
        if let Value::Object(all) = &mut config.values {
            all.extend(values);
        }
        findings.extend(check::findings(&config));
        if findings.iter().any(Finding::is_error) { Err(findings) } else { Ok(Loaded { config, warnings: findings }) }
    }
}

fn not_honoured(place: &str) -> Finding {
    Finding::warning("pgloom does not honour this key").at(place).remedy("remove it, or know that it changes nothing")
}

impl Default for Config {
    fn default() -> Self {
        Self::defaults()
    }
}

#[cfg(test)]
mod tests;
