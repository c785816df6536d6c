//! The Pipeline document as its author writes it.
#![allow(clippy::duplicated_attributes, reason = "two columns of one type are no duplicates")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::MAX_FUEL;
use super::rollout::{RolloutSpec, RolloutStatus};
use crate::action::ActionKind;
use crate::privilege::Privilege;

/// Which plugins run for every cluster, and in which order.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    crates(kube_core = "::kube_core"),
    group = "pgloom.dev",
    version = "v1alpha1",
    kind = "Pipeline",
    plural = "pipelines",
    namespaced,
    status = "PipelineStatus",
    derive = "PartialEq",
    doc = "The plugins that decide what is made for every postgresql object, in order, and what each of them may do.",
    printcolumn(
        name = "Loaded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Loaded\")].status",
        description = "Whether this pipeline is in use, as it is written"
    ),
    printcolumn(
        name = "Authorized",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Authorized\")].status",
        description = "Whether the operator has all rights that the steps need"
    ),
    printcolumn(
        name = "Rollout",
        type_ = "string",
        json_path = ".status.rollout.phase",
        description = "How far the newest pipeline has come"
    ),
    printcolumn(
        name = "Stage",
        type_ = "string",
        json_path = ".status.rollout.stage",
        description = "Which clusters have it: the canary, or a percentage"
    ),
    printcolumn(
        name = "Clusters",
        type_ = "string",
        json_path = ".status.rollout.clusters",
        description = "How many clusters have it, of all"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Loaded\")].reason",
        description = "Why"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Loaded\")].message",
        description = "What is in use, and which step stops the pipeline"
    ),
    printcolumn(
        name = "Steps",
        type_ = "string",
        json_path = ".spec.steps[*].name",
        description = "The steps, in order",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(deny_unknown_fields)]
pub struct PipelineSpec {
    /// The plugins, in the order in which they run. A later step sees the objects of earlier steps. Names are unique.
    #[schemars(length(min = 1, max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub steps: Vec<StepSpec>,
    /// Secrets of the type `kubernetes.io/dockerconfigjson` in the operator's own namespace, with the credentials for
    /// registries that `source.oci` names. The operator needs the right to read them. Default: none.
    #[serde(default, rename = "imagePullSecrets", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<SecretNameSpec>,
    /// How a changed pipeline reaches the clusters. Only of a Pipeline object: its status remembers how far it has come.
    /// Default: all clusters get it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
}

/// A Secret by its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretNameSpec {
    /// Example: `registry`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// One plugin in the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepSpec {
    /// The step's name in findings, conditions and errors: lower case letters, digits and hyphens. Example:
    /// `logical-backup`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Where the component comes from.
    pub source: SourceSpec,
    /// The SHA-256 digest of the component. A component with another digest is refused before it is compiled.
    /// Default: not checked. Example: `sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// The plugin's own settings. They are checked against the plugin's schema. Default: `{}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "anything")]
    pub config: Map<String, Value>,
    /// What the step may do. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<GrantsSpec>,
    /// What happens to a cluster if this step fails: `hold` leaves it as it is, `keepLast` uses the step's last
    /// response, `ignore` continues without the step. Default: `hold`. Example: `ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("enum" = ["hold", "keepLast", "ignore"]))]
    pub on_failure: Option<OnFailureSpec>,
    /// Whether the database's or the pooler's pods may be restarted because this step failed. `onFailure: ignore` needs
    /// it, if the step may write fields of a pod template. Default: `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_restarts: bool,
    /// The limits of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// Which clusters the step is for. Default: all.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<MatchSpec>,
}

