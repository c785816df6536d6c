//! Reads a Pipeline document and reports every problem of it.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use pgloom_common::duration;
use pgloom_common::name::{is_dns1123_label, is_label_key, is_label_value};
use pgloom_common::quantity::Quantity;
use serde_json::Value;

use super::super::rollout::read_rollout;
use super::super::spec::{
    ActionGrantSpec, GrantsSpec, KindGrantSpec, LimitsSpec, MatchSpec, ObjectGrantSpec, OnFailureSpec, Pipeline,
    PipelineSpec, ReadGrantSpec, SourceSpec, StepSpec,
};
use super::{
    ActionGrant, Artifact, DEFAULT_DEADLINE, DEFAULT_FUEL, DEFAULT_MEMORY, Digest, Document, Grants, KindGrant, Limits,
    MAX_DEADLINE, MAX_MEMORY, Match, ObjectGrant, OnFailure, ReadGrant, Source, Step,
};
use crate::action::ActionKind;
use crate::config::KEYS;
use crate::field::{entry, member};
use crate::finding::Finding;
use crate::placeholder::Source as Credential;
use crate::privilege::Privilege;
use crate::schema;
use crate::suggest::{self, LABEL};

impl Document {
    /// Reads a Pipeline, from a file or from an object. An error holds every problem, not only the first.
    pub fn read(document: &Value) -> Result<Self, Vec<Finding>> {
        let mut document = document.clone();
        let mut findings = kind_findings(&document);
        if findings.is_empty() {
            findings = former_grants(&mut document);
            let faults = schema::check(schema(), &mut document, "");
            findings.extend(faults.into_iter().map(|fault| fault.finding));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        // The schema has accepted the document, so an error of serde is a bug in this crate. It is reported as it is.
        let pipeline: Pipeline =
            serde_json::from_value(with_name(document)).map_err(|error| vec![Finding::error(error.to_string())])?;
        let name = pipeline.metadata.name.unwrap_or_default();
        let mut steps = Vec::new();
        for (index, step) in pipeline.spec.steps.into_iter().enumerate() {
            let path = entry("spec.steps", index);
            if steps.iter().any(|earlier: &Step| earlier.name == step.name) {
                let message = format!("{:?} is the name of an earlier step", step.name);
                findings
                    .push(Finding::error(message).at(member(&path, "name")).remedy("give each step a name of its own"));
            }
            steps.extend(read_step(step, &path, &mut findings));
        }
        let pull_secrets = pipeline.spec.image_pull_secrets.into_iter().map(|secret| secret.name).collect();
        let rollout = pipeline.spec.rollout.and_then(|rollout| read_rollout(rollout, &mut findings));
        if findings.is_empty() { Ok(Self { name, steps, pull_secrets, rollout }) } else { Err(findings) }
    }
}

/// The schema of a whole Pipeline object.
fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(schema::object_schema::<PipelineSpec>)
}

fn kind_findings(document: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (field, expected) in [("apiVersion", "pgloom.dev/v1alpha1"), ("kind", "Pipeline")] {
        if document[field] != expected {
            findings.push(
                Finding::error(format!("is not {expected}")).at(field).remedy(format!("write {field}: {expected}")),
            );
        }
    }
    findings
}

fn with_name(mut document: Value) -> Value {
    if document.pointer("/metadata/name").is_none() {
        document["metadata"] = serde_json::json!({"name": "pipeline"});
    }
    document
}

fn read_step(step: StepSpec, path: &str, findings: &mut Vec<Finding>) -> Option<Step> {
    let source = read_source(step.source, &member(path, "source"), findings);
    let limits = read_limits(step.limits.unwrap_or_default(), &member(path, "limits"), findings);
    let grants = read_grants(step.grants.unwrap_or_default(), &member(path, "grants"), findings);
    let matches = read_match(step.matches.unwrap_or_default(), &member(path, "match"), findings);
    Some(Step {
        name: step.name,
        source: source?,
        digest: step.digest.map(Digest),
        config: step.config,
        grants,
        on_failure: match step.on_failure {
            None | Some(OnFailureSpec::Hold) => OnFailure::Hold,
            Some(OnFailureSpec::KeepLast) => OnFailure::KeepLast,
            Some(OnFailureSpec::Ignore) => OnFailure::Ignore,
        },
        allow_restarts: step.allow_restarts,
        limits: limits?,
        matches: matches?,
    })
}

