//! The volumes of a pod: `spec.volume` and `spec.additionalVolumes`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{kubernetes, pattern};

/// The volume of each pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// The size. It can grow later, never shrink. Example: `5Gi`.
    #[schemars(length(max = 32), regex(pattern = pattern::QUANTITY), extend("x-kubernetes-validations" = [
        {"rule": "!isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))", "message": "a volume needs some room, as in 5Gi"}
    ]))]
    pub size: String,
    /// The storage class. Default: that of the Kubernetes cluster. Example: `fast`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// The folder of the volume that is mounted. Default: all of it. Example: `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// Whether variables in `subPath` are filled in, as in `$(POD_NAME)`. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_sub_path_expr: Option<bool>,
    /// Which existing volumes may be used. Default: a new one is made. Example: `{matchLabels: {environment: dev}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "kubernetes::label_selector")]
    pub selector: Option<Value>,
    /// Input and output operations per second of an EBS volume. Default: that of its type. Example: `3000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<i64>,
    /// Throughput of an EBS volume in MiB per second. Default: that of its type. Example: `125`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i64>,
    /// The type of an EBS volume. Default: that of the storage class. Example: `gp3`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
}

/// One more volume of the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalVolume {
    /// The volume's name. Example: `empty`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Where it is mounted. Not at `/home/postgres/pgdata`, and no two at one place. Example: `/opt/empty`.
    #[schemars(length(min = 1, max = 4096))]
    pub mount_path: String,
    /// The folder or file of the volume that is mounted. Default: all of it. Example: `telegraf.conf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// Whether variables in `subPath` are filled in, as in `$(POD_NAME)`. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_sub_path_expr: Option<bool>,
    /// The containers that get it: names, or `all` alone. Default: `[postgres]`. Example: `[postgres, exporter]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "targets")]
    pub target_containers: Vec<String>,
    /// What is mounted: any volume source of a pod. Example: `{emptyDir: {}}`.
    #[schemars(schema_with = "kubernetes::volume_source")]
    pub volume_source: Value,
}

fn targets(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {"type": "string", "maxLength": 63},
        "x-kubernetes-validations": [{
            "rule": "!self.exists(name, name == 'all') || self.size() == 1",
            "message": "all means every container; give it alone, or the names of the containers"
        }],
    })
}
