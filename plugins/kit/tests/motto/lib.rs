//! Motto: a line of text in a ConfigMap of the cluster.

use pgloom_kit::json::{object, text};
use pgloom_kit::{Cluster, Description, NoSettings, Plugin, Request, Response, Result, Value, invalid, kind};
use pgloom_kit::{operator_config, register, spec};

/// The plugin: a ConfigMap for every cluster with the annotation.
pub struct Motto;

spec! {
    /// `spec` of the manifest: the fields that the plugin reads, each with its key. Null means a missing key.
    pub struct Spec {
        team: String = "teamId",
    }
}

operator_config! {
    /// The keys of the operator configuration that the plugin reads. The host sends no others.
    pub struct Config {
        db_hosted_zone: String,
    }
}

impl Plugin for Motto {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        Description::of::<Self>("motto", env!("CARGO_PKG_VERSION"), "Keeps the cluster's motto in a ConfigMap.")
            .when_manifest("/metadata/annotations/example.com~1motto")
            .creates(kind("v1", "ConfigMap"), &["{cluster}-motto"])
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let cluster = &request.cluster;
        let motto = cluster.annotations.get("example.com/motto").map(String::as_str).unwrap_or_default();
        if motto.len() > 80 {
            let message = format!("the motto has {} bytes, more than 80", motto.len());
            return Err(invalid("metadata.annotations", message, "shorten it"));
        }
        Ok(Response::new().apply(object([
            ("apiVersion", text("v1")),
            ("kind", text("ConfigMap")),
            ("metadata", object([("name", text(&format!("{}-motto", cluster.name))), ("labels", labels(cluster))])),
            ("data", object([("motto", text(motto)), ("zone", text(&request.config.db_hosted_zone))])),
        ])))
    }
}

fn labels(cluster: &Cluster<Spec>) -> Value {
    object([("team", text(&cluster.spec.team))])
}

register!(Motto);

#[cfg(test)]
mod tests {
    use pgloom_kit::json;
    use pgloom_kit::testing::{Call, operator_config, reason};

    use super::Motto;

    fn call(motto: &str) -> Call {
        let manifest = json!({
            "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
            "metadata": {"name": "acid-orders", "namespace": "shop", "annotations": {"example.com/motto": motto}},
            "spec": {"teamId": "acid", "numberOfInstances": 2},
        });
        Call::new(&manifest).operator_config(&operator_config(&json!({"db_hosted_zone": "db.example.com"})))
    }

    #[test]
    fn the_motto_of_the_annotation_is_in_the_config_map() {
        let answer = call("on time").mutate::<Motto>().unwrap();
        let data = &answer.object("ConfigMap", "acid-orders-motto").unwrap()["data"];
        assert_eq!(*data, json!({"motto": "on time", "zone": "db.example.com"}));
    }

    #[test]
    fn a_long_motto_is_refused_with_its_path() {
        let failure = call(&"x".repeat(81)).mutate::<Motto>().unwrap_err();
        assert_eq!(reason(&failure), "metadata.annotations: the motto has 81 bytes, more than 80");
    }
}
