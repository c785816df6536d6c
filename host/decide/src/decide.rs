//! The decision: validate, run the pipeline, gather the roles, plan the Secrets.

mod roles;
mod setters;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pgloom_api::config::Config;
use pgloom_api::placeholder::{self, Credentials};
use pgloom_api::validate::{Cluster, Rules, Validated, validate};
use pgloom_api::{Finding, Severity, pod_template};
use pgloom_common::api_default::pull_policy;
use pgloom_common::label;
use pgloom_common::name::secret_name;
use pgloom_engine::{Condition, Decision, Desired, Input, Pipeline, RequestedAction, Response, RunError, Secrets};
use serde_json::{Value, json};

use crate::apply_order::in_order;
use crate::credential::{self, WantedSecret};
use crate::kind::{BuiltIn, Kind, ObjectKey};
use crate::role::Roles;
use crate::{Error, Observed, action, adoption, api_rules, service_account};
use roles::Wanted;

pub use setters::{Owners, owners, trace};

/// The desired state of one cluster.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The fields of the manifest that the host reads.
    pub cluster: Cluster,
    /// The service account and its role binding, which are created where they are missing.
    pub accounts: Vec<Value>,
    /// The objects of the pipeline, in the order of applying, with placeholders for credentials.
    pub objects: Vec<Desired>,
    /// The credentials of the placeholders in `objects`.
    pub credentials: Credentials,
    /// The Secrets with credentials.
    pub secrets: Vec<WantedSecret>,
    /// The roles and databases.
    pub roles: Roles,
    /// The actions that plugins request.
    pub actions: Vec<RequestedAction>,
    /// The findings of the host and of all steps.
    pub findings: Vec<Finding>,
    /// Conditions for the status.
    pub conditions: Vec<Condition>,
    /// Whether a step failed and `onFailure` replaced its response. Another decision may succeed.
    pub degraded: bool,
    /// By step name, the response of each step with `onFailure: keepLast`, for the next decision.
    pub last: BTreeMap<String, Response>,
    /// By step name, the fuel that the step's call took, in WebAssembly instructions.
    pub fuel: BTreeMap<String, u64>,
}

impl Plan {
    /// All objects in the order of applying, as `pgloom render` prints them: with placeholders, Secrets without their
    /// passwords.
    pub fn documents(&self) -> Vec<Value> {
        let objects = self.objects.iter().map(|desired| desired.object.clone());
        let secrets = self.secrets.iter().map(WantedSecret::object);
        let all = self.accounts.iter().cloned().chain(objects).chain(secrets).collect();
        in_order(all, |object: &Value| object)
    }

    /// The pipeline's objects with the placeholders filled in, in the order of applying: for the API server only.
    ///
    /// # Errors
    /// If a placeholder cannot be filled in, which [`decide`] has excluded.
    pub fn filled(&self) -> Result<Vec<Value>, Error> {
        let fill = |desired: &Desired| {
            let mut object = desired.object.clone();
            placeholder::fill(&mut object, &self.credentials).map_err(|source| broken(&desired.object, source))?;
            Ok(object)
        };
        self.objects.iter().map(fill).collect()
    }

    /// The step that created an object.
    pub fn step_of(&self, kind: &Kind, name: &str) -> Option<&str> {
        let is_it = |desired: &&Desired| is_object(&desired.object, kind, name);
        self.objects.iter().find(is_it).map(|desired| desired.step.as_str())
    }

    /// Whether the database does without an object: another step makes it than the one that makes the database's StatefulSet.
    pub fn is_extra(&self, kind: &Kind, name: &str) -> bool {
        let set = Kind::new("apps/v1", "StatefulSet");
        self.step_of(&set, &self.cluster.name).is_some_and(|step| self.step_of(kind, name) != Some(step))
    }

    /// Whether an object is desired. A custom resource may have the kind of a built-in one, in another group.
    pub fn wants(&self, kind: &Kind, name: &str) -> bool {
        let is_desired = |desired: &Desired| is_object(&desired.object, kind, name);
        let is_secret = || kind.is(BuiltIn::Secret);
        is_secret() && self.secrets.iter().any(|secret| secret.name == name) || self.objects.iter().any(is_desired)
    }
}

pub(crate) fn is_object(object: &Value, kind: &Kind, name: &str) -> bool {
    ObjectKey::of(object).name == name && Kind::of(object).is_some_and(|found| found.is_same(kind))
}

