//! TLS: the cluster's own certificate, from a Secret, instead of the one that the image makes for itself.

use pgloom_kit::container::{DATABASE, Env, env, to_pod};
use pgloom_kit::object::{list, object, text, unless_empty};
use pgloom_kit::{Description, NoSettings, Notes, Plugin, Response, Result, Value, internal, kind};
use pgloom_kit::{bootstrap, fields, operator_config, register, spec};

mod files;

/// The plugin.
pub struct Tls;

type Request = pgloom_kit::Request<Tls>;

/// The group of the database's process in the image; without it the key cannot be read.
const POSTGRES_GROUP: i64 = 103;

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        tls: Section = "tls",
        fs_group: Option<i64> = "spiloFSGroup",
    }
}

fields! {
    /// `spec.tls`. Empty texts count as left out.
    pub struct Section {
        secret_name: Option<String> = "secretName",
        certificate_file: Option<String> = "certificateFile",
        private_key_file: Option<String> = "privateKeyFile",
        ca_file: Option<String> = "caFile",
        ca_secret_name: Option<String> = "caSecretName",
    }
}

operator_config! {
    /// What the plugin reads of the operator configuration.
    pub struct Config {
        spilo_fsgroup: Option<i64>,
    }
}

impl Plugin for Tls {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        let written = [
            "spec.template.spec.volumes",
            "spec.template.spec.securityContext.fsGroup",
            "spec.template.spec.containers[name=postgres].env",
            "spec.template.spec.containers[name=postgres].volumeMounts",
        ];
        Description::of::<Self>("tls", env!("CARGO_PKG_VERSION"), "Serves the cluster's own certificate.")
            .when_manifest("/spec/tls/secretName")
            .reads_desired(kind("apps/v1", "StatefulSet"))
            .writes(kind("apps/v1", "StatefulSet"), &written)
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request) -> Result<Response> {
        let name = &request.cluster.name;
        let Some(files) = files::Files::of(&request.cluster.spec.tls) else { return Ok(Response::new()) };
        let Some(workload) = request.desired::<Value>("StatefulSet", name)? else {
            return Err(internal(
                "no earlier step makes the cluster's StatefulSet; put this step behind that of spilo",
            ));
        };
        let mut notes = Notes::default();
        let container = object([
            ("name", text(DATABASE)),
            ("env", unless_empty(Value::Array(variables(&files, &workload, &mut notes)))),
            ("volumeMounts", Value::Array(files.mounts())),
        ]);
        let pod = object([
            ("containers", list([container])),
            ("volumes", Value::Array(files.volumes())),
            ("securityContext", unless_empty(object([("fsGroup", group(request).into())]))),
        ]);
        Ok(Response::new().apply(to_pod(name, pod)).with(notes))
    }
}

/// Where the files are, unless the manifest or the platform says so itself.
fn variables(files: &files::Files, workload: &Value, notes: &mut Notes) -> Vec<Value> {
    let existing = Env::of(bootstrap::variables(workload).to_vec());
    let mut variables = Vec::new();
    for (name, path) in files.paths() {
        if existing.has(name) {
            notes.warn(
                "spec.tls",
                ["the variable ", name, " is already set; that value is used"].concat(),
                "remove it from spec.env, or from what pod_environment_secret and pod_environment_configmap name",
            );
        } else {
            variables.push(env(name, path));
        }
    }
    variables
}

/// The group that may read the key, where neither the manifest nor the platform names one.
fn group(request: &Request) -> Option<i64> {
    let named = request.cluster.spec.fs_group.or(request.config.spilo_fsgroup);
    if named.is_some() { None } else { Some(POSTGRES_GROUP) }
}

register!(Tls);

#[cfg(test)]
mod tests;
