//! What a plugin is asked for one running cluster, as the files of a golden folder: without credentials, and with names that
//! say nothing.

use std::collections::BTreeSet;

use pgloom_api::config::{Config, KEYS, ValueType};
use pgloom_decide::{Observed, decide};
use pgloom_engine::{NamedObject, Pipeline, Selection, Trigger};
use serde_json::{Map, Value, json};

use crate::bench::Bench;

/// What stands for a credential, or for a value that may be one.
const REMOVED: &str = "removed";
/// The same in base64, as the values of a Secret are.
const REMOVED_DATA: &str = "cmVtb3ZlZA==";
/// The name, namespace, uid and team of the cluster in a recording.
const NAME: &str = "acid-recorded";
const NAMESPACE: &str = "default";
const UID: &str = "11111111-1111-1111-1111-111111111111";
const TEAM: &str = "acid";
/// The keys by which the host finds the cluster's objects.
const OF_HOST: [&str; 2] = ["cluster_name_label", "cluster_labels"];

/// A running cluster.
pub struct Live {
    /// The `postgresql` object.
    pub manifest: Value,
    /// The document of the operator configuration.
    pub configuration: Value,
    /// The same, read.
    pub config: Config,
    /// The existing objects.
    pub existing: Vec<Value>,
    /// The operator's namespace.
    pub own: String,
}

/// The documents of a golden folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// `manifest.yaml`.
    pub manifest: Value,
    /// `operator.yaml`: the keys that the plugin reads.
    pub operator: Value,
    /// `config.yaml`: the step's configuration.
    pub config: Value,
    /// `existing.yaml`: the objects that the plugin sees, as far as it sees them.
    pub existing: Vec<Value>,
    /// `desired.yaml`: the objects of earlier steps that the plugin sees.
    pub desired: Vec<Value>,
}

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin cannot be a step.
    #[error("{0}")]
    Assemble(String),
    /// The plugin is not called.
    #[error("the plugin is not called for this cluster: none of its triggers holds{0}; choose another cluster")]
    Call(String),
}

/// The kinds of the cluster's own objects, and the named objects, that a recording needs.
#[must_use]
pub fn wanted(
    pipeline: &Pipeline,
    manifest: &Value,
    config: &Config,
) -> (BTreeSet<(String, String)>, BTreeSet<NamedObject>) {
    let observed = pipeline.steps().iter().flat_map(|step| &step.plugin.description.observed);
    let own = observed.filter(|selector| selector.from == Selection::Owned);
    let kinds = own.map(|selector| (selector.kind.api_version.clone(), selector.kind.kind.clone()));
    (kinds.collect(), pipeline.named(manifest, config.values()))
}

/// Records what the plugin is asked.
///
/// # Errors
/// If it cannot be a step, or is not called for this cluster.
pub fn record(bench: &Bench, live: &Live) -> Result<Recording, Error> {
    let (pipeline, calls) = bench.pipeline().map_err(Error::Assemble)?;
    let observed = Observed::in_files(&live.existing, &live.manifest, &live.config, &pipeline, &live.own);
    // Whether there is a plan does not matter to what the plugin was asked.
    let decided = decide(&live.manifest, &live.config, &observed, &pipeline);
    let because =
        || decided.as_ref().err().map(|error| format!(", or the cluster is refused: {error}")).unwrap_or_default();
    let call = calls.take().into_iter().next().ok_or_else(|| Error::Call(because()))?;
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let mut names = Names::of(&live.manifest);
    let mut manifest = parsed(&call.request.cluster);
    names.hide_variables_of(&mut manifest);
    let label = live.config.text("cluster_name_label");
    let selectors = &bench.plugin.description.observed;
    let is_own = |id: &str| selectors.iter().any(|selector| selector.id == id && selector.from == Selection::Owned);
    let existing = call.request.observed.iter().map(|seen| {
        let mut object = parsed(&seen.object);
        // Its labels may be hidden from the plugin.
        if is_own(&seen.selector) {
            object["metadata"]["labels"][label] = live.manifest["metadata"]["name"].clone();
        }
        names.mapped(&without_data(object))
    });
    let mut existing: Vec<Value> = existing.collect();
    existing.dedup();
    let desired = call.request.desired.iter().map(|seen| names.mapped(&parsed(&seen.object))).collect();
    let operator = names.mapped(&operator(&live.configuration, &keys(bench)));
    Ok(Recording {
        manifest: names.mapped(&manifest),
        operator,
        config: parsed(&call.request.config),
        existing,
        desired,
    })
}

