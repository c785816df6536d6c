//! Patches: adds fields of the step's configuration to objects, where an expression over the manifest is true.

use pgloom_kit::json::field;
use pgloom_kit::{Description, Plugin, Response, Result, Value, invalid_config, kind, register};

mod cel;
mod fill;
mod settings;

use settings::{Patch, Settings};

/// The plugin: the partial objects of the patches whose condition is true.
pub struct Patches;

type Request = pgloom_kit::Request<Patches>;

/// `spec` of the manifest with all its fields, which a condition may use.
pub struct Whole(Value);

impl field::Spec for Whole {
    fn read(whole: &str, _fields: &field::RawObject<'_>) -> Result<Self, field::Error> {
        <Value as field::Field>::read(whole).map(Self)
    }
}

/// The kinds that patches may change. Each permission is optional: a pipeline grants those that its patches need.
const KINDS: [(&str, &str); 8] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "ConfigMap"),
    ("v1", "Endpoints"),
    ("v1", "Service"),
];
/// Every privilege, for patches that need one.
const PRIVILEGES: [&str; 19] = [
    "capabilities",
    "claim",
    "database-command",
    "external-address",
    "external-service",
    "foreign-config-map",
    "foreign-secret",
    "host-namespaces",
    "host-path",
    "host-port",
    "member-labels",
    "node-name",
    "other-volume",
    "privilege-escalation",
    "privileged",
    "root-user",
    "runtime-class",
    "service-account",
    "system-priority",
];
/// The names of a cluster's objects.
const NAMES: &[&str] = &["*{cluster}*"];
/// The field paths of a permission for any field.
const ANY: &[&str] = &["*"];

impl Plugin for Patches {
    type Spec = Whole;
    type Config = ();
    type Settings = Settings;

    fn describe() -> Description {
        let summary = "Adds fields to objects where an expression over the manifest holds.";
        let description = KINDS.into_iter().fold(
            Description::of::<Self>("patches", env!("CARGO_PKG_VERSION"), summary),
            |description, (api_version, name)| {
                let of = || kind(api_version, name);
                let description = description.creates(of(), NAMES).optional().writes(of(), NAMES, ANY).optional();
                description.overrides(of(), NAMES, ANY).optional()
            },
        );
        PRIVILEGES.into_iter().fold(description, |description, name| description.privilege(name).optional())
    }

    fn mutate(request: &Request) -> Result<Response> {
        let manifest = fill::manifest(&request.cluster);
        let mut response = Response::new();
        for (index, patch) in request.settings.patches.iter().enumerate() {
            if holds(index, patch, &manifest)? {
                response = response.apply(fill::placeholders(&patch.apply, &request.cluster));
            }
        }
        Ok(response)
    }
}

fn holds(index: usize, patch: &Patch, manifest: &Value) -> Result<bool> {
    let Some(when) = &patch.when else { return Ok(true) };
    cel::holds(when, manifest)
        .map_err(|error| invalid_config(format!("patches[{index}].when: {when}: {}", error.sentence())))
}

register!(Patches);

#[cfg(test)]
mod tests;
