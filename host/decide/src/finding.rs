//! The finding about an existing object that holds a forged placeholder.

use pgloom_api::{Finding, ObjectRef, placeholder};
use serde_json::Value;

use crate::kind::ObjectKey;

/// An existing object that holds a placeholder of a credential. Its author wants a step to copy the placeholder to a place
/// where the host fills it in.
pub(crate) fn of_forgery(object: &Value) -> Option<Finding> {
    let path = placeholder::forged(object)?;
    let key = ObjectKey::of(object);
    let object =
        ObjectRef { api_version: key.api_version.to_owned(), kind: key.kind.to_owned(), name: key.name.to_owned() };
    Some(placeholder::forgery().at(path).of(object).remedy("write the value itself there"))
}
