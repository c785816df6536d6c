//! Checks a manifest against the rules of the host: schema, identity, roles and databases, aliases.
//!
//! What a feature requires of its fields is a rule of the feature's plugin. Every finding is reported, not only the
//! first. All later code reads a [`Validated`] manifest, never the raw one.

mod alias;
mod database;
mod name;
mod rules;
pub mod window;

use std::collections::BTreeMap;
use std::fmt;

use pgloom_common::role::Attributes;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

pub use rules::Rules;

use crate::finding::{Finding, Severity};
use crate::placeholder;
use crate::postgresql::{API_VERSION, Authority, KIND, PostgresqlSpec, PreparedDatabase, object_schema};
use crate::schema::{self, Fault, Rule};
use window::MaintenanceWindow;

/// The namespace of a manifest without one, as with kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// A manifest that obeys every rule of the host. Only [`validate`] creates one.
#[derive(Clone)]
pub struct Validated {
    cluster: Cluster,
    object: Value,
    warnings: Vec<Finding>,
}

/// The fields of a manifest that the host reads. Plugins read the object.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `default` if a file names none.
    pub namespace: String,
    /// `spec.teamId`.
    pub team: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, without kubectl's copy of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// `spec.users`: attributes by name, names that the operator reserves included.
    pub users: BTreeMap<String, Attributes>,
    /// `spec.databases`: owners by name, names that SQL would have to quote included.
    pub databases: BTreeMap<String, String>,
    /// `spec.preparedDatabases` with its defaults filled in; empty if the section is missing.
    pub prepared_databases: BTreeMap<String, PreparedDatabase>,
    /// `spec.maintenanceWindows`; empty means those of the operator configuration.
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// Whether the cluster follows another one: then its roles and databases are those of the source.
    pub standby: bool,
    /// The fields about the rotation of passwords.
    pub rotation: UserRotation,
    /// Where the certificate of the authority is kept that signs the database's own, if the manifest names one.
    pub authority: Option<Authority>,
}

/// The roles that a manifest names for the rotation of passwords.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserRotation {
    /// `spec.usersWithSecretRotation`.
    pub with_role: Vec<String>,
    /// `spec.usersWithInPlaceSecretRotation`.
    pub in_place: Vec<String>,
    /// `spec.usersIgnoringSecretRotation`.
    pub ignoring: Vec<String>,
}

impl Validated {
    /// The fields that the host reads.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The object for plugins: `apiVersion`, `kind`, `metadata` (name, namespace, uid, labels, annotations) and `spec`
    /// as written, without nulls. It holds credentials: [`crate::placeholder`] takes them out.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// Findings that do not refuse the manifest.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }
}

impl fmt::Debug for Validated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validated")
            .field("cluster", &self.cluster)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Checks a manifest.
///
/// # Errors
/// All findings, warnings included, if one of them is an error.
pub fn validate(object: &Value, rules: &Rules) -> Result<Validated, Vec<Finding>> {
    let findings = kind_findings(object);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut object = object.clone();
    let mut findings = structure(&mut object, rules);
    if let Some(path) = placeholder::forged(&object) {
        findings.push(placeholder::forgery().at(path).remedy("write another value"));
    }
    let name = text(&object["metadata"]["name"]);
    let spec = &object["spec"];
    if let Some(team) = spec["teamId"].as_str().filter(|_| !name.is_empty()) {
        let finding = name::check(&name, team, rules.team_prefix);
        findings.extend(finding.or_else(|| name::check_team(team)));
    }
    alias::check(spec, &mut findings);
    let maintenance_windows = windows(spec, rules, &mut findings);
    let users = database::users(spec, &mut findings);
    let prepared_databases = database::prepared(spec, &name, &mut findings);
    database::check_databases(spec, &mut findings);
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    let typed = PostgresqlSpec::deserialize(spec)
        .map_err(|error| vec![Finding::error(format!("cannot be read: {error}")).at("spec")])?;
    keep_what_plugins_see(&mut object, &typed);
    let cluster = Cluster {
        namespace: text(&object["metadata"]["namespace"]),
        labels: texts(&object["metadata"]["labels"]),
        annotations: texts(&object["metadata"]["annotations"]),
        team: typed.team_id,
        databases: typed.databases,
        standby: typed.standby.is_some(),
        authority: typed.tls.and_then(|tls| tls.authority()),
        rotation: UserRotation {
            with_role: typed.users_with_secret_rotation,
            in_place: typed.users_with_in_place_secret_rotation,
            ignoring: typed.users_ignoring_secret_rotation,
        },
        name,
        users,
        prepared_databases,
        maintenance_windows,
    };
    Ok(Validated { cluster, object, warnings: findings })
}

