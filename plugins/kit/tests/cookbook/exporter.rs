//! Exporter: postgres_exporter as a sidecar of the database, with a role of its own.

use pgloom_kit::common::name::secret_name;
use pgloom_kit::k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use pgloom_kit::k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, PodSpec, PodTemplateSpec, SecretKeySelector,
};
use pgloom_kit::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_kit::{Action, ActionKind, Credential, Description, Plugin, Request, Response, Result, kind, register};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The role by which the exporter logs in.
const ROLE: &str = "exporter";
/// The name of its container, which no sidecar of a manifest should have.
const CONTAINER: &str = "pg-exporter";

/// The plugin.
pub struct Exporter;

/// The keys of the operator configuration that the plugin reads.
#[derive(Deserialize)]
pub struct Config {
    secret_name_template: String,
}

/// The configuration of the step.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The image of the exporter.
    pub image: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { image: "quay.io/prometheuscommunity/postgres-exporter:v0.17.1".to_owned() }
    }
}

impl Plugin for Exporter {
    type Spec = IgnoredAny;
    type Config = Config;
    type Settings = Settings;

    fn describe() -> Description {
        let container = "spec.template.spec.containers[name=pg-exporter]";
        Description::of::<Self>("exporter", "0.1.0", "Adds postgres_exporter to the pods of the database.")
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &[container])
            .acts(ActionKind::Credential, &[ROLE])
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let cluster = &request.cluster;
        // The host makes the role, its password and the Secret; the plugin only names them.
        let role = Credential { username: ROLE.to_owned(), labels: Vec::new() };
        let secret = secret_name(&request.config.secret_name_template, ROLE, &cluster.name, &cluster.team);
        let container = Container {
            name: CONTAINER.to_owned(),
            image: Some(request.settings.image.clone()),
            ports: Some(vec![ContainerPort {
                name: Some("metrics".to_owned()),
                container_port: 9187,
                protocol: Some("TCP".to_owned()),
                ..Default::default()
            }]),
            env: Some(vec![
                EnvVar {
                    name: "DATA_SOURCE_URI".to_owned(),
                    value: Some("localhost:5432/postgres?sslmode=require".to_owned()),
                    ..Default::default()
                },
                of_secret("DATA_SOURCE_USER", &secret, "username"),
                of_secret("DATA_SOURCE_PASS", &secret, "password"),
            ]),
            ..Default::default()
        };
        let pod = PodSpec { containers: vec![container], ..Default::default() };
        let template = PodTemplateSpec { spec: Some(pod), ..Default::default() };
        let metadata = ObjectMeta { name: Some(cluster.name.clone()), ..Default::default() };
        let spec = Some(StatefulSetSpec { template, ..Default::default() });
        let set = StatefulSet { metadata, spec, ..Default::default() };
        Ok(Response::new().act("role", Action::Credential(role)).apply(&set))
    }
}

/// A variable with the value of a Secret's key.
fn of_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), ..Default::default() };
    let value_from = Some(EnvVarSource { secret_key_ref: Some(key), ..Default::default() });
    EnvVar { name: name.to_owned(), value_from, ..Default::default() }
}

register!(Exporter);
