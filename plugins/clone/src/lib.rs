//! Clone: starts a cluster with the data of another one, from its archive up to a moment, or from its running leader.

use pgloom_kit::{Description, NoSettings, Notes, Plugin, Request, Response, Result, Value, bootstrap, kind};
use pgloom_kit::{operator_config, register, spec};

mod archive;
mod leader;
mod source;
mod timestamp;

use source::Source;

/// The plugin.
pub struct Clones;

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        clone: Source = "clone",
        env: Vec<Value> = "env",
    }
}

operator_config! {
    /// What the plugin reads of the operator configuration.
    pub struct Config {
        gcp_credentials: String,
        replication_username: String,
        secret_name_template: String,
        wal_az_storage_account: String,
        wal_gs_bucket: String,
        wal_s3_bucket: String,
    }
}

impl Plugin for Clones {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        Description::of::<Self>("clone", env!("CARGO_PKG_VERSION"), "Starts a cluster with the data of another one.")
            .when_manifest("/spec/clone")
            .reads_desired(kind("apps/v1", "StatefulSet"))
            .writes(kind("apps/v1", "StatefulSet"), &["spec.template.spec.containers[name=postgres].env"])
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let Request { cluster, config, .. } = request;
        let source = &cluster.spec.clone;
        let mut notes = Notes::default();
        if source.cluster().is_empty() {
            notes.warn(
                "spec.clone.cluster",
                "nothing is cloned, because no cluster is named",
                "name the source, or remove spec.clone",
            );
            return Ok(Response::new().with(notes));
        }
        let variables = match source.timestamp().is_empty() {
            true => leader::variables(source, cluster, config)?,
            false => archive::variables(source, config, &mut notes)?,
        };
        let contribution = bootstrap::contribution(request, &cluster.spec.env, variables, &mut notes)?;
        Ok(Response::new().apply(contribution).with(notes))
    }
}

register!(Clones);

#[cfg(test)]
mod tests;