/// Decides the desired state of one cluster. `manifest` is the `postgresql` object, `config` the operator
/// configuration.
///
/// # Errors
/// If the manifest or the configuration cannot be used, or a step with `onFailure: hold` fails.
pub fn decide(manifest: &Value, config: &Config, observed: &Observed, pipeline: &Pipeline) -> Result<Plan, Error> {
    let validated = validated(manifest, config, observed)?;
    let cluster = validated.cluster().clone();
    let mut findings: Vec<Finding> = validated.warnings().to_vec();

    let Prepared { input, credentials, selector, naming, before } = prepared(&validated, config, observed);
    let Decision { objects, mut actions, findings: found, conditions, degraded, last, fuel } =
        pipeline.run(&input).map_err(|error| refusal(error, &findings))?;
    findings.extend(found);
    action::check(&mut actions, &selector);

    findings.extend_from_slice(&observed.infrastructure_findings);
    let Wanted { roles, secrets, clashes } = match roles::are_requested(&actions) {
        true => Wanted::of(&cluster, config, observed, &mut actions, &naming),
        false => before,
    };
    findings.extend_from_slice(&roles.findings);
    findings.extend(clashes);
    if findings.iter().any(Finding::is_error) {
        return Err(Error::Manifest(findings));
    }

    let accounts = service_account::objects(&cluster.namespace, &account_settings(config))?;
    let mut objects = in_order(objects, |desired: &Desired| &desired.object);
    for desired in &mut objects {
        placeholder::check(&desired.object, &credentials).map_err(|source| broken(&desired.object, source))?;
        complete(&mut desired.object, &cluster, &selector, naming.owner.as_ref());
        state_pull_policies(&mut desired.object);
        leave_annotations(&mut desired.object, observed, &config.list("ignored_annotations"));
    }
    let runs = runs(manifest, observed);
    findings.extend(api_rules::violations(objects.iter().map(|desired| &desired.object)).into_iter().map(|finding| {
        // Its pods and Services were made before, and stay as they are.
        if runs { Finding { severity: Severity::Warning, ..finding } } else { finding }
    }));
    if findings.iter().any(Finding::is_error) {
        return Err(Error::Manifest(findings));
    }
    let mut plan = Plan {
        cluster,
        accounts: accounts.into(),
        objects,
        credentials,
        secrets,
        roles,
        actions,
        findings,
        conditions,
        degraded,
        last,
        fuel,
    };
    plan.findings.extend(plan.clashes(&observed.others));
    match adoption::obstacle(manifest, config, &observed.objects, || plan.filled())? {
        Some(adoption) => Err(Error::Adoption(Box::new(adoption))),
        None => Ok(plan),
    }
}

/// The input of the pipeline, and what else a decision takes from the manifest and the configuration.
struct Prepared {
    input: Input,
    credentials: Credentials,
    selector: BTreeMap<String, String>,
    naming: credential::Naming,
    /// The roles and Secrets without the requests of plugins.
    before: Wanted,
}

fn prepared(validated: &Validated, config: &Config, observed: &Observed) -> Prepared {
    let cluster = validated.cluster();
    let (manifest, mut credentials) = placeholder::take_from_manifest(validated.object());
    let infrastructure: BTreeSet<&str> = observed.infrastructure.iter().map(|role| role.name.as_str()).collect();
    let shown = config.shown(&infrastructure);
    credentials.extend(shown.credentials.clone());
    let mut existing = observed.objects.clone();
    existing.iter_mut().for_each(|object| credentials.hide_in(object));
    let selector = selector(cluster, config);
    let naming = naming(validated, config, &selector);
    let before = Wanted::of(cluster, config, observed, &mut [], &naming);
    let input = Input {
        cluster: manifest,
        config: Arc::clone(&shown.values),
        credentials: credentials.sources().cloned().collect(),
        secrets: own_secrets(cluster, &before.secrets, &naming),
        labels: BTreeMap::from([(config.text("cluster_name_label").to_owned(), cluster.name.clone())]),
        observed: existing,
        unreadable: observed.unreadable.clone(),
        members: selector.clone(),
        role_label: config.text("pod_role_label").to_owned(),
        actions: observed.actions.clone(),
        last: observed.last.clone(),
    };
    Prepared { input, credentials, selector, naming, before }
}

fn validated(manifest: &Value, config: &Config, observed: &Observed) -> Result<Validated, Error> {
    if let Some(finding) = observed.objects.iter().find_map(forgery) {
        return Err(Error::Manifest(vec![finding]));
    }
    validate(manifest, &Rules { runs: runs(manifest, observed), ..config.rules() }).map_err(Error::Manifest)
}

/// Whether the cluster has a StatefulSet.
fn runs(manifest: &Value, observed: &Observed) -> bool {
    let set = Kind::new("apps/v1", "StatefulSet");
    observed.find(&set, ObjectKey::of(manifest).name).is_some()
}

/// The finding about an existing object that holds a placeholder of a credential. Its author wants a step to copy the
/// placeholder to a place where the host fills it in.
fn forgery(object: &Value) -> Option<Finding> {
    let path = placeholder::forged(object)?;
    let key = ObjectKey::of(object);
    Some(placeholder::forgery().at(path).of(key.reference()).remedy("write the value itself there"))
}

