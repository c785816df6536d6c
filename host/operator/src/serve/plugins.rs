//! The metrics of the plugins in use: read from the pipeline when they are asked for, so that a step that is no longer in
//! use has none.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use pgloom_engine::{Pipeline, Step};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The pipeline in use. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct InUse(Arc<Mutex<Option<Arc<Pipeline>>>>);

impl InUse {
    /// Reads from this pipeline from now on.
    pub fn follow(&self, pipeline: &Arc<Pipeline>) {
        *self.0.lock() = Some(Arc::clone(pipeline));
    }
}

impl Collector for InUse {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(pipeline) = self.0.lock().clone() else { return Ok(()) };
        // A metric without a value is not written at all, as those of the registry.
        if pipeline.steps().is_empty() {
            return Ok(());
        }
        let help = "1 for each step, with its plugin, version and digest";
        let mut in_use = encoder.encode_descriptor("plugin_in_use", help, None, MetricType::Gauge)?;
        for step in pipeline.steps() {
            let (plugin, version) = (step.plugin.description.name.clone(), step.plugin.description.version.clone());
            let labels = [
                ("step", step.name.clone()),
                ("plugin", plugin),
                ("version", version),
                ("digest", step.plugin.digest.clone()),
            ];
            ConstGauge::new(1_i64).encode(in_use.encode_family(&labels)?)?;
        }
        let help = "Calls of plugins since the pipeline was loaded, by step";
        let mut calls = encoder.encode_descriptor("plugin_calls", help, None, MetricType::Counter)?;
        for step in pipeline.steps() {
            ConstCounter::new(step.usage().calls).encode(calls.encode_family(&of(step))?)?;
        }
        let help = "How long the calls of plugins took in sum since the pipeline was loaded, by step";
        let (name, unit) = ("plugin_call_duration", Some(&Unit::Seconds));
        let mut time = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for step in pipeline.steps() {
            ConstCounter::new(step.usage().time.as_secs_f64()).encode(time.encode_family(&of(step))?)?;
        }
        let help = "The largest memory of a call since the pipeline was loaded, by step";
        let mut memory =
            encoder.encode_descriptor("plugin_memory_peak", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        for step in pipeline.steps() {
            let bytes = i64::try_from(step.usage().memory).unwrap_or(i64::MAX);
            ConstGauge::new(bytes).encode(memory.encode_family(&of(step))?)?;
        }
        Ok(())
    }
}

fn of(step: &Step) -> [(&'static str, String); 1] {
    [("step", step.name.clone())]
}
