//! What volumes shall be like, and by which way they get there.

use pgloom_kit::common::quantity::Quantity;
use pgloom_kit::{Notes, Result, fields, invalid, invalid_config, spec};

/// AWS refuses fewer operations per second for a volume of type gp3.
const LEAST_IOPS: i64 = 3000;
/// And less throughput in MiB per second.
const LEAST_THROUGHPUT: i64 = 125;

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        volume: Volume = "volume",
    }
}

fields! {
    /// `spec.volume`.
    struct Volume {
        size: Option<String> = "size",
        iops: Option<i64> = "iops",
        throughput: Option<i64> = "throughput",
        volume_type: Option<String> = "type",
    }
}

/// The way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the claims; Kubernetes does the rest.
    Claims,
    /// By the cloud, and then by growing the filesystem in the pod.
    Cloud,
    /// By the cloud for what it does better, and by the claims.
    Mixed,
    /// Not at all.
    Off,
}

/// What a cloud volume can do beside holding data.
#[derive(Default)]
pub struct Performance {
    /// Operations per second.
    pub iops: Option<u32>,
    /// MiB per second.
    pub throughput: Option<u32>,
    /// As in `gp3`.
    pub volume_type: Option<&'static str>,
}

/// What volumes shall be like.
pub struct Target {
    /// How large.
    pub size: Quantity,
    /// How fast, which only mode mixed changes.
    pub performance: Performance,
    /// The way.
    pub mode: Mode,
}

impl Target {
    /// Reads it; none if the manifest says nothing of a size, which is another step's business.
    ///
    /// # Errors
    /// If the size or the mode cannot be used.
    pub fn of(spec: &Spec, mode: &str, notes: &mut Notes) -> Result<Option<Self>> {
        let Volume { size, .. } = &spec.volume;
        let Some(size) = size.as_deref().filter(|size| !size.is_empty()) else { return Ok(None) };
        let size = Quantity::parse(size).map_err(|_| {
            let message = ["\"", size, "\" is no size"].concat();
            invalid("spec.volume.size", message, "write a Kubernetes quantity, as in 5Gi")
        })?;
        let mode = match mode {
            "pvc" => Mode::Claims,
            "ebs" => Mode::Cloud,
            "mixed" => Mode::Mixed,
            "off" => Mode::Off,
            other => {
                return Err(invalid_config(
                    ["storage_resize_mode: \"", other, "\"; set it to pvc, ebs, mixed or off"].concat(),
                ));
            }
        };
        Ok(Some(Self { size, performance: performance(&spec.volume, mode, notes), mode }))
    }
}

fn performance(volume: &Volume, mode: Mode, notes: &mut Notes) -> Performance {
    let own_type = volume.volume_type.as_deref().unwrap_or_default();
    if mode != Mode::Mixed {
        let given = [
            ("iops", volume.iops.is_some()),
            ("throughput", volume.throughput.is_some()),
            ("type", !own_type.is_empty()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            notes.warn(
                ["spec.volume.", field].concat(),
                [field, " changes nothing, because storage_resize_mode is not mixed"].concat(),
                "set storage_resize_mode to mixed, or use a storage class that has it",
            );
        }
        return Performance::default();
    }
    let iops = at_least("iops", volume.iops, LEAST_IOPS, notes);
    let throughput = at_least("throughput", volume.throughput, LEAST_THROUGHPUT, notes);
    let volume_type = match own_type {
        "io2" if iops.is_some() || throughput.is_some() => Some("io2"),
        _ if iops.is_some() || throughput.is_some() => Some("gp3"),
        "gp3" => Some("gp3"),
        _ => None,
    };
    if !own_type.is_empty() && volume_type != Some(own_type) {
        notes.warn(
            "spec.volume.type",
            ["volumes do not become ", own_type].concat(),
            "set gp3, or io2 together with iops or throughput",
        );
    }
    Performance { iops, throughput, volume_type }
}

fn at_least(field: &str, given: Option<i64>, least: i64, notes: &mut Notes) -> Option<u32> {
    let given = given?;
    if given < least {
        notes.warn(
            ["spec.volume.", field].concat(),
            [field, " below ", &least.to_string(), " is not set"].concat(),
            ["set at least ", &least.to_string(), ", or leave it out"].concat(),
        );
        return None;
    }
    given.try_into().ok()
}
