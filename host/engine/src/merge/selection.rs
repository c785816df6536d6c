//! The checks of an answer after its merge: Services, disruption budgets and network policies select only pods of the
//! cluster, no pod has the label of another cluster, and no reference copies a credential of another step.
//!
//! A label or a selector may be set in parts, by several contributions, so what counts is the merged object.

use std::collections::BTreeSet;
use std::sync::Arc;

use pgloom_api::pod_template;
use serde_json::Value;

use super::{
    error::Error,
    merger::{Merger, Object},
    reference,
};
use crate::{
    model::ObjectRef,
    path::{FieldPath, Segment},
    scope::Scope,
    tree::Node,
};

const OTHERS: &str = "it selects pods that are not the cluster's; select those with the label of the cluster";
const COPIES: &str = "it refers to a variable that holds a credential of another step";
const ANOTHER: &str = "it is the label of another cluster";

impl Merger {
    /// Checks what the objects select that the contributions of a step have changed, and those of the same name: a Service may
    /// select the pods of an object of its name.
    ///
    /// # Errors
    /// The first object that selects pods of others, or whose pods would be selected as those of another cluster.
    pub fn check_selections(&mut self, step: &str) -> Result<(), Error> {
        let changed = std::mem::take(&mut self.changed);
        let names: BTreeSet<&str> =
            changed.iter().filter_map(|index| Some(self.objects.get(*index)?.identity.name.as_str())).collect();
        let fault =
            self.objects.iter().filter(|object| names.contains(object.identity.name.as_str())).find_map(|object| {
                let (path, reason) = fault(object, &self.objects, &self.scope)?;
                Some((Box::new(object.identity.clone()), path, reason))
            });
        let Some((object, path, reason)) = fault else { return Ok(()) };
        Err(Error::Reserved { step: step.to_owned(), object, path, reason })
    }

    /// Checks the references to variables, after the contributions of a step.
    ///
    /// # Errors
    /// The first reference to a credential of a step that did not set the reference.
    pub fn check_references(&self, step: &str) -> Result<(), Error> {
        if !self.has_references {
            return Ok(());
        }
        let fault = self.objects.iter().find_map(|object| {
            let path = reference::fault(&object.identity, &object.root)?;
            Some((Box::new(object.identity.clone()), path))
        });
        let Some((object, path)) = fault else { return Ok(()) };
        Err(Error::Reserved { step: step.to_owned(), object, path, reason: COPIES })
    }
}

/// The first field of an object that concerns pods of others, and why it is refused.
fn fault(of: &Object, objects: &[Arc<Object>], scope: &Scope) -> Option<(FieldPath, &'static str)> {
    let Object { identity: object, root, .. } = of;
    if scope.labels.is_empty() {
        return None;
    }
    let (kind, may_be_absent, path): (_, _, &[&str]) = match (object.api_version.as_str(), object.kind.as_str()) {
        // Without a selector a Service and a budget select no pods, and a policy all of them.
        ("v1", "Service") => (Kind::Service, true, &["spec", "selector"]),
        ("policy/v1", "PodDisruptionBudget") => (Kind::Labels, true, &["spec", "selector"]),
        ("networking.k8s.io/v1", "NetworkPolicy") => (Kind::Labels, false, &["spec", "podSelector"]),
        (api_version, kind) => {
            let template = pod_template::path(api_version, kind)?;
            let path: Vec<&str> = template.iter().copied().chain(["metadata", "labels"]).collect();
            let labels = at(root, &path)?.to_value();
            return foreign(&labels, scope).map(|key| (place(&path, &[key]), ANOTHER));
        }
    };
    let Some(selector) = at(root, path) else {
        return (!may_be_absent).then(|| (place(path, &[]), OTHERS));
    };
    let selector = selector.to_value();
    let (labels, below): (&Value, &[&str]) = match kind {
        Kind::Service => (&selector, &[]),
        Kind::Labels => (&selector["matchLabels"], &["matchLabels"]),
    };
    if let Some(key) = foreign(labels, scope) {
        return Some((place(path, &[below, &[key]].concat()), ANOTHER));
    }
    let is_own =
        scope.labels.iter().all(|(key, value)| labels[key] == value.as_str() || is_required(&selector, key, value));
    let selects_namesake = || matches!(kind, Kind::Service) && selects_pods_of_namesake(object, labels, objects);
    (!is_own && !selects_namesake()).then(|| (place(path, &[]), OTHERS))
}

/// Whether the labels that a Service selects by are those of the pods of an object of this cluster with the Service's name, as of
/// a pooler's Deployment, and one of them is that name: a namespace has no other object of the kind with the name.
fn selects_pods_of_namesake(service: &ObjectRef, labels: &Value, objects: &[Arc<Object>]) -> bool {
    let Some(labels) = labels.as_object() else { return false };
    let is_named = labels.values().any(|value| *value == service.name.as_str());
    let has_labels = |object: &Arc<Object>| {
        let Some(template) = pod_template::path(&object.identity.api_version, &object.identity.kind) else {
            return false;
        };
        let path: Vec<&str> = template.iter().copied().chain(["metadata", "labels"]).collect();
        let has = |(key, value): (&String, &Value)| {
            let label = at(&object.root, &path).and_then(|pods| pods.field(key));
            label.zip(value.as_str()).is_some_and(|(label, value)| label.is_text(value))
        };
        object.identity.name == service.name && labels.iter().all(has)
    };
    is_named && objects.iter().any(has_labels)
}

/// The form of a selector.
#[derive(Clone, Copy)]
enum Kind {
    /// A map of labels.
    Service,
    /// A [label selector](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/).
    Labels,
}

/// The label of the cluster that has the value of another cluster.
fn foreign<'a>(labels: &Value, scope: &'a Scope) -> Option<&'a str> {
    let is_foreign =
        |(key, value): &(&String, &String)| labels.get(key.as_str()).is_some_and(|label| label != value.as_str());
    scope.labels.iter().find(is_foreign).map(|(key, _)| key.as_str())
}

/// Whether an expression of a selector requires the label.
fn is_required(selector: &Value, key: &str, value: &str) -> bool {
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let mut of_key = expressions.filter(|expression| expression["key"] == key && expression["operator"] == "In");
    of_key.any(|expression| expression["values"] == Value::from([value]))
}

fn at<'a>(root: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, name| node.field(name))
}

fn place(path: &[&str], below: &[&str]) -> FieldPath {
    FieldPath::new(path.iter().chain(below).map(|name| Segment::Field((*name).to_owned())).collect())
}
