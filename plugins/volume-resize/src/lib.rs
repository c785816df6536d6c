//! Volume resize: grows the volumes of running members to the size in the manifest, by their claims, by the cloud's
//! API, or by both.

use pgloom_kit::{ActionKind, Description, NoSettings, Plugin, Response, Result, Warnings, kind};
use pgloom_kit::{operator_config, register};

mod member;
mod plan;
mod report;
mod target;

use target::{Spec, Target};

/// The plugin: it requests actions for the volume of each member, and sets the condition `VolumeResized`.
pub struct VolumeResize;

type Request = pgloom_kit::Request<VolumeResize>;

/// The names of the members' claims.
const CLAIMS: &str = "pgdata-{cluster}-*";

operator_config! {
    /// The keys of the operator configuration that the plugin reads.
    pub struct Config {
        /// `pvc`, `ebs`, `mixed` or `off`.
        storage_resize_mode: String,
    }
}

impl Plugin for VolumeResize {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        let summary = "Grows the volumes of running members to the size of the manifest.";
        Description::of::<Self>("volume-resize", env!("CARGO_PKG_VERSION"), summary)
            .when_manifest("/spec/volume")
            .observes_owned(member::CLAIMS, kind("v1", "PersistentVolumeClaim"), &["spec.resources", "status"])
            .observes_owned(member::PODS, kind("v1", "Pod"), &["metadata.name"])
            .acts(ActionKind::ExpandClaim, &[CLAIMS])
            .acts(ActionKind::ModifyVolume, &[CLAIMS])
            .optional()
            .acts(ActionKind::GrowFilesystem, &[CLAIMS])
            .optional()
    }

    fn mutate(request: &Request) -> Result<Response> {
        let mut warnings = Warnings::default();
        let target = Target::of(&request.cluster.spec, &request.config.storage_resize_mode, &mut warnings)?;
        let members = member::members(request)?;
        let plans: Vec<plan::NextActions> =
            members.iter().map(|member| plan::plan(&target, member, |key| request.action(key))).collect();
        let mut response = report::report(&target, &members, &plans, &mut warnings);
        for plan in plans {
            for (key, action) in plan.actions {
                response = response.act(key, action);
            }
        }
        Ok(response.with(warnings))
    }
}

register!(VolumeResize);

#[cfg(test)]
mod tests;
