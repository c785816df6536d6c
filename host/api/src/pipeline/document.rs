//! The Pipeline document as the engine needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use kube::CustomResourceExt;
use pgloom_common::quantity::Quantity;
use serde_json::{Map, Value};

use super::spec::{KindPathsSpec, LabelRequirement, MatchSpec, OnFailureSpec, Pipeline, SourceSpec, StepSpec};
use crate::problem::{Problem, entry, member};
use crate::{duration, schema};

/// Memory of one call where the document says nothing.
pub const DEFAULT_MEMORY: u64 = 64 << 20;
/// Time of one call where the document says nothing.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(1);

/// A pipeline that can be loaded: names checked, units parsed, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// `metadata.name`; `pipeline` if a file gives none.
    pub name: String,
    /// The steps in order; never empty, names unique.
    pub steps: Vec<Step>,
}

/// One plugin in the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What findings, conditions and errors call the step.
    pub name: String,
    /// Where the component comes from.
    pub source: Source,
    /// What the component's bytes have to hash to.
    pub digest: Option<Digest>,
    /// The plugin's own settings, as typed.
    pub config: Map<String, Value>,
    /// What the step may do.
    pub grants: Grants,
    /// What happens to a cluster if the step fails.
    pub on_failure: OnFailure,
    /// What one call may use.
    pub limits: Limits,
    /// Which clusters the step is for.
    pub matches: Match,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, relative to the document's folder.
    File(PathBuf),
    /// An artifact in a registry.
    Oci {
        /// Name and tag.
        reference: String,
        /// The digest of the artifact's manifest.
        digest: Digest,
    },
}

/// A SHA-256 digest, as in `sha256:9f86…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// What a step may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The fields that it may write; nothing means what the plugin claims.
    pub writes: Option<Vec<WriteGrant>>,
    /// The fields that it may set against an earlier step.
    pub overrides: Vec<KindPaths>,
    /// The fields and entries that it may take out again.
    pub removes: Vec<KindPaths>,
    /// The actions that it may ask for; nothing means what the plugin names.
    pub actions: Option<BTreeSet<Action>>,
    /// Which Secrets it may read.
    pub secrets: SecretsGrant,
}

/// Fields of one kind that a step may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteGrant {
    /// As in `apps/v1`.
    pub api_version: String,
    /// As in `StatefulSet`.
    pub kind: String,
    /// Field paths; empty means all.
    pub paths: Vec<String>,
    /// Whether it may add objects of the kind.
    pub creates: bool,
}

/// Fields of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindPaths {
    /// As in `apps/v1`.
    pub api_version: String,
    /// As in `StatefulSet`.
    pub kind: String,
    /// Field paths; never empty.
    pub paths: Vec<String>,
}

/// The catalogue of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the contract describes each")]
pub enum Action {
    Credential,
    UserList,
    PoolerAccess,
    ConfigurePatroni,
    Promote,
    ExpandClaim,
    ModifyVolume,
    GrowFilesystem,
}

/// Which Secrets a step may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretsGrant {
    /// None: it sees hashes.
    #[default]
    None,
    /// All that it observes.
    All,
    /// Those of the selectors with these ids.
    Selectors(BTreeSet<String>),
}

/// What happens to a cluster if a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing is written; the cluster stays as it is.
    #[default]
    Hold,
    /// What the step wanted when it last succeeded is used again.
    KeepLast,
    /// The cluster is made without the step.
    Ignore,
}

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: u64,
    /// Time on the wall clock.
    pub deadline: Duration,
}

/// Which clusters a step is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    namespaces: BTreeSet<String>,
    labels: BTreeMap<String, String>,
    expressions: Vec<LabelRequirement>,
}

