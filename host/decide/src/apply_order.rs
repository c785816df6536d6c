//! The order in which objects are applied.

/// The position of a kind in the order of applying, from 0; a kind needs only kinds of lower positions.
pub fn rank(kind: &str) -> u8 {
    match kind {
        "ServiceAccount" => 0,
        "RoleBinding" => 1,
        "Endpoints" => 2,
        "Service" => 3,
        "Secret" => 4,
        "ConfigMap" => 5,
        "PodDisruptionBudget" => 6,
        "StatefulSet" => 7,
        "CronJob" => 8,
        _ => 9,
    }
}

/// Sorts desired objects into the order of applying; objects of one kind stay in the pipeline's order.
pub fn in_order<T>(mut objects: Vec<T>, kind: impl Fn(&T) -> &str) -> Vec<T> {
    objects.sort_by_key(|object| rank(kind(object)));
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_applied_in_an_order_in_which_each_finds_what_it_needs() {
        let kinds = [
            "Deployment",
            "StatefulSet",
            "Service",
            "PodDisruptionBudget",
            "Endpoints",
            "CronJob",
            "ConfigMap",
            "Service",
        ];
        let ordered = in_order(kinds.into_iter().zip(0..).collect(), |(kind, _)| kind);
        assert_eq!(
            ordered,
            [
                ("Endpoints", 4),
                ("Service", 2),
                ("Service", 7),
                ("ConfigMap", 6),
                ("PodDisruptionBudget", 3),
                ("StatefulSet", 1),
                ("CronJob", 5),
                ("Deployment", 0)
            ]
        );
    }
}
