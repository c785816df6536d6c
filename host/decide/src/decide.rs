//! The decision: validate, run the pipeline, gather the roles, plan the Secrets.

mod roles;

use std::collections::BTreeMap;

use pgloom_api::config::Config;
use pgloom_api::seal::{self, Secrets};
use pgloom_api::validate::{Cluster, Validated, validate};
use pgloom_engine::{
    Condition, Decision, Desired, Finding, Input, Pipeline, RequestedAction, Response, RunError, Severity,
};
use serde_json::{Value, json};

use crate::apply_order::in_order;
use crate::credential::{self, Wanted};
use crate::role::Roles;
use crate::{Error, Observed, finding, service_account};

/// What one cluster is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the host needs to know of the manifest.
    pub cluster: Cluster,
    /// The service account and its role binding, made where they are missing.
    pub accounts: Vec<Value>,
    /// The objects that the pipeline wants, in the order of applying. Credentials in them are sealed.
    pub objects: Vec<Desired>,
    /// What opens the seals.
    pub seals: Secrets,
    /// The Secrets with credentials.
    pub secrets: Vec<Wanted>,
    /// The roles and databases.
    pub roles: Roles,
    /// What the host shall do beside.
    pub actions: Vec<RequestedAction>,
    /// What people should know.
    pub findings: Vec<Finding>,
    /// Conditions for the status.
    pub conditions: Vec<Condition>,
    /// Whether a step's answer is missing or of an earlier time, as the pipeline allows; another try may get it.
    pub degraded: bool,
    /// What steps that keep their last answer answered, for the next time.
    pub last: BTreeMap<String, Response>,
}

impl Plan {
    /// All objects in the order of applying, as `pgloom render` prints them: seals closed, Secrets without their passwords.
    pub fn documents(&self) -> Vec<Value> {
        let objects = self.objects.iter().map(|desired| desired.object.clone());
        let secrets = self.secrets.iter().map(Wanted::object);
        let all = self.accounts.iter().cloned().chain(objects).chain(secrets).collect();
        in_order(all, |object: &Value| object["kind"].as_str().unwrap_or_default())
    }

    /// The pipeline's objects with their seals opened, in the order of applying: for the API server only.
    ///
    /// # Errors
    /// If a seal cannot be opened, which [`decide`] has ruled out.
    pub fn opened(&self) -> Result<Vec<Value>, Error> {
        let open = |desired: &Desired| {
            let mut object = desired.object.clone();
            seal::open(&mut object, &self.seals).map_err(|source| broken(&desired.object, source))?;
            Ok(object)
        };
        self.objects.iter().map(open).collect()
    }

    /// Whether an object is desired.
    pub fn wants(&self, kind: &str, name: &str) -> bool {
        let secret = kind == "Secret" && self.secrets.iter().any(|secret| secret.name == name);
        secret
            || self
                .objects
                .iter()
                .any(|desired| desired.object["kind"] == kind && desired.object["metadata"]["name"] == name)
    }
}

/// Decides what one cluster is to be. `manifest` is the `postgresql` object, `config` the operator configuration.
///
/// # Errors
/// If the manifest or the configuration cannot be used, or a step fails that may not be left out.
pub fn decide(manifest: &Value, config: &Config, observed: &Observed, pipeline: &Pipeline) -> Result<Plan, Error> {
    let validated = validated(manifest, config, observed)?;
    let cluster = validated.cluster().clone();
    let mut findings: Vec<Finding> = validated.warnings().iter().map(finding::of_problem).collect();

    let (sealed, mut seals) = seal::seal_manifest(validated.object());
    let (shown, of_config) = seal::seal_config(config.values());
    seals.extend(of_config);
    let input = Input {
        cluster: sealed,
        config: shown,
        observed: observed.objects.clone(),
        actions: observed.actions.clone(),
        last: observed.last.clone(),
    };
    let Decision { objects, actions, findings: found, conditions, degraded, last } =
        pipeline.run(&input).map_err(|error| refusal(error, &findings))?;
    findings.extend(found);

    findings.extend(observed.infrastructure_findings.iter().map(finding::of_role));
    let roles = roles::gather(manifest, config, observed, &actions);
    findings.extend(roles.findings.iter().map(finding::of_role));
    let naming = naming(&cluster, config, manifest);
    let (secrets, clashes) = credential::wanted(&roles, &roles::user_lists(&actions), &naming);
    findings.extend(clashes.iter().map(finding::of_role));
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Error::Manifest(findings));
    }

    let accounts = service_account::objects(&cluster.namespace, &account_settings(config))?;
    let mut objects = in_order(objects, |desired: &Desired| desired.object["kind"].as_str().unwrap_or_default());
    for desired in &mut objects {
        seal::check(&desired.object, &seals).map_err(|source| broken(&desired.object, source))?;
        complete(&mut desired.object, &cluster, naming.owner.as_ref());
        leave_annotations(&mut desired.object, observed, &config.list("ignored_annotations"));
    }
    Ok(Plan {
        cluster,
        accounts: accounts.into(),
        objects,
        seals,
        secrets,
        roles,
        actions,
        findings,
        conditions,
        degraded,
        last,
    })
}

