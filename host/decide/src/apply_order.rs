//! The order in which objects are applied.

use serde_json::Value;

use crate::kind::{BuiltIn, ObjectKey};

/// The position of a kind in the order of applying, from 0; a kind needs only kinds of lower positions.
pub fn rank(kind: Option<BuiltIn>) -> u8 {
    match kind {
        Some(BuiltIn::ServiceAccount) => 0,
        Some(BuiltIn::RoleBinding) => 1,
        Some(BuiltIn::Endpoints) => 2,
        Some(BuiltIn::Service) => 3,
        Some(BuiltIn::Secret) => 4,
        Some(BuiltIn::ConfigMap) => 5,
        Some(BuiltIn::PodDisruptionBudget) => 6,
        Some(BuiltIn::StatefulSet) => 7,
        Some(BuiltIn::CronJob) => 8,
        _ => 9,
    }
}

/// The position of an object.
pub fn rank_of(object: &Value) -> u8 {
    rank(ObjectKey::of(object).built_in())
}

/// Sorts desired objects into the order of applying; objects of one kind stay in the pipeline's order.
pub fn in_order<T>(mut objects: Vec<T>, object: impl Fn(&T) -> &Value) -> Vec<T> {
    objects.sort_by_key(|entry| rank_of(object(entry)));
    objects
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_applied_in_an_order_in_which_each_finds_what_it_needs() {
        let kinds = [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("v1", "Service"),
            ("policy/v1", "PodDisruptionBudget"),
            ("v1", "Endpoints"),
            ("serving.example.org/v1", "Service"),
            ("batch/v1", "CronJob"),
            ("v1", "ConfigMap"),
            ("v1", "Service"),
        ];
        let object = |(version, kind): (&str, &str)| json!({"apiVersion": version, "kind": kind});
        let ordered = in_order(kinds.map(object).into_iter().zip(0..).collect(), |(object, _)| object);
        let places: Vec<i32> = ordered.into_iter().map(|(_, place)| place).collect();
        assert_eq!(places, [4, 2, 8, 7, 3, 1, 6, 0, 5], "the custom resource comes with those that nothing needs");
    }
}
