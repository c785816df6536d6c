//! What another pipeline or configuration would change for a cluster, and which pods it would restart: two decisions,
//! compared field by field.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodTemplateSpec;
use pgloom_api::config::Config;
use pgloom_engine::{HOST, ObjectRef, Ownership, Pipeline, leaves, restarts_pods};
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value};

use crate::adoption::{normal, restarts};
use crate::explain::with_uid;
use crate::kind::{BuiltIn, ObjectKey};
use crate::normal::quantities;
use crate::rollout::template_difference;
use crate::{Error, Observed, Plan, decide, trace};

/// A pipeline and an operator configuration.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The existing objects as this pipeline sees them.
    pub observed: &'a Observed,
}

/// What changes for one cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Impact {
    /// The cluster, as `namespace/name`.
    pub cluster: String,
    /// What all of it comes to.
    pub verdict: Verdict,
    /// The objects that change, in the order of their kinds and names.
    pub objects: Vec<ObjectImpact>,
    /// The pods that restart.
    pub restarts: Vec<Restart>,
    /// The pods of the database that restart, whatever the two decide: both differ from what runs alike, as after another
    /// version of the operator made it. They are not counted until [`Impact::count_outdated`].
    #[serde(skip)]
    pub outdated: Option<Restart>,
    /// The existing objects because of which the operator would not write what is desired then, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
    /// Why the cluster cannot be decided now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_now: Option<String>,
    /// Why the cluster cannot be decided by the new one: it would stay as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_then: Option<String>,
}

/// What a change comes to, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing changes.
    Same,
    /// Objects change, and no pod restarts.
    Changes,
    /// Pods restart.
    Restarts,
    /// The cluster, which can be decided now, would be held: nothing would be written for it.
    Held,
    /// Neither can decide the cluster, so there is nothing to compare.
    Unknown,
}

/// What changes of one object.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectImpact {
    /// The object.
    pub object: ObjectRef,
    /// What happens to it.
    pub change: ObjectChange,
    /// The step that creates it; `pgloom` is the host.
    pub step: String,
    /// The fields that change, in the order of their paths; empty if the object is created or removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldImpact>,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectChange {
    /// It does not exist before.
    Created,
    /// It is no longer desired.
    Removed,
    /// Some of its fields are others.
    Changed,
}

/// A field that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldImpact {
    /// The path, with the keys of entries.
    pub path: String,
    /// The value now; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value then; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The steps that set it then, or that set it now if it is removed; `pgloom` is the host.
    pub steps: Vec<String>,
}

/// Pods that restart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Restart {
    /// The object with the template of the pods.
    pub object: ObjectRef,
    /// How many pods; absent if it is one for each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<u64>,
    /// Whether they are the database's.
    pub database: bool,
    /// The first field for which they restart, in the template.
    pub field: String,
    /// The steps that set the changed fields of the template; empty if what runs is outdated.
    pub steps: Vec<String>,
    /// Whether they restart because what runs is outdated, and not because the two differ.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}

impl Impact {
    /// The pods that restart, those of the database among them. A set with one pod on each node counts as one pod.
    pub fn pods(&self) -> u64 {
        self.restarts.iter().map(|restart| restart.pods.unwrap_or(1)).sum()
    }

    /// Counts the pods that are outdated among those that restart.
    pub fn count_outdated(&mut self) {
        if let Some(outdated) = self.outdated.take() {
            self.restarts.push(outdated);
            self.verdict = Verdict::Restarts;
        }
    }
}

/// The objects of a decision by identity, each with who set its fields and who created it.
type Side = BTreeMap<ObjectRef, (Value, Ownership, String)>;

