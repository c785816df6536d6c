//! TLS: the cluster's own certificate, from a Secret, instead of the one that the image generates.

use pgloom_kit::container::{DATABASE, Env, env, pod_contribution};
use pgloom_kit::json::{list, object, text, unless_empty};
use pgloom_kit::tls::Files;
use pgloom_kit::{Description, NoSettings, Plugin, Response, Result, Value, Warnings, bootstrap, kind};
use pgloom_kit::{operator_config, register, spec, tls};

/// The plugin: it mounts the Secrets of `spec.tls` in the database's container and sets the variables with the paths of
/// the files.
pub struct Tls;

type Request = pgloom_kit::Request<Tls>;

/// The group id of the database's process in the image, which has to be able to read the key.
const POSTGRES_GROUP: i64 = 103;

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        tls: tls::Tls = "tls",
        fs_group: Option<i64> = "spiloFSGroup",
    }
}

operator_config! {
    /// The keys of the operator configuration that the plugin reads.
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
            "spec.template.spec.containers[name=postgres].env[name=SSL_CERTIFICATE_FILE]",
            "spec.template.spec.containers[name=postgres].env[name=SSL_PRIVATE_KEY_FILE]",
            "spec.template.spec.containers[name=postgres].env[name=SSL_CA_FILE]",
            "spec.template.spec.containers[name=postgres].volumeMounts[mountPath=/tls]",
            "spec.template.spec.containers[name=postgres].volumeMounts[mountPath=/tlsca]",
        ];
        Description::of::<Self>("tls", env!("CARGO_PKG_VERSION"), "Serves the cluster's own certificate.")
            .when_manifest("/spec/tls/secretName")
            .reads_desired(kind("apps/v1", "StatefulSet"))
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &written)
            // The Secret of the certificate.
            .privilege("foreign-secret")
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request) -> Result<Response> {
        let Some(files) = request.cluster.spec.tls.files() else { return Ok(Response::new()) };
        let workload = request.desired_statefulset()?;
        let mut warnings = Warnings::default();
        let container = object([
            ("name", text(DATABASE)),
            ("env", unless_empty(Value::Array(variables(&files, &workload, &mut warnings)))),
            ("volumeMounts", Value::Array(files.mounts())),
        ]);
        let pod = object([
            ("containers", list([container])),
            ("volumes", Value::Array(files.volumes())),
            ("securityContext", unless_empty(object([("fsGroup", group(request).into())]))),
        ]);
        Ok(Response::new().apply(pod_contribution(&request.cluster.name, pod)).with(warnings))
    }
}

/// The variables by which the image finds the files. A variable that the manifest or the platform sets keeps its value.
fn variables(files: &Files, workload: &Value, warnings: &mut Warnings) -> Vec<Value> {
    let paths = [
        ("SSL_CERTIFICATE_FILE", Some(&files.certificate)),
        ("SSL_PRIVATE_KEY_FILE", Some(&files.key)),
        ("SSL_CA_FILE", files.ca.as_ref()),
    ];
    let existing = Env::of(bootstrap::variables(workload).to_vec());
    let mut variables = Vec::new();
    for (name, path) in paths {
        let Some(path) = path else { continue };
        if existing.has(name) {
            warnings.warn(
                "spec.tls",
                format!("the variable {name} already has a value; that value is used"),
                bootstrap::REMOVE_VARIABLE,
            );
        } else {
            variables.push(env(name, path));
        }
    }
    variables
}

/// The group that may read the key, if neither the manifest nor the operator configuration sets one.
fn group(request: &Request) -> Option<i64> {
    let named = request.cluster.spec.fs_group.or(request.config.spilo_fsgroup);
    if named.is_some() { None } else { Some(POSTGRES_GROUP) }
}

register!(Tls);

#[cfg(test)]
mod tests;
