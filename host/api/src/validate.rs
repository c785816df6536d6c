//! A manifest checked against every rule that can be checked without looking at anything else.
//!
//! After this nobody reads the raw spec of an object that was not [`Validated`]. All problems are reported, not the first.

mod container;
pub mod cron;
mod database;
mod name;
mod resource;
pub mod role;
mod rules;
mod source;
mod spelling;
mod volume;
pub mod window;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

pub use rules::Rules;

use crate::postgresql::{API_VERSION, KIND, PostgresqlSpec, PreparedDatabase, object_schema};
use crate::problem::{Problem, nearest};
use crate::schema::{self, Fault, Rule};
use crate::seal;
use role::Flag;
use window::MaintenanceWindow;

/// The namespace of a manifest that names none, as kubectl has it.
const DEFAULT_NAMESPACE: &str = "default";

/// A manifest that keeps every rule. Only [`validate`] makes one.
#[derive(Clone)]
pub struct Validated {
    cluster: Cluster,
    object: Value,
    warnings: Vec<Problem>,
}

/// What the host itself needs to know of a manifest; features read the object.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`; absent in a file.
    pub uid: Option<String>,
    /// `metadata.generation`; absent in a file.
    pub generation: Option<i64>,
    /// `spec.teamId`.
    pub team: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, without kubectl's copy of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// `spec.numberOfInstances` as written.
    pub instances: i32,
    /// `spec.postgresql.version`.
    pub version: String,
    /// The manifest's roles and their normalised options; protected and system roles are left out.
    pub users: BTreeMap<String, Vec<Flag>>,
    /// The manifest's databases and their owners; names that SQL would have to quote are left out.
    pub databases: BTreeMap<String, String>,
    /// The prepared databases with their schemas, `data` where none is given.
    pub prepared_databases: BTreeMap<String, PreparedDatabase>,
    /// When the operator may disturb the cluster; empty means what the operator configuration says.
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// The cluster that this one starts as a copy of.
    pub clone_of: Option<String>,
    /// Whether it follows another cluster: then it has no roles and databases of its own to keep.
    pub standby: bool,
    /// Whether the leader has a pooler.
    pub pooler: bool,
    /// Whether the replicas have a pooler.
    pub replica_pooler: bool,
}

impl Validated {
    /// What the host needs to know.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The object that plugins see: `apiVersion`, `kind`, `metadata` (name, namespace, uid, labels, annotations) and `spec` as
    /// written, without nulls. Credentials are in it: seal it before it goes anywhere.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// What the user should know though the manifest is used.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
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

/// Checks a manifest. What cannot be used is refused with all its problems, warnings among them.
pub fn validate(object: &Value, rules: &Rules) -> Result<Validated, Vec<Problem>> {
    let problems = kind_problems(object);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut object = object.clone();
    spelling::settle_volume_sources(&mut object);
    let mut problems = structure(&mut object);
    if let Some(path) = seal::forged(&object) {
        let problem = Problem::error(path, format!("{} is the operator's own mark for credentials", seal::PREFIX));
        problems.push(problem.remedy("write something else"));
    }
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default().to_owned();
    let spec = object["spec"].clone();
    if let Some(team) = spec["teamId"].as_str().filter(|_| !name.is_empty()) {
        let problem = name::check(&name, team, rules.team_prefix);
        problems.extend(problem.or_else(|| name::check_team(team)));
    }
    source::check(&spec, &name, &mut problems);
    let maintenance_windows = windows(&spec, &mut problems);
    spelling::check(&spec, &mut problems);
    let users = database::users(&spec, rules, &mut problems);
    let prepared_databases = database::prepared(&spec, &name, &mut problems);
    let databases = database::databases(&spec, &users, &prepared_databases, rules, &mut problems);
    resource::check(&spec, &mut problems);
    container::check(&spec, &mut problems);
    volume::check(&spec, &mut problems);
    schedule(&spec, &mut problems);
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let typed: PostgresqlSpec = serde_json::from_value(spec)
        .map_err(|error| vec![Problem::error("spec", format!("cannot be read: {error}"))])?;
    let metadata = metadata.clone();
    tidy(&mut object, &typed);
    let pooler = typed.connection_pooler.is_some() || typed.connection_pool.is_some();
    let cluster = Cluster {
        namespace: text(&object["metadata"]["namespace"]),
        uid: metadata["uid"].as_str().map(str::to_owned),
        generation: metadata["generation"].as_i64(),
        labels: texts(&object["metadata"]["labels"]),
        annotations: texts(&object["metadata"]["annotations"]),
        team: typed.team_id,
        instances: typed.number_of_instances,
        version: typed.postgresql.version,
        clone_of: typed.clone.map(|clone| clone.cluster).filter(|cluster| !cluster.is_empty()),
        standby: typed.standby.is_some(),
        pooler: typed.enable_connection_pooler.or(typed.enable_connection_pool).unwrap_or(pooler),
        replica_pooler: typed.enable_replica_connection_pooler.unwrap_or(false),
        name,
        users,
        databases,
        prepared_databases,
        maintenance_windows,
    };
    Ok(Validated { cluster, object, warnings: problems })
}

fn kind_problems(object: &Value) -> Vec<Problem> {
    if !object.is_object() {
        return vec![
            Problem::error("", "is not a Kubernetes object")
                .remedy("start it with apiVersion, kind, metadata and spec"),
        ];
    }
    let mut problems = Vec::new();
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let problem = match &object[field] {
            Value::String(found) if found == expected => continue,
            Value::String(found) => Problem::error(field, format!("is {found:?}, not {expected}")),
            _ => Problem::error(field, "is missing"),
        };
        problems.push(problem.remedy(format!("write {field}: {expected}")));
    }
    problems
}