/// What changes for a cluster when `then` takes the place of `now`.
pub fn impact(manifest: &Value, now: Setting<'_>, then: Setting<'_>) -> Impact {
    let manifest = &with_uid(manifest);
    let key = ObjectKey::of(manifest);
    let empty = |verdict| Impact {
        cluster: format!("{}/{}", key.namespace, key.name),
        verdict,
        objects: Vec::new(),
        restarts: Vec::new(),
        outdated: None,
        foreign: Vec::new(),
        refused_now: None,
        refused_then: None,
    };
    match (side(manifest, now), side(manifest, then)) {
        (Ok(Decided { side: before, .. }), Ok(Decided { side: after, foreign, plan })) => {
            let lazy = then.config.flag("enable_lazy_spilo_upgrade");
            let objects = objects(&before, &after, then.pipeline);
            let restarts: Vec<Restart> =
                objects.iter().filter_map(|object| restart(object, &before, &after, (key.name, lazy))).collect();
            let is_known = restarts.iter().any(|restart| restart.database) || !foreign.is_empty();
            let outdated = if is_known { None } else { outdated(&plan, &then.observed.objects, (key.name, lazy)) };
            let verdict = match (objects.is_empty(), restarts.is_empty()) {
                (true, _) => Verdict::Same,
                (false, true) => Verdict::Changes,
                (false, false) => Verdict::Restarts,
            };
            Impact { objects, restarts, outdated, foreign, ..empty(verdict) }
        }
        // What was held goes on: every object is written as if it were new, which cannot be compared.
        (Err(refused), Ok(Decided { foreign, .. })) => {
            Impact { refused_now: Some(refused.to_string()), foreign, ..empty(Verdict::Changes) }
        }
        (Ok(_), Err(refused)) => Impact { refused_then: Some(refused.to_string()), ..empty(Verdict::Held) },
        (Err(one), Err(other)) => Impact {
            refused_now: Some(one.to_string()),
            refused_then: Some(other.to_string()),
            ..empty(Verdict::Unknown)
        },
    }
}

/// What is decided of a cluster.
struct Decided {
    side: Side,
    /// What the operator would not write of it.
    foreign: Vec<String>,
    plan: Plan,
}

fn side(manifest: &Value, setting: Setting<'_>) -> Result<Decided, Error> {
    let Setting { config, pipeline, observed } = setting;
    let plan = decide(manifest, config, observed, pipeline)?;
    let foreign = plan.clashes(&observed.others).iter().map(ToString::to_string).collect();
    let documents = plan.documents();
    let traced = trace(manifest, config, observed, pipeline)?;
    let identity = |object: &Value| ObjectKey::of(object).reference();
    let owned = documents.into_iter().map(|document| {
        let object = identity(&document);
        let (schema, kind) = pipeline.schemas().kind(&object.api_version, &object.kind);
        let of_steps = traced.objects.iter().zip(&traced.owners).find(|(known, _)| identity(&known.object) == object);
        let nothing = Value::Object(Map::new());
        let (desired, owners, step) = match of_steps {
            Some((known, owners)) => (&known.object, owners.clone(), known.step.clone()),
            None => (&nothing, Ownership::default(), HOST.to_owned()),
        };
        let owners = owners.with_host(schema, kind.root, desired, &document).unwrap_or_default();
        (object, (document, owners, step))
    });
    Ok(Decided { side: owned.collect(), foreign, plan })
}

/// The pods of the database that restart because the existing StatefulSet is not as it is decided.
fn outdated(plan: &Plan, existing: &[Value], (cluster, lazy): (&str, bool)) -> Option<Restart> {
    let is_set = |object: &&Value| ObjectKey::of(object).is(BuiltIn::StatefulSet, cluster);
    let before = existing.iter().find(is_set)?;
    // With their credentials, as the API server has them. Whether these are complete was checked in the decision.
    let desired = plan.filled().ok()?;
    let after = desired.iter().find(is_set)?;
    let field = restarts(&normal(before), &normal(after), lazy).into_iter().next()?;
    Some(Restart {
        object: ObjectKey::of(after).reference(),
        pods: Some(replicas(before).min(replicas(after))),
        database: true,
        field: field.trim_start_matches("spec.template.spec.").to_owned(),
        steps: Vec::new(),
        outdated: true,
    })
}

