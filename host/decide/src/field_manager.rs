//! The field managers of server-side apply that the operator knows, its own and its predecessor's, and their entries
//! among an object's managed fields.

use serde_json::Value;

/// The operator's field manager.
pub const MANAGER: &str = "pgloom";

/// The operator's field manager of what it writes beside the desired object, and an apply must not remove: the record of
/// certificates.
pub const BESIDE: &str = "pgloom-beside";

/// The field manager of the Zalando operator. Fields that it wrote and the pipeline states become the operator's own.
pub const PREDECESSOR: &str = "postgres-operator";

/// The field set of the operator's own entry among the managed fields.
pub fn applied_fields(managers: &[Value]) -> Option<Value> {
    managers.iter().find(|entry| is_entry_of(entry, MANAGER, "Apply")).and_then(|entry| entry.get("fieldsV1").cloned())
}

/// Whether the predecessor is among the writers of the object itself.
pub fn has_predecessor(managers: &[Value]) -> bool {
    managers.iter().any(is_predecessor)
}

/// Whether an entry of the managed fields is the predecessor's, or the operator's own of the creation. An apply alone
/// would leave both as owners, and a field that is no longer desired could never be removed.
pub fn is_predecessor(entry: &Value) -> bool {
    is_entry_of(entry, PREDECESSOR, "Update") || is_entry_of(entry, MANAGER, "Update")
}

/// Whether an entry of the managed fields is of that manager and operation, and of the object itself, not of a
/// subresource.
///
/// See [managed fields](https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management).
pub fn is_entry_of(entry: &Value, manager: &str, operation: &str) -> bool {
    entry["manager"] == manager && entry["operation"] == operation && entry.get("subresource").is_none()
}