impl Document {
    /// Reads a Pipeline, a file's or an object's, and names all that is wrong with it.
    pub fn read(document: &Value) -> Result<Self, Vec<Problem>> {
        let mut document = document.clone();
        let mut problems = kind_problems(&document);
        if problems.is_empty() {
            problems = schema::check(schema(), &mut document, "").into_iter().map(|fault| fault.problem).collect();
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        // The schema has accepted it: what serde still refuses is a slip of ours, said in its words.
        let pipeline: Pipeline =
            serde_json::from_value(with_name(document)).map_err(|error| vec![Problem::error("", error.to_string())])?;
        let name = pipeline.metadata.name.unwrap_or_default();
        let mut steps = Vec::new();
        for (index, step) in pipeline.spec.steps.into_iter().enumerate() {
            let path = entry("spec.steps", index);
            if steps.iter().any(|earlier: &Step| earlier.name == step.name) {
                let message = format!("{:?} is the name of an earlier step", step.name);
                problems
                    .push(Problem::error(member(&path, "name"), message).remedy("give each step a name of its own"));
            }
            steps.extend(read_step(step, &path, &mut problems));
        }
        if problems.is_empty() { Ok(Self { name, steps }) } else { Err(problems) }
    }
}

/// The schema of a whole Pipeline object.
fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| schema::finished(Pipeline::crd()).map(schema::object_schema).unwrap_or_default())
}

fn kind_problems(document: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, expected) in [("apiVersion", "pgloom.dev/v1alpha1"), ("kind", "Pipeline")] {
        if document[field] != expected {
            problems
                .push(Problem::error(field, format!("is not {expected}")).remedy(format!("write {field}: {expected}")));
        }
    }
    problems
}

fn with_name(mut document: Value) -> Value {
    if document.pointer("/metadata/name").is_none() {
        document["metadata"] = serde_json::json!({"name": "pipeline"});
    }
    document
}

fn read_step(step: StepSpec, path: &str, problems: &mut Vec<Problem>) -> Option<Step> {
    let source = read_source(step.source, &member(path, "source"), problems);
    let limits = step.limits.unwrap_or_default();
    let memory = limits
        .memory
        .map_or(Some(DEFAULT_MEMORY), |text| read_memory(&text, &format!("{path}.limits.memory"), problems));
    let deadline = limits
        .deadline
        .map_or(Some(DEFAULT_DEADLINE), |text| read_deadline(&text, &format!("{path}.limits.deadline"), problems));
    let grants = step.grants.unwrap_or_default();
    let secrets = read_secrets(grants.secrets.as_ref(), &format!("{path}.grants.secrets"), problems);
    let matches = read_match(step.matches.unwrap_or_default(), &member(path, "match"), problems);
    Some(Step {
        name: step.name,
        source: source?,
        digest: step.digest.map(Digest),
        config: step.config,
        grants: Grants {
            writes: grants.writes.map(|writes| {
                let grant = |write: super::WriteGrantSpec| WriteGrant {
                    api_version: write.api_version,
                    kind: write.kind,
                    paths: write.paths,
                    creates: write.creates,
                };
                writes.into_iter().map(grant).collect()
            }),
            overrides: grants.overrides.into_iter().map(KindPaths::from).collect(),
            removes: grants.removes.into_iter().map(KindPaths::from).collect(),
            actions: grants.actions.map(|names| names.iter().filter_map(|name| Action::from_name(name)).collect()),
            secrets: secrets?,
        },
        on_failure: match step.on_failure {
            None | Some(OnFailureSpec::Hold) => OnFailure::Hold,
            Some(OnFailureSpec::KeepLast) => OnFailure::KeepLast,
            Some(OnFailureSpec::Ignore) => OnFailure::Ignore,
        },
        limits: Limits { memory: memory?, deadline: deadline? },
        matches: matches?,
    })
}

fn read_source(source: SourceSpec, path: &str, problems: &mut Vec<Problem>) -> Option<Source> {
    match (source.file, source.oci, source.digest) {
        (Some(file), None, None) => Some(Source::File(file.into())),
        (None, Some(reference), Some(digest)) => Some(Source::Oci { reference, digest: Digest(digest) }),
        (Some(_), None, Some(_)) => {
            let problem = Problem::error(member(path, "digest"), "belongs to oci");
            problems.push(problem.remedy("pin a file with the step's own digest, beside source"));
            None
        }
        (None, Some(_), None) => {
            let problem = Problem::error(member(path, "digest"), "is missing");
            problems.push(problem.remedy("a tag can move; give the digest of the artifact's manifest"));
            None
        }
        _ => {
            problems.push(
                Problem::error(path, "names not exactly one source").remedy("give either file, or oci with digest"),
            );
            None
        }
    }
}

