//! Clone: starts a cluster with the data of another one, from its archive up to a point in time, or from its running
//! leader.

use pgloom_kit::{
    Description, NoSettings, Plugin, Request, Response, Result, Value, Warnings, bootstrap, invalid, kind,
};
use pgloom_kit::{operator_config, register, spec};

mod archive;
mod leader;
mod source;

use source::Source;

/// The plugin: it adds the variables by which the database's container bootstraps from another cluster. See
/// [`clone`](https://postgres-operator.readthedocs.io/en/latest/user/#how-to-clone-an-existing-postgresql-cluster).
pub struct Clones;

/// The variables of the database's container that the plugin sets.
const VARIABLES: [&str; 21] = [
    "spec.template.spec.containers[name=postgres].env[name=CLONE_AWS_ACCESS_KEY_ID]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_AWS_ENDPOINT]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_AWS_ROLE_ARN]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_AWS_S3_FORCE_PATH_STYLE]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_AWS_SECRET_ACCESS_KEY]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_AWS_WEB_IDENTITY_TOKEN_FILE]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_AZURE_STORAGE_ACCOUNT]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_GOOGLE_APPLICATION_CREDENTIALS]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_HOST]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_METHOD]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_PASSWORD]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_PORT]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_SCOPE]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_TARGET_TIME]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_USER]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_WALE_S3_ENDPOINT]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_WALE_S3_PREFIX]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_WAL_BUCKET_SCOPE_PREFIX]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_WAL_BUCKET_SCOPE_SUFFIX]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_WAL_GS_BUCKET]",
    "spec.template.spec.containers[name=postgres].env[name=CLONE_WAL_S3_BUCKET]",
];

/// The id of the selector of the cluster's existing StatefulSet.
const RUNNING: &str = "running";

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        clone: Source = "clone",
        env: Vec<Value> = "env",
    }
}

operator_config! {
    /// The keys of the operator configuration that the plugin reads.
    pub struct Config {
        gcp_credentials: String,
        irsa_role_arn: String,
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
            .observes_owned(RUNNING, kind("apps/v1", "StatefulSet"), &["metadata.name"])
            .credential_of_manifest("/spec/clone/s3_access_key_id")
            .credential_of_manifest("/spec/clone/s3_secret_access_key")
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &VARIABLES)
            // The password of the source's replication role is in a Secret of the source.
            .privilege("foreign-secret")
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let Request { cluster, config, .. } = request;
        let source = &cluster.spec.clone;
        let mut found = Found { runs: request.exists(RUNNING, &cluster.name), warnings: Warnings::default() };
        if source.cluster().is_empty() {
            no_cluster(source, &mut found)?;
            return Ok(Response::new().with(found.warnings));
        }
        let variables = match source.timestamp().is_empty() {
            true => leader::variables(source, cluster, config, &mut found)?,
            false => archive::variables(source, config, &mut found)?,
        };
        let Found { mut warnings, .. } = found;
        let contribution = bootstrap::contribution(request, &cluster.spec.env, variables, &mut warnings)?;
        Ok(Response::new().apply(contribution).with(warnings))
    }
}

/// What is found in a section.
struct Found {
    /// Whether the cluster exists. Then it has its data, and goes on with a section that could not start it.
    runs: bool,
    warnings: Warnings,
}

impl Found {
    /// Refuses a new cluster; a running one gets a warning.
    ///
    /// # Errors
    /// If the cluster is new.
    fn refuse_new(&mut self, path: &str, message: &str, remedy: &str) -> Result<()> {
        if !self.runs {
            return Err(invalid(path, message, remedy));
        }
        self.warnings.warn(path, message, remedy);
        Ok(())
    }
}

/// A section without `cluster` has no effect. With other fields a clone was intended, so that a new cluster is refused.
fn no_cluster(source: &Source, found: &mut Found) -> Result<()> {
    const PATH: &str = "spec.clone.cluster";
    const REMEDY: &str = "name the source cluster, or remove spec.clone";
    if source.has_other_fields() {
        return found.refuse_new(PATH, "the name of the source cluster is empty", REMEDY);
    }
    found.warnings.warn(PATH, "nothing is cloned, because the name of the source cluster is empty", REMEDY);
    Ok(())
}

register!(Clones);

#[cfg(test)]
mod tests;