fn validated(manifest: &Value, config: &Config, observed: &Observed) -> Result<Validated, Error> {
    if let Some(finding) = observed.objects.iter().find_map(finding::of_forgery) {
        return Err(Error::Manifest(vec![finding]));
    }
    validate(manifest, &config.rules())
        .map_err(|problems| Error::Manifest(problems.iter().map(finding::of_problem).collect()))
}

/// A plugin that refuses the manifest does not fail: its findings are what the user has to read.
fn refusal(error: RunError, findings: &[Finding]) -> Error {
    let refused = error.findings();
    if refused.is_empty() {
        return Error::Pipeline(Box::new(error));
    }
    let of_step = refused.iter().map(|found| Finding {
        step: error.step.clone(),
        severity: found.severity,
        message: found.message.clone(),
        path: found.path.clone(),
        object: found.object.clone(),
        remedy: found.remedy.clone(),
    });
    Error::Manifest(findings.iter().cloned().chain(of_step).collect())
}

/// What identifies an object is the host's to say.
fn complete(object: &mut Value, cluster: &Cluster, owner: Option<&Value>) {
    object["metadata"]["namespace"] = json!(cluster.namespace);
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([owner]);
    }
}

/// Leaves out annotations that others have changed and may.
fn leave_annotations(object: &mut Value, observed: &Observed, ignored: &[&str]) {
    const PLACES: [&str; 2] = ["/metadata/annotations", "/spec/template/metadata/annotations"];
    if ignored.is_empty() {
        return;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    let Some(existing) = observed.find(&kind, &name) else { return };
    for place in PLACES {
        let Some(Value::Object(annotations)) = object.pointer_mut(place) else { continue };
        let changed = |key: &str, value: &Value| {
            existing.pointer(place).and_then(|existing| existing.get(key)).is_some_and(|existing| existing != value)
        };
        annotations.retain(|key, value| !(ignored.contains(&key.as_str()) && changed(key, value)));
    }
}

fn broken(object: &Value, source: seal::Error) -> Error {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Error::Seal { kind: text(&object["kind"]), name: text(&object["metadata"]["name"]), source }
}

fn account_settings(config: &Config) -> service_account::Settings {
    service_account::Settings {
        name: config.text("pod_service_account_name").to_owned(),
        account: config.text("pod_service_account_definition").to_owned(),
        binding: config.text("pod_service_account_role_binding_definition").to_owned(),
        role: config.text("irsa_role_arn").to_owned(),
    }
}

fn naming(cluster: &Cluster, config: &Config, manifest: &Value) -> credential::Naming {
    let pick = |from: &BTreeMap<String, String>, keys: &str| -> BTreeMap<String, String> {
        config.list(keys).into_iter().filter_map(|key| Some((key.to_owned(), from.get(key)?.clone()))).collect()
    };
    let mut labels = BTreeMap::from([("team".to_owned(), cluster.team.clone())]);
    labels.extend(pick(&cluster.labels, "inherited_labels"));
    labels.extend(owned(config.map("cluster_labels")));
    labels.insert(config.text("cluster_name_label").to_owned(), cluster.name.clone());
    credential::Naming {
        template: config.text("secret_name_template").to_owned(),
        cluster: cluster.name.clone(),
        team: cluster.team.clone(),
        namespace: cluster.namespace.clone(),
        labels,
        annotations: pick(&cluster.annotations, "inherited_annotations"),
        owner: config.flag("enable_owner_references").then(|| owner(manifest)),
    }
}

/// Texts that live on their own.
fn owned(texts: BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    texts.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn owner(manifest: &Value) -> Value {
    json!({
        "apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "controller": true,
        "name": manifest["metadata"]["name"], "uid": manifest["metadata"]["uid"],
    })
}

#[cfg(test)]
mod tests;