/// Where a component comes from: `file` or `oci`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.file) != has(self.oci)", "message": "a step needs one component; give either file or oci"},
    {"rule": "!has(self.digest) || has(self.oci)", "message": "digest belongs to oci; pin a file by the digest of the step"},
    {"rule": "!has(self.publicKeys) || has(self.oci)", "message": "publicKeys belong to oci; pin a file by the digest of the step"}
]))]
pub struct SourceSpec {
    /// A file, relative to the folder of the pipeline document or of the plugins. Example: `tls.wasm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub file: Option<String>,
    /// A component in a registry, as `pgloom plugin push` makes it, by tag or digest. A tag is asked for again every five
    /// minutes, and a component that it then leads to is loaded. Example: `ghcr.io/example/tls:0.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub oci: Option<String>,
    /// The digest of the manifest in the registry, in place of one in `oci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// Public keys in the PEM format, of ECDSA on the curve P-256. The manifest must be signed by one of them, as cosign
    /// does it; no transparency log is asked. Default: signatures are not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(max = 1024)))]
    pub public_keys: Vec<String>,
}

/// What a step may do, as far as its plugin's description asks for it. `pgloom plugin inspect --grants FILE` prints
/// what a plugin needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantsSpec {
    /// The objects that it may write. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub objects: Vec<ObjectGrantSpec>,
    /// The existing objects that it may read. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub reads: Vec<ReadGrantSpec>,
    /// The kinds of objects that it may read as earlier steps want them. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub desired: Vec<KindGrantSpec>,
    /// The keys of the operator configuration that it may read, also those that only say whether it is called. Default:
    /// none. Example: `docker_image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub config: Vec<String>,
    /// The privileges that it has beyond fields. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "privileges")]
    pub privileges: Vec<String>,
    /// The credentials that it may pass on: `config:KEY` for a key of the operator configuration, `manifest:/pointer`
    /// for a field of the manifest. Default: none. Example: `config:scalyr_api_key`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub credentials: Vec<String>,
    /// The actions that it may request. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub actions: Vec<ActionGrantSpec>,
}

/// Objects of one kind that a step may write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectGrantSpec {
    /// Example: `apps/v1`.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Example: `StatefulSet`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The names of the objects: `{cluster}` is the cluster's name, a `*` any characters. Example: `{cluster}-*`.
    #[schemars(length(min = 1, max = 16))]
    pub names: Vec<String>,
    /// Whether it may create such objects. Default: `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub creates: bool,
    /// The fields that it may set; a path covers all below it. Default: all fields of the objects that the step
    /// created, and no field of others. Example: `spec.template.spec.containers[*].env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub fields: Vec<String>,
    /// The fields that it may set although an earlier step has set them to another value. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub overrides: Vec<String>,
    /// The fields and list entries of earlier steps that it may remove. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub removes: Vec<String>,
}

/// Existing objects of one kind that a step may read. It never reads a credential, and of a Secret only hashes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadGrantSpec {
    /// Example: `v1`.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Example: `ConfigMap`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Which objects: `cluster` for the cluster's own, `manifest:/pointer` for the one whose name is the manifest's
    /// value there, `config:KEY` for the one whose name, or `namespace/name`, is the value of a key of the operator
    /// configuration. Example: `manifest:/spec/tls/secretName`.
    #[schemars(regex(pattern = r"^(cluster|manifest:/.+|config:[a-z0-9_]+)$"))]
    pub from: String,
    /// The fields that it may read; a path covers all below it. The value of a container's variable is shown only if the
    /// path names the variable, and only of the cluster's own objects. Default: all other fields. Example:
    /// `spec.template.spec.containers[name=postgres].env[name=PGVERSION]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub fields: Vec<String>,
}

/// A kind of objects that a step may read as earlier steps want them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindGrantSpec {
    /// Example: `apps/v1`.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Example: `StatefulSet`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
}

/// Actions of one kind that a step may request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionGrantSpec {
    /// Example: `configure-patroni`.
    #[schemars(schema_with = "action_kind")]
    pub kind: String,
    /// What the actions may be about, by the kind: names of roles, of Secrets, of schemas, of claims, or keys of
    /// Patroni's dynamic configuration; a `*` is any characters. Empty for `promote`. Example:
    /// `postgresql.parameters.*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub subjects: Vec<String>,
}