fn read_memory(text: &str, path: &str, problems: &mut Vec<Problem>) -> Option<u64> {
    match Quantity::parse(text) {
        Ok(size) if size >= Quantity::binary(64 << 10) => u64::try_from(size.units()).ok(),
        Ok(_) => {
            problems.push(
                Problem::error(path, format!("{text:?} is less than one page of memory"))
                    .remedy("give at least 64Ki, as in 64Mi"),
            );
            None
        }
        Err(error) => {
            problems.push(Problem::error(path, error.to_string()));
            None
        }
    }
}

fn read_deadline(text: &str, path: &str, problems: &mut Vec<Problem>) -> Option<Duration> {
    match duration::parse(text) {
        Ok(deadline) if !deadline.is_zero() => Some(deadline),
        Ok(_) => {
            problems.push(Problem::error(path, "is zero").remedy("give the calls some time, as in 1s"));
            None
        }
        Err(error) => {
            problems.push(Problem::error(path, error.to_string()));
            None
        }
    }
}

fn read_secrets(value: Option<&Value>, path: &str, problems: &mut Vec<Problem>) -> Option<SecretsGrant> {
    let ids =
        |entries: &[Value]| entries.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<BTreeSet<_>>>();
    match value {
        None | Some(Value::Bool(false)) => Some(SecretsGrant::None),
        Some(Value::Bool(true)) => Some(SecretsGrant::All),
        Some(Value::Array(entries)) if ids(entries).is_some() => ids(entries).map(SecretsGrant::Selectors),
        Some(_) => {
            problems.push(
                Problem::error(path, "is neither true, false, nor a list of ids")
                    .remedy("name the plugin's selectors, as in [tls]"),
            );
            None
        }
    }
}

fn read_match(matches: MatchSpec, path: &str, problems: &mut Vec<Problem>) -> Option<Match> {
    let selector = matches.selector.unwrap_or_default();
    let before = problems.len();
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let needs_values = matches!(requirement.operator.as_str(), "In" | "NotIn");
        if needs_values == requirement.values.is_empty() {
            let message =
                if needs_values { "has no values to compare with" } else { "compares with nothing, but has values" };
            let path = entry(&format!("{path}.selector.matchExpressions"), index);
            problems.push(
                Problem::error(path, message).remedy("In and NotIn have values, Exists and DoesNotExist have none"),
            );
        }
    }
    (problems.len() == before).then(|| Match {
        namespaces: matches.namespaces.into_iter().collect(),
        labels: selector.match_labels,
        expressions: selector.match_expressions,
    })
}

impl Match {
    /// Whether the step is for a cluster of this namespace with these labels.
    #[must_use]
    pub fn covers(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(namespace))
            && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|requirement| holds(requirement, labels))
    }
}

fn holds(requirement: &LabelRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.contains(value));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        _ => value.is_none(),
    }
}

impl Action {
    /// Every action, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::Credential,
        Self::UserList,
        Self::PoolerAccess,
        Self::ConfigurePatroni,
        Self::Promote,
        Self::ExpandClaim,
        Self::ModifyVolume,
        Self::GrowFilesystem,
    ];

    /// The contract's name, as in `expand-claim`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::UserList => "user-list",
            Self::PoolerAccess => "pooler-access",
            Self::ConfigurePatroni => "configure-patroni",
            Self::Promote => "promote",
            Self::ExpandClaim => "expand-claim",
            Self::ModifyVolume => "modify-volume",
            Self::GrowFilesystem => "grow-filesystem",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl Digest {
    /// The digest if the text is one: `sha256:` and 64 hexadecimal digits, lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (digits.len() == 64 && hexadecimal).then(|| Self(text.to_owned()))
    }

    /// The text, `sha256:` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<KindPathsSpec> for KindPaths {
    fn from(spec: KindPathsSpec) -> Self {
        Self { api_version: spec.api_version, kind: spec.kind, paths: spec.paths }
    }
}

#[cfg(test)]
mod tests;
