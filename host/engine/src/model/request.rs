//! All that a plugin's response depends on.

use pgloom_api::ObjectRef;
use serde::{Deserialize, Serialize};

use super::action::ActionState;

/// All that a response depends on. Equal requests have equal responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The `postgresql` object as JSON text.
    pub cluster: String,
    /// The keys of the operator configuration that the description names, as JSON text.
    pub operator_config: String,
    /// The step's configuration with the defaults of the plugin's schema, as JSON text.
    pub config: String,
    /// The desired objects of the kinds that the description names, as merged so far.
    pub desired: Vec<DesiredObject>,
    /// The existing objects that the description selects.
    pub observed: Vec<ObservedObject>,
    /// The state of the actions that the step requested before.
    pub actions: Vec<ActionState>,
}

/// A desired object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DesiredObject {
    /// Which object it is.
    pub identity: ObjectRef,
    /// The object as JSON text.
    pub object: String,
}

/// An existing object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObservedObject {
    /// The id of the selector that selects it.
    pub selector: String,
    /// Which object it is.
    pub identity: ObjectRef,
    /// The object as JSON text.
    pub object: String,
}