fn read_source(source: SourceSpec, path: &str, findings: &mut Vec<Finding>) -> Option<Source> {
    let SourceSpec { file, oci, digest, public_keys } = source;
    let belongs_to_oci = |field: &str| {
        Finding::error("belongs to oci").at(member(path, field)).remedy("pin a file by the digest of the step")
    };
    let finding = match (file, oci, digest) {
        (Some(_), Some(_), _) => {
            Finding::error("a step has one component").at(member(path, "oci")).remedy("give either file or oci")
        }
        (None, Some(oci), digest) => match with_digest(oci, digest) {
            Ok(reference) => return Some(Source::Oci(Artifact { reference, public_keys })),
            Err(message) => Finding::error(message).at(member(path, "digest")).remedy("give one of them"),
        },
        (_, None, Some(_)) => belongs_to_oci("digest"),
        (_, None, None) if !public_keys.is_empty() => belongs_to_oci("publicKeys"),
        (Some(file), None, None) => return Some(Source::File(file.into())),
        (None, None, None) => {
            let remedy = "give file, as in tls.wasm, or oci, as in ghcr.io/example/tls:0.1.0";
            Finding::error("the component is missing").at(path).remedy(remedy)
        }
    };
    findings.push(finding);
    None
}

/// The reference with the digest beside it.
fn with_digest(oci: String, digest: Option<String>) -> Result<String, &'static str> {
    match (oci.split_once('@'), digest) {
        (_, None) => Ok(oci),
        (None, Some(digest)) => Ok(format!("{oci}@{digest}")),
        (Some((_, own)), Some(digest)) if own == digest => Ok(oci),
        (Some(_), Some(_)) => Err("is not the digest in oci"),
    }
}

fn read_limits(limits: LimitsSpec, path: &str, findings: &mut Vec<Finding>) -> Option<Limits> {
    let LimitsSpec { memory, fuel, deadline } = limits;
    let memory = memory.map_or(Some(DEFAULT_MEMORY), |text| read_memory(&text, &member(path, "memory"), findings));
    let deadline =
        deadline.map_or(Some(DEFAULT_DEADLINE), |text| read_deadline(&text, &member(path, "deadline"), findings));
    Some(Limits { memory: memory?, fuel: fuel.unwrap_or(DEFAULT_FUEL), deadline: deadline? })
}

fn read_memory(text: &str, path: &str, findings: &mut Vec<Finding>) -> Option<u64> {
    match Quantity::parse(text) {
        Ok(size) if size > Quantity::binary(i64::try_from(MAX_MEMORY).unwrap_or(i64::MAX)) => {
            let message = format!("{text:?} is more than a step may have");
            findings.push(Finding::error(message).at(path).remedy("give at most 512Mi"));
            None
        }
        Ok(size) if size >= Quantity::binary(64 << 10) => u64::try_from(size.units()).ok(),
        Ok(_) => {
            findings.push(
                Finding::error(format!("{text:?} is less than one page of memory"))
                    .at(path)
                    .remedy("give at least 64Ki, as in 64Mi"),
            );
            None
        }
        Err(error) => {
            findings.push(Finding::error(error.to_string()).at(path));
            None
        }
    }
}

fn read_deadline(text: &str, path: &str, findings: &mut Vec<Finding>) -> Option<Duration> {
    match duration::parse(text) {
        Ok(deadline) if deadline > MAX_DEADLINE => {
            let message = format!("{text:?} is longer than a call may take");
            findings.push(Finding::error(message).at(path).remedy("give at most 10s, and fewer tasks to the plugin"));
            None
        }
        Ok(deadline) if !deadline.is_zero() => Some(deadline),
        Ok(_) => {
            findings.push(Finding::error("is zero").at(path).remedy("give the calls some time, as in 1s"));
            None
        }
        Err(error) => {
            findings.push(Finding::error(error.to_string()).at(path));
            None
        }
    }
}

fn read_grants(grants: GrantsSpec, path: &str, findings: &mut Vec<Finding>) -> Grants {
    let mut credentials = BTreeSet::new();
    for (index, text) in grants.credentials.iter().enumerate() {
        match credential(text) {
            Ok(credential) => _ = credentials.insert(credential),
            Err(finding) => findings.push(finding.at(entry(&member(path, "credentials"), index))),
        }
    }
    for (index, key) in grants.config.iter().enumerate() {
        if let Err(finding) = check_key(key) {
            findings.push(finding.at(entry(&member(path, "config"), index)));
        }
    }
    // The schema has accepted the names, so each is known.
    let action = |grant: ActionGrantSpec| {
        Some(ActionGrant { kind: ActionKind::from_name(&grant.kind)?, subjects: grant.subjects })
    };
    Grants {
        objects: grants.objects.into_iter().map(ObjectGrant::from).collect(),
        reads: grants.reads.into_iter().map(ReadGrant::from).collect(),
        desired: grants.desired.into_iter().map(KindGrant::from).collect(),
        config: grants.config.into_iter().collect(),
        privileges: grants.privileges.iter().filter_map(|name| Privilege::from_name(name)).collect(),
        credentials,
        actions: grants.actions.into_iter().filter_map(action).collect(),
    }
}