fn kind_findings(object: &Value) -> Vec<Finding> {
    if !object.is_object() {
        return vec![
            Finding::error("is not a Kubernetes object").remedy("start it with apiVersion, kind, metadata and spec"),
        ];
    }
    let mut findings = Vec::new();
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let finding = match &object[field] {
            Value::String(found) if found == expected => continue,
            Value::String(found) => Finding::error(format!("is {found:?}, not {expected}")).at(field),
            _ => Finding::error("is missing").at(field),
        };
        findings.push(finding.remedy(format!("write {field}: {expected}")));
    }
    findings
}

/// Checks against the schema, without the patterns that [`windows`] and [`database`] check with better messages.
fn structure(object: &mut Value, rules: &Rules) -> Vec<Finding> {
    let finding = |fault: Fault| match fault.rule {
        // Its pods were made before, and stay as they are.
        Rule::Choice if rules.runs => Finding { severity: Severity::Warning, ..fault.finding },
        _ => fault.finding,
    };
    let faults = schema::check(object_schema(), object, "");
    let mut findings: Vec<_> = faults.into_iter().filter(|fault| !is_explained(fault)).map(finding).collect();
    if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        findings.push(Finding::error("is missing").at("metadata.name").remedy("add it, as in acid-minimal-cluster"));
    }
    findings
}

fn is_explained(fault: &Fault) -> bool {
    const EXPLAINED: [&str; 3] = ["spec.users.", "spec.users[", "spec.maintenanceWindows["];
    let path = fault.finding.path.as_deref().unwrap_or_default();
    fault.rule == Rule::Form && EXPLAINED.iter().any(|start| path.starts_with(start))
}

fn windows(spec: &Value, rules: &Rules, findings: &mut Vec<Finding>) -> Vec<MaintenanceWindow> {
    const PATH: &str = "spec.maintenanceWindows";
    let texts = spec["maintenanceWindows"].as_array().into_iter().flatten().map(Value::as_str);
    let mut windows = Vec::new();
    for (index, text) in texts.enumerate().filter_map(|(index, text)| Some((index, text?))) {
        match MaintenanceWindow::parse(text) {
            Ok(window) => windows.push(window),
            Err(error) => {
                let finding = Finding::error(error.to_string()).at(format!("{PATH}[{index}]"));
                findings.push(finding.remedy(format!("write {text:?} as in 01:00-06:00 or Sat:00:00-04:00, in UTC")));
            }
        }
    }
    if spec["maintenanceWindows"].as_array().is_some_and(|list| !list.is_empty()) && !rules.maintenance_windows {
        let message = "has no effect: enable_maintenance_windows of the operator configuration is off";
        findings.push(Finding::warning(message).at(PATH).remedy("switch it on, or remove the field"));
    }
    windows
}

/// Removes from the object what plugins do not see, so that it cannot change their responses.
fn keep_what_plugins_see(object: &mut Value, spec: &PostgresqlSpec) {
    let mut metadata = Map::new();
    for key in ["name", "namespace", "uid", "labels", "annotations"] {
        if let Some(value) = object["metadata"].get(key) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    metadata.entry("namespace").or_insert_with(|| json!(DEFAULT_NAMESPACE));
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        // kubectl's copy of the manifest, credentials included.
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let mut users = object["spec"]["users"].take();
    for (name, flags) in &spec.users {
        if flags.is_none() {
            users[name] = json!([]);
        }
    }
    let mut spec = object["spec"].take();
    if let Value::Object(fields) = &mut spec {
        fields.remove("users");
        if users.is_object() {
            fields.insert("users".to_owned(), users);
        }
    }
    // Moved, not by `json!`, which copies.
    let fields =
        [("apiVersion", API_VERSION.into()), ("kind", KIND.into()), ("metadata", metadata.into()), ("spec", spec)];
    *object = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The members of a map; empty if the value is not a map.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests;
