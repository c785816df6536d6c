//! The metrics of the plugins in use: read from the pipelines when they are asked for, so that a step that is no longer in
//! use has none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pgloom_engine::Pipeline;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The pipelines in use: one, or two while a new one is rolled out. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct InUse(Arc<Mutex<Vec<Arc<Pipeline>>>>);

/// A component in use, and what its calls took. Two pipelines may call it by steps of the same name.
#[derive(Debug, Default)]
struct Component {
    plugin: String,
    version: String,
    calls: u64,
    time: Duration,
    memory: u64,
}

impl InUse {
    /// Reads from these pipelines from now on.
    pub fn follow<'a>(&self, pipelines: impl IntoIterator<Item = &'a Arc<Pipeline>>) {
        *self.0.lock() = pipelines.into_iter().cloned().collect();
    }

    /// By the labels `step` and `digest`.
    fn components(&self) -> BTreeMap<[(&'static str, String); 2], Component> {
        let pipelines = self.0.lock().clone();
        let mut components: BTreeMap<_, Component> = BTreeMap::new();
        for step in pipelines.iter().flat_map(|pipeline| pipeline.steps()) {
            let (description, usage) = (&step.plugin.description, step.usage());
            let labels = [("step", step.name.clone()), ("digest", step.plugin.digest.clone())];
            let component = components.entry(labels).or_default();
            (component.plugin, component.version) = (description.name.clone(), description.version.clone());
            component.calls += usage.calls;
            component.time += usage.time;
            component.memory = component.memory.max(usage.memory);
        }
        components
    }
}

impl Collector for InUse {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let components = self.components();
        // A metric without a value is not written at all, as those of the registry.
        if components.is_empty() {
            return Ok(());
        }
        let help = "1 for each step, with its plugin, version and digest";
        let mut in_use = encoder.encode_descriptor("plugin_in_use", help, None, MetricType::Gauge)?;
        for ([step, digest], Component { plugin, version, .. }) in &components {
            let plugin = [("plugin", plugin.clone()), ("version", version.clone())];
            let labels = [[step.clone()].as_slice(), &plugin, std::slice::from_ref(digest)].concat();
            ConstGauge::new(1_i64).encode(in_use.encode_family(&labels)?)?;
        }
        let help = "Calls of plugins since the pipeline was loaded, by step and component";
        let mut calls = encoder.encode_descriptor("plugin_calls", help, None, MetricType::Counter)?;
        for (labels, component) in &components {
            ConstCounter::new(component.calls).encode(calls.encode_family(labels)?)?;
        }
        let help = "How long the calls of plugins took in sum since the pipeline was loaded, by step and component";
        let (name, unit) = ("plugin_call_duration", Some(&Unit::Seconds));
        let mut time = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, component) in &components {
            ConstCounter::new(component.time.as_secs_f64()).encode(time.encode_family(labels)?)?;
        }
        let help = "The largest memory of a call since the pipeline was loaded, by step and component";
        let mut memory =
            encoder.encode_descriptor("plugin_memory_peak", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        for (labels, component) in &components {
            let bytes = i64::try_from(component.memory).unwrap_or(i64::MAX);
            ConstGauge::new(bytes).encode(memory.encode_family(labels)?)?;
        }
        Ok(())
    }
}
