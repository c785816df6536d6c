//! Cost labels: who pays for a cluster, as a label, and what it costs, as an annotation.

use pgloom_kit::common::quantity::Quantity;
use pgloom_kit::k8s_openapi::api::apps::v1::StatefulSet;
use pgloom_kit::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_kit::{Description, Plugin, Request, Response, Result, invalid, kind, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The label of the manifest and of the StatefulSet with who pays.
const CENTRE: &str = "example.com/cost-centre";
/// The annotation with the price of a month, in cents.
const COST: &str = "example.com/cents-a-month";
/// The bytes of a GiB.
const GIB: i64 = 1 << 30;

/// The plugin.
pub struct CostLabels;

/// `spec` of the manifest: the fields that the plugin reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    number_of_instances: i64,
    #[serde(default)]
    volume: Volume,
}

/// `spec.volume`.
#[derive(Default, Deserialize)]
pub struct Volume {
    size: Option<String>,
}

/// The configuration of the step.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Who pays for a cluster without the label.
    pub default_centre: String,
    /// The price of an instance, in cents a month.
    pub instance: i64,
    /// The price of a GiB of its volume, in cents a month.
    pub gib: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { default_centre: "platform".to_owned(), instance: 4500, gib: 12 }
    }
}

impl Plugin for CostLabels {
    type Spec = Spec;
    type Config = ();
    type Settings = Settings;

    fn describe() -> Description {
        let (label, annotation) =
            (r#"metadata.labels["example.com/cost-centre"]"#, r#"metadata.annotations["example.com/cents-a-month"]"#);
        Description::of::<Self>("cost-labels", "0.1.0", "Says who pays for a cluster, and how much.").writes(
            kind("apps/v1", "StatefulSet"),
            &["{cluster}"],
            &[label, annotation],
        )
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let (cluster, settings) = (&request.cluster, &request.settings);
        let size = cluster.spec.volume.size.as_deref().unwrap_or("0");
        // Quantities are read as the API server reads them, by the code that the host uses.
        let size = Quantity::parse(size)
            .map_err(|_| invalid("spec.volume.size", "is not a quantity", "write it as in 10Gi"))?
            .units();
        let gib = size.saturating_add(GIB - 1) / GIB;
        let instance = settings.instance.saturating_add(settings.gib.saturating_mul(gib));
        let cents = instance.saturating_mul(cluster.spec.number_of_instances);
        let centre = cluster.labels.get(CENTRE).unwrap_or(&settings.default_centre).clone();
        Ok(Response::new().apply(&StatefulSet {
            metadata: ObjectMeta {
                name: Some(cluster.name.clone()),
                labels: Some([(CENTRE.to_owned(), centre)].into()),
                annotations: Some([(COST.to_owned(), cents.to_string())].into()),
                ..Default::default()
            },
            ..Default::default()
        }))
    }
}

register!(CostLabels);
