//! Spilo: the StatefulSet that runs Patroni and PostgreSQL, the Services that lead to it, and the budgets that protect it.

use pgloom_kit::metadata::Role;
use pgloom_kit::{Action, ActionKind, Description, NoSettings, Notes, Plugin, Response, Result, kind};

mod config;
mod spec;

mod bootstrap;
mod budget;
mod env;
mod instances;
mod patroni;
mod pod;
mod service;
mod statefulset;
mod version;

/// The plugin.
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
                &["spec.template.spec.containers[name=postgres].env"],
            )
            .observes_configured(env::CONFIG_MAP, kind("v1", "ConfigMap"), "pod_environment_configmap", &["data"])
            .observes_configured(env::SECRET, kind("v1", "Secret"), "pod_environment_secret", &["data", "stringData"])
            .creates(kind("v1", "Endpoints"))
            .creates(kind("v1", "Service"))
            .creates(kind("policy/v1", "PodDisruptionBudget"))
            .creates(kind("apps/v1", "StatefulSet"))
            .acts(ActionKind::ConfigurePatroni)
    }

    fn mutate(request: &Request) -> Result<Response> {
        let mut notes = Notes::default();
        let mut response = Response::new();
        if !request.config.access.uses_config_maps() {
            response = response.apply(service::endpoints(request));
        }
        Ok(response
            .apply(service::service(request, Role::Master))
            .apply(service::service(request, Role::Replica))
            .apply(budget::leader(request))
            .apply(budget::critical_operation(request))
            .apply(statefulset::build(request, &mut notes)?)
            .act("patroni", Action::ConfigurePatroni(patroni::dynamic(&request.cluster.spec, &request.config.access)))
            .with(notes))
    }
}

pgloom_kit::register!(Spilo);

#[cfg(test)]
mod tests;
