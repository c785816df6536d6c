//! The Pipeline document as the engine needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::rollout::Rollout;
use super::spec::LabelRequirement;
use crate::action::ActionKind;
use crate::placeholder::Source as Credential;
use crate::privilege::Privilege;

/// The default of `limits.memory`, in bytes: 64 MiB.
pub const DEFAULT_MEMORY: u64 = 64 << 20;
/// The largest `limits.memory`, in bytes: 512 MiB.
pub const MAX_MEMORY: u64 = 512 << 20;
/// The default of `limits.fuel`, in WebAssembly instructions: more than a hundred times what any shipped plugin takes for
/// any example and case of `tests/golden`, where a test holds it. `make bench` prints the fuel of each step.
pub const DEFAULT_FUEL: u64 = 1_000_000_000;
/// The largest `limits.fuel`.
pub const MAX_FUEL: u64 = 10_000_000_000;
/// The default of `limits.deadline`. It is long, so that the fuel of a call ends before its time also on a slow machine.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
/// The largest `limits.deadline`.
pub const MAX_DEADLINE: Duration = Duration::from_secs(10);

/// A pipeline that can be loaded: names checked, units parsed, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// `metadata.name`; `pipeline` if a file gives none.
    pub name: String,
    /// The steps in order; never empty, names unique.
    pub steps: Vec<Step>,
    /// The names of Secrets with credentials for registries, in the operator's own namespace.
    pub pull_secrets: Vec<String>,
    /// How it reaches the clusters; `None` is all at once.
    pub rollout: Option<Rollout>,
}

/// One plugin in the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The step's name in findings, conditions and errors.
    pub name: String,
    /// Where the component comes from.
    pub source: Source,
    /// The digest that the component must have; `None` if it is not checked.
    pub digest: Option<Digest>,
    /// The plugin's settings, as written in the document.
    pub config: Map<String, Value>,
    /// What the step may do.
    pub grants: Grants,
    /// What happens to a cluster if the step fails.
    pub on_failure: OnFailure,
    /// Whether pods may be restarted because the step failed and its fields are missing.
    pub allow_restarts: bool,
    /// The limits of one call.
    pub limits: Limits,
    /// Which clusters the step is for.
    pub matches: Match,
}

/// The source of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, relative to the document's folder.
    File(PathBuf),
    /// A component in a registry.
    Oci(Artifact),
}

/// A component in a registry. The engine fetches none: who loads a document does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The reference, with the digest that the document gives beside it.
    pub reference: String,
    /// The keys in the PEM format of which one must have signed it; empty if signatures are not checked.
    pub public_keys: Vec<String>,
}

/// A SHA-256 digest, as in `sha256:9f86…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// What a step may do, as far as its plugin asks for it. Nothing is granted by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The objects that it may write.
    pub objects: Vec<ObjectGrant>,
    /// The existing objects that it may read.
    pub reads: Vec<ReadGrant>,
    /// The kinds of objects that it may read as earlier steps want them.
    pub desired: BTreeSet<KindGrant>,
    /// The keys of the operator configuration that it may read.
    pub config: BTreeSet<String>,
    /// The privileges that it has.
    pub privileges: BTreeSet<Privilege>,
    /// The credentials that it may pass on.
    pub credentials: BTreeSet<Credential>,
    /// The actions that it may request.
    pub actions: Vec<ActionGrant>,
}

/// Objects of one kind that a step may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectGrant {
    /// As in `apps/v1`.
    pub api_version: String,
    /// As in `StatefulSet`.
    pub kind: String,
    /// Name patterns; never empty.
    pub names: Vec<String>,
    /// Whether it may create such objects.
    pub creates: bool,
    /// Field paths; empty means all fields of the objects that the step created.
    pub fields: Vec<String>,
    /// Field paths that it may override.
    pub overrides: Vec<String>,
    /// Field paths that it may remove.
    pub removes: Vec<String>,
}

/// Existing objects of one kind that a step may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadGrant {
    /// As in `v1`.
    pub api_version: String,
    /// As in `ConfigMap`.
    pub kind: String,
    /// `cluster`, `manifest:/pointer` or `config:KEY`.
    pub from: String,
    /// Field paths; empty means all fields but the values of variables.
    pub fields: Vec<String>,
}

/// A kind of objects that a step may read as earlier steps want them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindGrant {
    /// As in `apps/v1`.
    pub api_version: String,
    /// As in `StatefulSet`.
    pub kind: String,
}

/// Actions of one kind that a step may request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionGrant {
    /// The kind.
    pub kind: ActionKind,
    /// What the actions may be about.
    pub subjects: Vec<String>,
}

/// What happens to a cluster if a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing is written; the cluster stays as it is.
    #[default]
    Hold,
    /// The response of the step's last successful call is used again.
    KeepLast,
    /// The pipeline runs without the step.
    Ignore,
}

/// The limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together, in bytes.
    pub memory: u64,
    /// WebAssembly instructions.
    pub fuel: u64,
    /// Time on the wall clock.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: DEFAULT_MEMORY, fuel: DEFAULT_FUEL, deadline: DEFAULT_DEADLINE }
    }
}

/// Which clusters a step is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    namespaces: BTreeSet<String>,
    labels: BTreeMap<String, String>,
    expressions: Vec<LabelRequirement>,
}

impl Match {
    /// Whether the step is for a cluster of this namespace with these labels.
    #[must_use]
    pub fn covers(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.mismatch(namespace, labels).is_none()
    }

    /// The first rule that does not hold for a cluster of this namespace with these labels; `None` if the step is for it.
    #[must_use]
    pub fn mismatch(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Option<Mismatch<'_>> {
        if !self.namespaces.is_empty() && !self.namespaces.contains(namespace) {
            return Some(Mismatch::Namespace(&self.namespaces));
        }
        let label = self.labels.iter().find(|(key, value)| labels.get(*key) != Some(value));
        let expression = || self.expressions.iter().find(|requirement| !holds(requirement, labels));
        label.map(|(key, value)| Mismatch::Label(key, value)).or_else(|| expression().map(Mismatch::Expression))
    }
}

/// A rule of a [`Match`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mismatch<'a> {
    /// The cluster is in none of these namespaces.
    Namespace(&'a BTreeSet<String>),
    /// The cluster lacks the label with this value.
    Label(&'a str, &'a str),
    /// The cluster's labels do not meet the requirement.
    Expression(&'a LabelRequirement),
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespaces) => {
                let names = namespaces.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                write!(f, "match.namespaces has only {names}")
            }
            Self::Label(key, value) => write!(f, "match.selector.matchLabels wants {key}: {value}"),
            Self::Expression(LabelRequirement { key, operator, values }) => {
                write!(f, "match.selector.matchExpressions wants {key} {operator}")?;
                if values.is_empty() { Ok(()) } else { write!(f, " ({})", values.join(", ")) }
            }
        }
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

impl Digest {
    /// Parses a digest: `sha256:` and 64 hexadecimal digits, lower case.
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

mod read;
pub(super) use read::read_match;
#[cfg(test)]
mod tests;
