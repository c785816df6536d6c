//! The requested size and performance of volumes, and how they are changed.

use pgloom_kit::common::quantity::Quantity;
use pgloom_kit::container::volume_size;
use pgloom_kit::json::field::text;
use pgloom_kit::{Result, Warnings, fields, invalid_config, spec};

/// The lowest operations per second of a [gp3](https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html)
/// volume of AWS.
const MIN_IOPS: i64 = 3000;
/// Its lowest throughput, in MiB per second.
const MIN_THROUGHPUT: i64 = 125;

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

/// `storage_resize_mode`: how volumes are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `pvc`: by their claims; Kubernetes grows volume and filesystem.
    Claims,
    /// `ebs`: by the cloud's API, and by growing the filesystem in the pod.
    Cloud,
    /// `mixed`: the performance by the cloud's API, the size by both.
    Mixed,
    /// `off`: not at all.
    Off,
}

/// The performance of a cloud volume.
#[derive(Default)]
pub struct Performance {
    /// I/O operations per second.
    pub iops: Option<u32>,
    /// MiB per second.
    pub throughput: Option<u32>,
    /// The type of the volume, as in `gp3`.
    pub volume_type: Option<&'static str>,
}

/// The requested volumes.
pub struct Target {
    /// The size.
    pub size: Quantity,
    /// The performance; only mode `mixed` changes it.
    pub performance: Performance,
    /// How volumes are changed.
    pub mode: Mode,
}

impl Target {
    /// The target of a manifest.
    ///
    /// # Errors
    /// If the size or the mode is invalid.
    pub fn of(spec: &Spec, mode: &str, warnings: &mut Warnings) -> Result<Self> {
        let size = volume_size(spec.volume.size.as_deref())?;
        let mode = match mode {
            "pvc" => Mode::Claims,
            "ebs" => Mode::Cloud,
            "mixed" => Mode::Mixed,
            "off" => Mode::Off,
            other => {
                return Err(invalid_config(format!(
                    "storage_resize_mode: \"{other}\" is not a mode; write pvc, ebs, mixed or off"
                )));
            }
        };
        Ok(Self { size, performance: performance(&spec.volume, mode, warnings), mode })
    }
}

fn performance(volume: &Volume, mode: Mode, warnings: &mut Warnings) -> Performance {
    let own_type = text(&volume.volume_type);
    if mode != Mode::Mixed {
        let given = [
            ("iops", volume.iops.is_some()),
            ("throughput", volume.throughput.is_some()),
            ("type", !own_type.is_empty()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            warnings.warn(
                format!("spec.volume.{field}"),
                format!("{field} has no effect, because storage_resize_mode is not mixed"),
                "set storage_resize_mode to mixed, or use a storage class with this setting",
            );
        }
        return Performance::default();
    }
    let iops = at_least("iops", volume.iops, MIN_IOPS, warnings);
    let throughput = at_least("throughput", volume.throughput, MIN_THROUGHPUT, warnings);
    let volume_type = match own_type {
        "io2" if iops.is_some() || throughput.is_some() => Some("io2"),
        _ if iops.is_some() || throughput.is_some() => Some("gp3"),
        "gp3" => Some("gp3"),
        _ => None,
    };
    if !own_type.is_empty() && volume_type != Some(own_type) {
        warnings.warn(
            "spec.volume.type",
            format!("the type of volumes is not changed to {own_type}"),
            "write gp3, or io2 together with iops or throughput",
        );
    }
    Performance { iops, throughput, volume_type }
}

fn at_least(field: &str, given: Option<i64>, min: i64, warnings: &mut Warnings) -> Option<u32> {
    let given = given?;
    if given < min {
        warnings.warn(
            format!("spec.volume.{field}"),
            format!("{field} is below {min} and is not set"),
            format!("write at least {min}, or remove the field"),
        );
        return None;
    }
    given.try_into().ok()
}