/// What happens to a cluster if a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailureSpec {
    /// Nothing is written; the cluster stays as it is.
    Hold,
    /// The response of the step's last successful call is used again.
    KeepLast,
    /// The pipeline runs without the step.
    Ignore,
}

/// The limits of one call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// Memory of one call, all linear memories together; at most `512Mi`. Default: `64Mi`. Example: `128Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?([kMG]|[KMG]i)?$"))]
    pub memory: Option<String>,
    /// Fuel of one call: the WebAssembly instructions that it executes. The same call takes the same fuel on every
    /// machine. At most 10000000000. Default: `1000000000`, one second or less of a CPU. Example: `100000000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 1, max = MAX_FUEL))]
    pub fuel: Option<u64>,
    /// Time of one call on the wall clock; at most `10s`. It depends on the load of the machine, so that a call that
    /// takes longer leaves the cluster as it is, whatever `onFailure` says. Default: `5s`. Example: `500ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+$"))]
    pub deadline: Option<String>,
}

/// Which clusters a step is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchSpec {
    /// The namespaces. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The labels of the `postgresql` objects. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

impl MatchSpec {
    /// Whether it names nothing that a cluster could lack.
    #[must_use]
    pub fn is_of_all(&self) -> bool {
        self.namespaces.is_empty() && self.selector.as_ref().is_none_or(|selector| *selector == Selector::default())
    }
}

/// A label selector, as
/// [`LabelSelector`](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Required labels with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Conditions, all of which have to be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// A condition for one label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelRequirement {
    /// The label. Example: `environment`.
    pub key: String,
    /// How it is compared: `In`, `NotIn`, `Exists` or `DoesNotExist`.
    #[schemars(extend("enum" = ["In", "NotIn", "Exists", "DoesNotExist"]))]
    pub operator: String,
    /// What it is compared with; empty for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// The status of the pipeline, as the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Loaded`: whether every step has passed all loading phases and the pipeline is in use; `Unknown` while it is
    /// being loaded. `Authorized`: whether the
    /// operator has all rights that the steps in use need; the message has the rules to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The steps that are in use, and the step that stops a newer pipeline.
    #[serde(default)]
    pub steps: Vec<StepStatus>,
    /// The pipeline that was loaded last. It is used while a newer one cannot be loaded, also after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_loaded: Option<LastLoaded>,
    /// How the newest pipeline reaches the clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// A step in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// The step's name.
    pub name: String,
    /// The plugin's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The plugin's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The SHA-256 digest of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The version of the contract that the component is built against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// `Running`; `Loading` until a step that the pipeline before did not have is in use; `RightsMissing` while the
    /// operator lacks a right to objects of the step, which is called nevertheless; or the phase of loading that
    /// failed, as in `CompileFailed`.
    pub phase: String,
    /// Why the step of the newest pipeline could not be loaded, or which rights are missing, with the rules to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The number of calls by the leader, since it loaded the pipeline.
    #[serde(default)]
    pub calls: i64,
    /// The number of calls that failed, or whose answer was refused.
    #[serde(default)]
    pub failures: i64,
    /// The fuel of all calls.
    #[serde(default)]
    pub fuel: i64,
    /// Since when the step is in use, or being loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub since: Option<String>,
}

/// A pipeline that was loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastLoaded {
    /// Its `metadata.generation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Since when it is in use.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Its `spec`, with the digest of every component.
    #[schemars(schema_with = "anything")]
    pub spec: Map<String, Value>,
}

pub(super) fn anything(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn action_kind(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": ActionKind::ALL.map(ActionKind::name)})
}

fn privileges(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names = Privilege::ALL.map(Privilege::name);
    schemars::json_schema!({"type": "array", "maxItems": names.len(), "items": {"type": "string", "enum": names}})
}

fn conditions(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::Schema::try_from(crate::schema::conditions()).unwrap_or_default()
}
