//! Takes the token of the service account from the pods of a step that may not give them one.
//!
//! Kubernetes mounts the token of the namespace's default account in each pod that does not say otherwise.

use std::sync::Arc;

use pgloom_api::pod_template;
use serde_json::Value;

use super::merger::{Merger, Object};
use crate::{owners::Owners, tree::Node};

/// The field by which a pod has no token.
const TOKEN: &str = "automountServiceAccountToken";
/// The fields by which a step with the privilege has decided about the account and its token.
const DECIDED: [&str; 3] = [TOKEN, "serviceAccountName", "serviceAccount"];

impl Merger {
    /// Sets that the pods of steps without the privilege `service-account` have no token, where no step that has it decided
    /// about that. Call it after the last step.
    pub fn withhold_tokens(&mut self) {
        self.objects.iter_mut().filter(|object| object.without_token).for_each(withhold);
    }
}

fn withhold(object: &mut Arc<Object>) {
    let Some(template) = pod_template::path(&object.identity.api_version, &object.identity.kind) else { return };
    let object = Arc::make_mut(object);
    let mut spec = &mut object.root;
    for name in template.iter().chain(&["spec"]) {
        let Node::Map(fields, _) = spec else { return };
        let Some(below) = fields.get_mut(*name) else { return };
        spec = below;
    }
    if let Node::Map(fields, _) = spec
        && !DECIDED.iter().any(|field| fields.contains_key(*field))
    {
        fields.insert(TOKEN.to_owned(), Node::Leaf(Value::Bool(false), Owners::of(object.creator)));
    }
}