fn replicas(set: &Value) -> u64 {
    set["spec"]["replicas"].as_u64().unwrap_or(1)
}

fn objects(before: &Side, after: &Side, pipeline: &Pipeline) -> Vec<ObjectImpact> {
    let names: BTreeSet<&ObjectRef> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter_map(|object| {
        let of = |change, step: &str, fields| {
            Some(ObjectImpact { object: object.clone(), change, step: step.to_owned(), fields })
        };
        match (before.get(object), after.get(object)) {
            (None, Some((_, _, step))) => of(ObjectChange::Created, step, Vec::new()),
            (Some((_, _, step)), None) => of(ObjectChange::Removed, step, Vec::new()),
            (Some((old, old_owners, _)), Some((new, new_owners, step))) => {
                let (schema, kind) = pipeline.schemas().kind(&object.api_version, &object.kind);
                let leaves = |object: &Value| leaves(schema, kind.root, object).unwrap_or_default();
                let fields = fields((&leaves(old), old_owners), (&leaves(new), new_owners));
                // The order of entries counts, too, as of variables that refer to each other.
                let is_same = fields.is_empty() && old == new;
                if is_same { None } else { of(ObjectChange::Changed, step, fields) }
            }
            (None, None) => None,
        }
    });
    changed.collect()
}

/// The leaves of an object, and who set them.
type Owned<'a> = (&'a BTreeMap<String, Value>, &'a Ownership);

fn fields((old, old_owners): Owned<'_>, (new, new_owners): Owned<'_>) -> Vec<FieldImpact> {
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = paths.into_iter().filter(|path| old.get(*path) != new.get(*path));
    let field = |path: &String| {
        let steps = match (new.get(path), new_owners.removed.get(path)) {
            (Some(_), _) => new_owners.owners_of(path),
            (None, Some(step)) => vec![step.clone()],
            (None, None) => old_owners.owners_of(path),
        };
        FieldImpact { path: path.clone(), before: old.get(path).cloned(), after: new.get(path).cloned(), steps }
    };
    changed.map(field).collect()
}

/// The pods that restart because the template of an object changes.
fn restart(changed: &ObjectImpact, before: &Side, after: &Side, (cluster, lazy): (&str, bool)) -> Option<Restart> {
    let object = &changed.object;
    if changed.change != ObjectChange::Changed || !restarts_pods(&object.api_version, &object.kind) {
        return None;
    }
    let (old, new) = (&before.get(object)?.0, &after.get(object)?.0);
    let (old_template, new_template) = (&old["spec"]["template"], &new["spec"]["template"]);
    let database = ObjectKey::of(new).is(BuiltIn::StatefulSet, cluster);
    let of_template = |field: &&FieldImpact| field.path.starts_with("spec.template.");
    let field = if database {
        let template = |value: &Value| PodTemplateSpec::deserialize(value).unwrap_or_default();
        template_difference(&template(new_template), &template(old_template), lazy)?
    } else {
        // The controllers of Kubernetes compare the whole template, labels and annotations included.
        let first = changed.fields.iter().find(of_template);
        let path = || first.map_or("template", |field| field.path.trim_start_matches("spec.template."));
        let by_value = |template: &Value| {
            let mut template = template.clone();
            quantities(&mut template);
            template
        };
        (by_value(old_template) != by_value(new_template)).then(|| path().to_owned())?
    };
    let pods = (object.kind != "DaemonSet").then(|| replicas(old).min(replicas(new)));
    let steps: BTreeSet<&String> = changed.fields.iter().filter(of_template).flat_map(|field| &field.steps).collect();
    // Without a pod there is nothing to restart.
    (pods != Some(0)).then(|| Restart {
        object: object.clone(),
        pods,
        database,
        field,
        steps: steps.into_iter().cloned().collect(),
        outdated: false,
    })
}

#[cfg(test)]
mod tests;
