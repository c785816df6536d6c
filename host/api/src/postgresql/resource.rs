//! Compute resources of a container: requests and limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pattern;

/// What a container requests and may use at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu) || !isQuantity(self.requests.cpu) || !isQuantity(self.limits.cpu) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0",
     "message": "the CPU limit is below the request; raise limits.cpu or lower requests.cpu", "fieldPath": ".limits"},
    {"rule": "!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory) || !isQuantity(self.requests.memory) || !isQuantity(self.limits.memory) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0",
     "message": "the memory limit is below the request; raise limits.memory or lower requests.memory", "fieldPath": ".limits"}
]))]
pub struct Resources {
    /// What is reserved on the node. Default: the operator configuration's, for each resource by itself. Example:
    /// `{cpu: 100m, memory: 250Mi}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceList>,
    /// What may be used at most. Default: the operator configuration's, for each resource by itself. Example:
    /// `{cpu: "1", memory: 500Mi}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceList>,
}

/// Amounts of resources. What is not given is the operator configuration's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceList {
    /// CPU, in cores or thousandths of one, as a string. Default: the operator configuration's. Example: `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = pattern::QUANTITY))]
    pub cpu: Option<String>,
    /// Memory, in bytes with a unit. Default: the operator configuration's. Example: `500Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = pattern::QUANTITY))]
    pub memory: Option<String>,
    /// Memory in pages of 2 MiB, in bytes with a unit. Default: none. Example: `128Mi`.
    #[serde(default, rename = "hugepages-2Mi", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = pattern::QUANTITY))]
    pub hugepages_2mi: Option<String>,
    /// Memory in pages of 1 GiB, in bytes with a unit. Default: none. Example: `1Gi`.
    #[serde(default, rename = "hugepages-1Gi", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = pattern::QUANTITY))]
    pub hugepages_1gi: Option<String>,
}