/// The error of a run. A plugin that refuses the manifest has not failed: the user gets its findings.
fn refusal(error: RunError, findings: &[Finding]) -> Error {
    let refused = error.findings();
    if refused.is_empty() {
        return Error::Pipeline(Box::new(error));
    }
    Error::Manifest(findings.iter().cloned().chain(refused).collect())
}

/// The names of the cluster's Secrets: those of the roles that no plugin asks for. The engine adds those of actions.
fn own_secrets(cluster: &Cluster, wanted: &[WantedSecret], naming: &credential::Naming) -> Secrets {
    let own = wanted.iter().filter(|secret| secret.namespace == cluster.namespace);
    Secrets {
        names: own.map(|secret| secret.name.clone()).collect(),
        template: secret_name(&naming.template, "{username}", &cluster.name, &cluster.team),
    }
}

/// Sets the fields that identify an object. Plugins do not set them, or not to other values. Of the labels by which the
/// cluster's objects are found, only the one with its name is the same for all of them: a pooler has another
/// `application`.
fn complete(object: &mut Value, cluster: &Cluster, labels: &BTreeMap<String, String>, owner: Option<&Value>) {
    object["metadata"]["namespace"] = json!(cluster.namespace);
    for (key, value) in labels {
        let label = &mut object["metadata"]["labels"][key];
        if label.is_null() {
            *label = json!(value);
        }
    }
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([owner]);
    }
}

/// States when the images of containers are pulled, where no step does: by their images, as the API server does. It does so
/// only once, so that the policy of one image would stay when the image changes.
fn state_pull_policies(object: &mut Value) {
    let key = ObjectKey::of(object);
    let Some(path) = pod_template::path(key.api_version, key.kind) else { return };
    let Some(template) = path.iter().try_fold(object, |object, field| object.get_mut(*field)) else { return };
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in template.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let (Some(image), None) = (container["image"].as_str(), container.get("imagePullPolicy")) {
                let policy = pull_policy(image);
                container["imagePullPolicy"] = json!(policy);
            }
        }
    }
}

/// Removes the annotations that others have changed and are allowed to change (`ignored_annotations`).
fn leave_annotations(object: &mut Value, observed: &Observed, ignored: &[&str]) {
    const PLACES: [&str; 2] = ["/metadata/annotations", "/spec/template/metadata/annotations"];
    if ignored.is_empty() {
        return;
    }
    let Some(kind) = Kind::of(object) else { return };
    let Some(existing) = observed.find(&kind, ObjectKey::of(object).name) else { return };
    for place in PLACES {
        let Some(Value::Object(annotations)) = object.pointer_mut(place) else { continue };
        let changed = |key: &str, value: &Value| {
            existing.pointer(place).and_then(|existing| existing.get(key)).is_some_and(|existing| existing != value)
        };
        annotations.retain(|key, value| !(ignored.contains(&key.as_str()) && changed(key, value)));
    }
}

fn broken(object: &Value, source: placeholder::Error) -> Error {
    let key = ObjectKey::of(object);
    Error::Placeholder { kind: key.kind.to_owned(), name: key.name.to_owned(), source }
}

fn account_settings(config: &Config) -> service_account::AccountSettings {
    service_account::AccountSettings {
        name: config.text("pod_service_account_name").to_owned(),
        account: config.text("pod_service_account_definition").to_owned(),
        binding: config.text("pod_service_account_role_binding_definition").to_owned(),
        role: config.text("irsa_role_arn").to_owned(),
    }
}

fn naming(validated: &Validated, config: &Config, selector: &BTreeMap<String, String>) -> credential::Naming {
    let cluster = validated.cluster();
    let pick = |from: &BTreeMap<String, String>, keys: &str| -> BTreeMap<String, String> {
        config.list(keys).into_iter().filter_map(|key| Some((key.to_owned(), from.get(key)?.clone()))).collect()
    };
    let labels = label::of_object(&cluster.team, pick(&cluster.labels, "inherited_labels"), selector.clone());
    credential::Naming {
        template: config.text("secret_name_template").to_owned(),
        cluster: cluster.name.clone(),
        team: cluster.team.clone(),
        namespace: cluster.namespace.clone(),
        labels,
        annotations: pick(&cluster.annotations, "inherited_annotations"),
        owner: config.flag("enable_owner_references").then(|| owner(validated.object())),
    }
}

/// The labels that identify the cluster's objects.
fn selector(cluster: &Cluster, config: &Config) -> BTreeMap<String, String> {
    label::selector(owned(config.map("cluster_labels")), config.text("cluster_name_label"), &cluster.name)
}

/// A map that owns its strings.
fn owned(texts: BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    texts.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The owner reference to the manifest; null if the manifest has no uid, as in a file.
fn owner(manifest: &Value) -> Value {
    let key = ObjectKey::of(manifest);
    json!({
        "apiVersion": key.api_version, "kind": key.kind, "controller": true,
        "name": key.name, "uid": manifest.pointer("/metadata/uid"),
    })
}

#[cfg(test)]
mod tests;