/// What the schema says; rules that have words of their own below are left to these.
fn structure(object: &mut Value) -> Vec<Problem> {
    let faults = schema::check(object_schema(), object, "");
    let mut problems: Vec<_> =
        faults.into_iter().filter(|fault| !explained(fault)).map(|fault| fault.problem).collect();
    if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        problems.push(Problem::error("metadata.name", "is missing").remedy("add it, as in acid-minimal-cluster"));
    }
    problems
}

fn explained(fault: &Fault) -> bool {
    let path = fault.problem.path.as_str();
    let last = path.rsplit('.').next().unwrap_or_default();
    match fault.rule {
        Rule::Form => {
            let amount = matches!(last, "cpu" | "memory" | "size" | "hugepages-2Mi" | "hugepages-1Gi");
            amount && !path.starts_with("spec.streams")
                || ["spec.users.", "spec.users[", "spec.maintenanceWindows[", "spec.clone.timestamp"]
                    .iter()
                    .any(|start| path.starts_with(start))
        }
        Rule::Required => {
            let containers = ["spec.sidecars[", "spec.initContainers[", "spec.init_containers["];
            matches!(last, "name" | "image")
                && path.matches('.').count() == 2
                && containers.iter().any(|start| path.starts_with(start))
        }
        Rule::Known | Rule::Type => false,
    }
}

fn windows(spec: &Value, problems: &mut Vec<Problem>) -> Vec<MaintenanceWindow> {
    let mut windows = Vec::new();
    for (index, text) in
        entries(&spec["maintenanceWindows"]).filter_map(|(index, value)| Some((index, value.as_str()?)))
    {
        match MaintenanceWindow::parse(text) {
            Ok(window) => windows.push(window),
            Err(error) => {
                let problem = Problem::error(format!("spec.maintenanceWindows[{index}]"), error.to_string());
                problems
                    .push(problem.remedy(format!("{text:?} has to read as in 01:00-06:00 or Sat:00:00-04:00, in UTC")));
            }
        }
    }
    windows
}

fn schedule(spec: &Value, problems: &mut Vec<Problem>) {
    if let Some(schedule) = spec["logicalBackupSchedule"].as_str().filter(|schedule| !schedule.is_empty())
        && let Err(error) = cron::check(schedule)
    {
        let problem = Problem::error("spec.logicalBackupSchedule", error.to_string());
        problems.push(problem.remedy("write five fields, as in 30 00 * * *"));
    }
}

/// Leaves in the object what plugins see, so that what they do not see cannot change what they want.
fn tidy(object: &mut Value, spec: &PostgresqlSpec) {
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
    *object = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec});
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The entries of a list with their places; nothing if it is no list.
fn entries(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate()
}

/// The members of a map; nothing if it is no map.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A text of a field that is neither missing nor empty.
fn filled<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value[field].as_str().filter(|text| !text.is_empty())
}

/// The remedy for a name that nobody defines.
fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(name, known).map_or_else(|| otherwise.to_owned(), |near| format!("did you mean {near}?"))
}

#[cfg(test)]
mod tests;