/// The keys of the operator configuration on which the recording depends.
fn keys(bench: &Bench) -> BTreeSet<String> {
    let asked = &bench.plugin.description;
    let triggers = asked.relevant.iter().filter_map(|trigger| match trigger {
        Trigger::Config(key) => Some(key.clone()),
        Trigger::Manifest(_) => None,
    });
    let selectors = asked.observed.iter().filter_map(|selector| match &selector.from {
        Selection::Config(key) => Some(key.clone()),
        Selection::Owned | Selection::Manifest(_) => None,
    });
    let of_host = OF_HOST.map(str::to_owned);
    asked.config_keys.iter().cloned().chain(triggers).chain(selectors).chain(of_host).collect()
}

/// The configuration with these keys only, and without credentials.
fn operator(document: &Value, keys: &BTreeSet<String>) -> Value {
    let mut operator = json!({"apiVersion": document["apiVersion"], "kind": document["kind"]});
    for part in ["data", "configuration"] {
        if let Some(kept) = document.get(part).and_then(|value| kept(value, keys)) {
            operator[part] = kept;
        }
    }
    operator
}

fn kept(value: &Value, keys: &BTreeSet<String>) -> Option<Value> {
    let fields = value.as_object()?;
    let is_credential = |name: &str| KEYS.iter().any(|key| key.name == name && key.value_type == ValueType::Credential);
    let field = |(name, value): (&String, &Value)| match keys.contains(name) {
        true if is_credential(name) => Some((name.clone(), json!(REMOVED))),
        true => Some((name.clone(), value.clone())),
        // A section of an OperatorConfiguration.
        false => kept(value, keys).map(|section| (name.clone(), section)),
    };
    let fields: Map<String, Value> = fields.iter().filter_map(field).collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// A ConfigMap or a Secret with its keys, and without their values.
fn without_data(mut object: Value) -> Value {
    let removed = match object["kind"].as_str() {
        Some("Secret") => REMOVED_DATA,
        Some("ConfigMap") => REMOVED,
        _ => return object,
    };
    for part in ["data", "stringData"] {
        let values = object.get_mut(part).and_then(Value::as_object_mut);
        values.into_iter().flat_map(Map::values_mut).for_each(|value| *value = json!(removed));
    }
    object
}

/// What identifies the cluster, and the values of its variables.
struct Names {
    name: String,
    namespace: String,
    uid: String,
    team: String,
    variables: BTreeSet<String>,
}

impl Names {
    fn of(manifest: &Value) -> Self {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            name: text("/metadata/name"),
            namespace: text("/metadata/namespace"),
            uid: text("/metadata/uid"),
            team: text("/spec/teamId"),
            variables: BTreeSet::new(),
        }
    }

    /// Removes the values of variables, which may be credentials, and remembers them: an earlier step may have copied one.
    fn hide_variables_of(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_variables_of(item)),
            Value::Object(fields) => {
                for entry in fields.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(Value::String(text)) = entry.get_mut("value") {
                        self.variables.insert(std::mem::replace(text, REMOVED.to_owned()));
                    }
                }
                fields.values_mut().for_each(|field| self.hide_variables_of(field));
            }
            _ => {}
        }
    }

    /// The document with other names, and without the values of variables.
    fn mapped(&self, value: &Value) -> Value {
        self.at("", value)
    }

    fn at(&self, field: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (self.text("", name), self.at(name, value))).collect()
            }
            Value::Array(items) => items.iter().map(|item| self.at(field, item)).collect(),
            Value::String(text) if field == "value" && self.variables.contains(text) => json!(REMOVED),
            Value::String(text) => json!(self.text(field, text)),
            plain => plain.clone(),
        }
    }

    fn text(&self, field: &str, text: &str) -> String {
        if text.starts_with(pgloom_api::placeholder::PREFIX) {
            return REMOVED.to_owned();
        }
        // A namespace or a team may be any word, so they are known by their place.
        match field {
            "namespace" if text == self.namespace => return NAMESPACE.to_owned(),
            "teamId" | "team" if text == self.team => return TEAM.to_owned(),
            _ => {}
        }
        let named = replaced(&replaced(text, &self.uid, UID), &self.name, NAME);
        replaced(&named, &format!("{NAME}.{}", self.namespace), &format!("{NAME}.{NAMESPACE}"))
    }
}

