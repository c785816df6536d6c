//! Spilo: the StatefulSet that runs Patroni and PostgreSQL, with its Services, Endpoints and disruption budgets.

use pgloom_kit::metadata::Role;
use pgloom_kit::{Action, ActionKind, Description, NoSettings, Plugin, Response, Result, Warnings, kind};

mod config;
mod spec;

mod budget;
mod env;
mod instances;
mod name;
mod patroni;
mod pod;
mod service;
mod statefulset;
mod version;

/// The plugin: it creates the StatefulSet, Services, Endpoints and PodDisruptionBudgets of a cluster. Other plugins add
/// fields to the StatefulSet.
pub struct Spilo;

type Request = pgloom_kit::Request<Spilo>;
type Cluster = pgloom_kit::Cluster<spec::Spec>;

impl Plugin for Spilo {
    type Spec = spec::Spec;
    type Config = config::Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        let summary = "Runs Patroni and PostgreSQL in a StatefulSet, with Services, Endpoints and disruption budgets.";
        Description::of::<Self>("spilo", env!("CARGO_PKG_VERSION"), summary)
            .observes_owned(
                version::RUNNING,
                kind("apps/v1", "StatefulSet"),
                &[
                    "spec.template.spec.containers[name=postgres].env[name=PGVERSION]",
                    "spec.template.spec.containers[name=postgres].env[name=SPILO_CONFIGURATION]",
                ],
            )
            .observes_configured(env::CONFIG_MAP, kind("v1", "ConfigMap"), "pod_environment_configmap", &["data"])
            .observes_configured(env::SECRET, kind("v1", "Secret"), "pod_environment_secret", &["data", "stringData"])
            // Only whether they are set: the clone step passes them on.
            .credential_of_manifest("/spec/clone/s3_access_key_id")
            .credential_of_manifest("/spec/clone/s3_secret_access_key")
            .creates(kind("v1", "Endpoints"), &["{cluster}"])
            .creates(kind("v1", "Service"), &["{cluster}", "{cluster}-repl"])
            // `pdb_name_format` gives one of the names.
            .creates(kind("policy/v1", "PodDisruptionBudget"), &["*{cluster}*"])
            .creates(kind("apps/v1", "StatefulSet"), &["{cluster}"])
            .privilege("capabilities")
            .privilege("external-service")
            // Those of the manifest's variables, and of the platform's.
            .privilege("foreign-config-map")
            .privilege("foreign-secret")
            .privilege("privilege-escalation")
            .privilege("privileged")
            // `spiloRunAsUser` and `podPriorityClassName` may have any value.
            .privilege("root-user")
            .privilege("service-account")
            .privilege("system-priority")
            // With `major_version_upgrade_mode`.
            .privilege("major-upgrade")
            .optional()
            .acts(ActionKind::ConfigurePatroni, &patroni::KEYS)
    }

    fn mutate(request: &Request) -> Result<Response> {
        let mut warnings = Warnings::default();
        let mut response = Response::new();
        name::check(request, &mut warnings)?;
        patroni::warn_of_lag(&request.cluster.spec, &mut warnings);
        if !request.config.access.uses_config_maps() {
            response = response.apply(service::endpoints(request));
        }
        Ok(response
            .apply(service::service(request, Role::Leader, &mut warnings))
            .apply(service::service(request, Role::Replica, &mut warnings))
            .apply(budget::leader(request))
            .apply(budget::critical_operation(request))
            .apply(statefulset::build(request, &mut warnings)?)
            .act("patroni", Action::ConfigurePatroni(patroni::dynamic(&request.cluster.spec, &request.config.access)))
            .with(warnings))
    }
}

pgloom_kit::register!(Spilo);

#[cfg(test)]
mod tests;
