//! Standby: a cluster that replicates another one, and its promotion when the section is removed.

use pgloom_kit::{ActionKind, ConditionStatus, Description, NoSettings, Plugin, Response, Result, Value, kind};
use pgloom_kit::{fields, operator_config, register, spec};

mod follow;
mod promote;
mod source;

use source::Source;

/// The plugin: it adds the variables of a standby to the database's container, sets the condition `Standby`, and
/// requests the action `promote`. See
/// [standby clusters](https://postgres-operator.readthedocs.io/en/latest/user/#setting-up-a-standby-cluster).
pub struct Standby;

type Request = pgloom_kit::Request<Standby>;

/// The type of the condition: whether the cluster is a standby.
const CONDITION: &str = "Standby";
/// The id of the selector of the cluster's existing StatefulSet.
const STATEFULSET: &str = "statefulset";

/// The variables of the database's container that the plugin sets.
const VARIABLES: [&str; 9] = [
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_AWS_ROLE_ARN]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_AWS_WEB_IDENTITY_TOKEN_FILE]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_HOST]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_METHOD]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_PORT]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_PRIMARY_SLOT_NAME]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_WALE_GS_PREFIX]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_WALE_S3_PREFIX]",
    "spec.template.spec.containers[name=postgres].env[name=STANDBY_WAL_BUCKET_SCOPE_PREFIX]",
];

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        standby: Option<Source> = "standby",
        clone: Option<Clone> = "clone",
        env: Vec<Value> = "env",
        instances: Option<i64> = "numberOfInstances",
    }
}

fields! {
    /// `spec.clone`.
    struct Clone {
        cluster: Option<String> = "cluster",
    }
}

operator_config! {
    /// The keys of the operator configuration that the plugin reads.
    pub struct Config {
        irsa_role_arn: String,
    }
}

impl Plugin for Standby {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    // No triggers: once the section is removed, only the StatefulSet shows that the cluster was a standby.
    fn describe() -> Description {
        let summary = "Makes a cluster follow another one, and promotes it when the section is removed.";
        let fields = ["metadata.uid", "metadata.generation", "spec.template.spec.containers"];
        Description::of::<Self>("standby", env!("CARGO_PKG_VERSION"), summary)
            .reads_desired(kind("apps/v1", "StatefulSet"))
            .observes_owned(STATEFULSET, kind("apps/v1", "StatefulSet"), &fields)
            .writes(kind("apps/v1", "StatefulSet"), &["{cluster}"], &VARIABLES)
            .acts(ActionKind::Promote, &[])
            .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request) -> Result<Response> {
        match &request.cluster.spec.standby {
            Some(source) => follow::follow(request, source),
            None => promote::promote(request),
        }
    }
}

/// Adds the condition to a response.
fn report(response: Response, status: ConditionStatus, reason: &str, message: &str) -> Response {
    response.condition(CONDITION, status, reason, message)
}

register!(Standby);

#[cfg(test)]
mod tests;