/// The text with a word replaced where no letter or digit is next to it.
fn replaced(text: &str, word: &str, with: &str) -> String {
    if word.is_empty() {
        return text.to_owned();
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(word) {
        let is_part = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let is_word =
            !is_part(before.chars().next_back().or_else(|| out.chars().next_back())) && !is_part(after.chars().next());
        out.push_str(before);
        out.push_str(if is_word { with } else { word });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use std::sync::Arc;

    use pgloom_engine::{
        CredentialPermission, CredentialSource, Description, ObjectKind, ObservedSelector, Plugin, Response,
    };

    use super::*;
    use crate::bench::Setup;

    fn plugin(relevant: Vec<Trigger>) -> Bench {
        let selector = |id: &str, kind: &str, from: Selection, fields: &[&str]| ObservedSelector {
            id: id.to_owned(),
            kind: ObjectKind::new(if kind == "StatefulSet" { "apps/v1" } else { "v1" }, kind),
            from,
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        };
        let description = Description {
            name: "seen".to_owned(),
            config_keys: vec!["wal_s3_bucket".to_owned(), "scalyr_api_key".to_owned()],
            credentials: vec![CredentialPermission {
                source: CredentialSource::Config("scalyr_api_key".to_owned()),
                optional: false,
            }],
            relevant,
            observed: vec![
                selector("set", "StatefulSet", Selection::Owned, &["spec.replicas"]),
                selector("env", "Secret", Selection::Config("pod_environment_secret".to_owned()), &["data"]),
            ],
            ..Description::default()
        };
        Bench::new(Arc::new(Plugin::native(description, |_| Ok(Response::default()))), Setup::default())
    }

    fn live() -> Live {
        let configuration = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {
                "wal_s3_bucket": "wal", "scalyr_api_key": "s3cret-key", "pod_environment_secret": "env",
                "log_s3_bucket": "unread", "infrastructure_roles_secret_name": "private",
            }
        });
        Live {
            manifest: json!({
                "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
                "metadata": {"name": "shop-orders", "namespace": "postgres", "uid": "99999999-9999-4999-8999-999999999999",
                    "annotations": {"note": "shop-orders of shop-orders2, uid 99999999-9999-4999-8999-999999999999"}},
                "spec": {"teamId": "shop", "numberOfInstances": 1, "volume": {"size": "1Gi"},
                    "postgresql": {"version": "15"}, "env": [{"name": "TOKEN", "value": "s3cret-token"}],
                    "clone": {"cluster": "a", "s3_access_key_id": "s3cret-id", "s3_secret_access_key": "s3cret-access"}},
            }),
            config: Config::read(&configuration).unwrap().config,
            configuration,
            existing: vec![
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
                    "metadata": {"name": "shop-orders", "namespace": "postgres", "labels": {"cluster-name": "shop-orders"}},
                    "spec": {"replicas": 2, "template": {"spec": {"containers": [
                        {"name": "postgres", "env": [{"name": "TOKEN", "value": "s3cret-token"}]}]}}}}),
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "env", "namespace": "postgres"},
                    "data": {"PASSWORD": "czNjcmV0"}}),
                json!({"apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": "shop-orders-0", "namespace": "postgres", "labels": {"cluster-name": "shop-orders"}}}),
            ],
            own: "operators".to_owned(),
        }
    }

    #[test]
    fn a_recording_has_what_the_plugin_sees_and_no_credential_and_no_name_of_the_cluster() {
        let recording = record(&plugin(Vec::new()), &live()).unwrap();
        let text = format!("{recording:?}");
        for word in [
            "s3cret",
            "czNjcmV0",
            "99999999",
            "\"shop",
            "unread",
            "private",
            "operators",
            pgloom_api::placeholder::PREFIX,
        ] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        assert_eq!(recording.manifest["metadata"]["namespace"], NAMESPACE);
        assert_eq!(recording.manifest["spec"]["teamId"], TEAM);
        let note = format!("{NAME} of shop-orders2, uid {UID}");
        assert_eq!(recording.manifest["metadata"]["annotations"]["note"], note);
        assert_eq!(recording.manifest["spec"]["env"], json!([{"name": "TOKEN", "value": REMOVED}]));
        let data = json!({"wal_s3_bucket": "wal", "scalyr_api_key": REMOVED, "pod_environment_secret": "env"});
        assert_eq!(recording.operator["data"], data);
        let kinds: Vec<&Value> = recording.existing.iter().map(|object| &object["kind"]).collect();
        assert_eq!(kinds, ["StatefulSet", "Secret"]);
        assert_eq!(recording.existing[0]["spec"], json!({"replicas": 2}));
        assert_eq!(recording.existing[1]["data"], json!({"PASSWORD": REMOVED_DATA}));
    }

    #[test]
    fn a_recording_can_be_recorded_again_and_is_the_same() {
        let bench = plugin(Vec::new());
        let first = record(&bench, &live()).unwrap();
        let config = Config::read(&first.operator).unwrap().config;
        let again = Live {
            manifest: first.manifest.clone(),
            configuration: first.operator.clone(),
            config,
            existing: first.existing.clone(),
            own: NAMESPACE.to_owned(),
        };
        assert_eq!(record(&bench, &again).unwrap(), first);
    }

    #[test]
    fn a_cluster_for_which_the_plugin_is_not_called_is_not_recorded() {
        let bench = plugin(vec![Trigger::Manifest("/spec/tls".to_owned())]);
        let error = record(&bench, &live()).unwrap_err().to_string();
        assert!(error.contains("is not called for this cluster"), "{error}");
    }
}