impl From<ObjectGrantSpec> for ObjectGrant {
    fn from(spec: ObjectGrantSpec) -> Self {
        let ObjectGrantSpec { api_version, kind, names, creates, fields, overrides, removes } = spec;
        Self { api_version, kind, names, creates, fields, overrides, removes }
    }
}

impl From<ReadGrantSpec> for ReadGrant {
    fn from(spec: ReadGrantSpec) -> Self {
        let ReadGrantSpec { api_version, kind, from, fields } = spec;
        Self { api_version, kind, from, fields }
    }
}

impl From<KindGrantSpec> for KindGrant {
    fn from(spec: KindGrantSpec) -> Self {
        let KindGrantSpec { api_version, kind } = spec;
        Self { api_version, kind }
    }
}

/// Refuses what is not a key of the operator configuration.
fn check_key(key: &str) -> Result<(), Box<Finding>> {
    let names = || KEYS.iter().map(|known| known.name);
    if names().any(|name| name == key) {
        return Ok(());
    }
    let remedy = suggest::nearest_or(key, names(), "docs/configuration.md lists them");
    Err(Box::new(Finding::error(format!("{key:?} is not a key of the operator configuration")).remedy(remedy)))
}

/// The credential that a grant names.
fn credential(text: &str) -> Result<Credential, Box<Finding>> {
    Credential::named(text, "write it as in config:scalyr_api_key")
        .map_err(|remedy| Box::new(Finding::error(format!("{text:?} is not a credential")).remedy(remedy)))
}

/// The findings about the fields that `grants` had before, and the document without these fields.
fn former_grants(document: &mut Value) -> Vec<Finding> {
    let steps = document.pointer_mut("/spec/steps").and_then(Value::as_array_mut);
    let grants = steps.into_iter().flatten().enumerate();
    let grants = grants.filter_map(|(index, step)| Some((index, step.get_mut("grants")?.as_object_mut()?)));
    let mut findings = Vec::new();
    for (index, grants) in grants {
        let path = member(&entry("spec.steps", index), "grants");
        for (field, remedy) in FORMER {
            if grants.remove(*field).is_some() {
                findings.push(Finding::error("is not a grant any more").at(member(&path, field)).remedy(*remedy));
            }
        }
        if grants.get("actions").and_then(Value::as_array).is_some_and(|list| list.iter().any(Value::is_string)) {
            grants.remove("actions");
            let remedy = "name the subjects, too, as in {kind: configure-patroni, subjects: [ttl]}";
            findings.push(Finding::error("is a list of names").at(member(&path, "actions")).remedy(remedy));
        }
    }
    findings
}

/// The fields that `grants` had before, and what replaces them.
const FORMER: &[(&str, &str)] = &[
    ("writes", "use objects, with names and with fields in place of paths"),
    ("overrides", "use overrides of an entry of objects"),
    ("removes", "use removes of an entry of objects"),
    ("secrets", "remove it: the values of Secrets are never shown to a plugin"),
];

/// Reads a match of clusters.
pub(in super::super) fn read_match(matches: MatchSpec, path: &str, findings: &mut Vec<Finding>) -> Option<Match> {
    let selector = matches.selector.unwrap_or_default();
    let before = findings.len();
    let mut refuse = |message: String, place: &str, remedy: &str| {
        findings.push(Finding::error(message).at(format!("{path}.{place}")).remedy(remedy));
    };
    for namespace in matches.namespaces.iter().filter(|namespace| !is_dns1123_label(namespace)) {
        refuse(format!("{namespace:?} is no name of a namespace"), "namespaces", "use small letters, digits and '-'");
    }
    for (key, value) in &selector.match_labels {
        if !is_label_key(key) || !is_label_value(value) {
            refuse(format!("no object can have the label {key:?}: {value:?}"), "selector.matchLabels", LABEL);
        }
    }
    for requirement in &selector.match_expressions {
        if !is_label_key(&requirement.key) || !requirement.values.iter().all(|value| is_label_value(value)) {
            let message = format!("no object can have the label {:?} with one of its values", requirement.key);
            refuse(message, "selector.matchExpressions", LABEL);
        }
    }
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let needs_values = matches!(requirement.operator.as_str(), "In" | "NotIn");
        if needs_values == requirement.values.is_empty() {
            let message =
                if needs_values { "has no values to compare with" } else { "compares with nothing, but has values" };
            let path = entry(&format!("{path}.selector.matchExpressions"), index);
            findings.push(
                Finding::error(message).at(path).remedy("In and NotIn have values, Exists and DoesNotExist have none"),
            );
        }
    }
    (findings.len() == before).then(|| Match {
        namespaces: matches.namespaces.into_iter().collect(),
        labels: selector.match_labels,
        expressions: selector.match_expressions,
    })
}
