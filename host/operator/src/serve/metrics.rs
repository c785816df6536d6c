//! The operator's metrics, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::plugins::InUse;

/// The operator's metrics. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    /// Reconciles that ended, by result: `ok`, or the category of the error.
    pub reconciles: Family<ResultLabel, Counter>,
    /// The duration of reconciles in seconds.
    pub reconcile_seconds: Histogram,
    /// Reconciles in progress.
    pub reconciles_running: Gauge,
    /// Plugin calls that failed, by step and phase.
    pub plugin_failures: Family<PluginLabels, Counter>,
    /// The fuel of plugin calls in WebAssembly instructions, by step.
    pub plugin_fuel: Family<StepLabel, Histogram, fn() -> Histogram>,
    /// Decisions that were reused because their input had not changed.
    pub decisions_reused: Counter,
    /// The duration of pipeline runs in seconds.
    pub decide_seconds: Histogram,
    /// The number of pipelines that were loaded and used, 1 after the start.
    pub pipeline_generation: Gauge,
    /// 1 if the newest pipeline could not be loaded and an older one is in use.
    pub pipeline_rejected: Gauge,
    /// 1 if the newest operator configuration is invalid and an older one is in use.
    pub configuration_rejected: Gauge,
    /// Clusters by `PostgresClusterStatus`.
    pub clusters: Family<StatusLabel, Gauge>,
    /// Objects written, by kind and verb.
    pub writes: Family<WriteLabels, Counter>,
    /// Watches that failed, by kind.
    pub watch_failures: Family<KindLabel, Counter>,
    /// Watches that fail at the moment, by kind and namespace.
    pub watches_failing: Family<WatchLabels, Gauge>,
    /// Synchronisations of databases that ended, by result.
    pub database_syncs: Family<ResultLabel, Counter>,
    /// 1 if this operator is the leader, which writes; a copy of [`Health::leading`](super::health::Health::leading).
    pub leading: Gauge<u64, AtomicU64>,
    /// Clusters that a step holds at the moment, by step.
    pub clusters_held: Family<StepLabel, Gauge>,
    /// Clusters that have a pipeline that is being rolled out.
    pub rollout_clusters: Gauge,
    /// Rollouts that were taken back.
    pub rollbacks: Counter,
    /// Objects that the API server asked about, by result.
    pub admission_requests: Family<ResultLabel, Counter>,
    /// The duration of the answers in seconds.
    pub admission_seconds: Histogram,
    /// What the metrics of plugins are read from.
    pub plugins: InUse,
    registry: Arc<Registry>,
}

/// The label of a result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok`, or the category of the error.
    pub result: String,
}

/// The labels of a failed plugin call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PluginLabels {
    /// The step's name in the pipeline.
    pub step: String,
    /// The category of the failure, as in `Trapped`.
    pub reason: String,
}

/// The label of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabel {
    /// The step's name in the pipeline.
    pub step: String,
}

/// The label of a cluster's status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    /// As in `Running`.
    pub status: String,
}

/// The labels of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    /// As in `StatefulSet`.
    pub kind: String,
    /// `create`, `apply` or `delete`.
    pub verb: &'static str,
}

/// The label of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// As in `StatefulSet`.
    pub kind: String,
}

/// Which watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WatchLabels {
    /// As in `StatefulSet`.
    pub kind: String,
    /// The namespace; `*` for all.
    pub namespace: String,
}

impl Metrics {
    /// All metrics, with the value zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("pgloom");
        let mut metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
            reconciles_running: Gauge::default(),
            plugin_failures: Family::default(),
            plugin_fuel: Family::new_with_constructor(fuel_histogram),
            decisions_reused: Counter::default(),
            decide_seconds: Histogram::new(exponential_buckets(0.000_1, 4.0, 9)),
            pipeline_generation: Gauge::default(),
            pipeline_rejected: Gauge::default(),
            configuration_rejected: Gauge::default(),
            clusters: Family::default(),
            writes: Family::default(),
            watch_failures: Family::default(),
            watches_failing: Family::default(),
            database_syncs: Family::default(),
            leading: Gauge::default(),
            clusters_held: Family::default(),
            rollout_clusters: Gauge::default(),
            rollbacks: Counter::default(),
            admission_requests: Family::default(),
            admission_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 7)),
            plugins: InUse::default(),
            registry: Arc::default(),
        };
        metrics.register(&mut registry);
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("reconciles", "Reconciles that ended, by result", self.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long reconciles took",
            Unit::Seconds,
            self.reconcile_seconds.clone(),
        );
        registry.register(
            "decisions_reused",
            "Decisions that were reused because nothing had changed that they depend on",
            self.decisions_reused.clone(),
        );
        registry.register("reconciles_running", "Reconciles that run at the moment", self.reconciles_running.clone());
        registry.register(
            "plugin_failures",
            "Plugin calls that failed, by step and reason",
            self.plugin_failures.clone(),
        );
        registry.register(
            "plugin_fuel",
            "WebAssembly instructions that plugin calls took, by step",
            self.plugin_fuel.clone(),
        );
        registry.register_with_unit(
            "decide_duration",
            "How long decisions took",
            Unit::Seconds,
            self.decide_seconds.clone(),
        );
        registry.register(
            "pipeline_generation",
            "How often a pipeline was taken into use",
            self.pipeline_generation.clone(),
        );
        registry.register(
            "pipeline_rejected",
            "1 if the newest pipeline could not be loaded",
            self.pipeline_rejected.clone(),
        );
        registry.register(
            "configuration_rejected",
            "1 if the newest operator configuration could not be used",
            self.configuration_rejected.clone(),
        );
        registry.register("clusters", "Clusters by status", self.clusters.clone());
        registry.register(
            "clusters_held",
            "Clusters that stay as they are because a step failed, by step",
            self.clusters_held.clone(),
        );
        registry.register(
            "rollout_clusters",
            "Clusters that have a pipeline that is being rolled out",
            self.rollout_clusters.clone(),
        );
        registry.register(
            "rollbacks",
            "Pipelines that were taken back while they were rolled out",
            self.rollbacks.clone(),
        );
        registry.register_collector(Box::new(self.plugins.clone()));
        registry.register("object_writes", "Objects written, by kind and verb", self.writes.clone());
        registry.register("watch_failures", "Watches that failed, by kind", self.watch_failures.clone());
        registry.register(
            "watches_failing",
            "1 if the watch fails at the moment, by kind and namespace",
            self.watches_failing.clone(),
        );
        registry.register(
            "database_syncs",
            "Database synchronisations that ended, by result",
            self.database_syncs.clone(),
        );
        registry.register(
            "admission_requests",
            "Objects that the API server asked about, by result",
            self.admission_requests.clone(),
        );
        registry.register_with_unit(
            "admission_duration",
            "How long the answers about objects took",
            Unit::Seconds,
            self.admission_seconds.clone(),
        );
        registry.register("leading", "1 if this operator is the one that writes", self.leading.clone());
    }

    /// The metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// If a metric cannot be written as text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts the calls of one decision: by step, the fuel that its call took.
    pub fn took_fuel(&self, by_step: &BTreeMap<String, u64>) {
        for (step, fuel) in by_step {
            // Exact up to 2^53, and no call takes more than 10^10.
            self.plugin_fuel.get_or_create(&StepLabel { step: step.clone() }).observe(*fuel as f64);
        }
    }

    /// Counts a write.
    pub fn wrote(&self, kind: &str, verb: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind: kind.to_owned(), verb }).inc();
    }
}

/// From ten thousand to 2.6 billion instructions: a shipped plugin takes some hundred thousand, and the default limit is
/// a billion.
fn fuel_histogram() -> Histogram {
    Histogram::new(exponential_buckets(10_000.0, 4.0, 10))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use pgloom_engine::{Description, Input, Pipeline, Plugin, Response};

    use super::*;

    #[test]
    fn metrics_carry_the_prefix_and_their_unit() {
        let metrics = Metrics::new();
        metrics.wrote("StatefulSet", "apply");
        metrics.reconcile_seconds.observe(0.5);
        let text = metrics.text().unwrap();
        assert!(text.contains("pgloom_object_writes_total{kind=\"StatefulSet\",verb=\"apply\"} 1"), "{text}");
        assert!(text.contains("pgloom_reconcile_duration_seconds_count 1"), "{text}");
        assert!(text.contains("pgloom_leading 0"), "{text}");
    }

    #[test]
    fn the_fuel_of_calls_is_counted_by_step() {
        let metrics = Metrics::new();
        for fuel in [9_000, 50_000] {
            metrics.took_fuel(&BTreeMap::from([("spilo".to_owned(), fuel)]));
        }
        let text = metrics.text().unwrap();
        for line in [
            "pgloom_plugin_fuel_sum{step=\"spilo\"} 59000.0",
            "pgloom_plugin_fuel_count{step=\"spilo\"} 2",
            "pgloom_plugin_fuel_bucket{le=\"10000.0\",step=\"spilo\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    fn plugin() -> Plugin {
        let description =
            Description { name: "spilo".to_owned(), version: "1.2.3".to_owned(), ..Description::default() };
        Plugin::native(description, |_| Ok(Response::default()))
    }

    /// A pipeline of one step.
    fn pipeline() -> Pipeline {
        Pipeline::of(vec![Arc::new(plugin())]).unwrap()
    }

    #[test]
    fn the_steps_in_use_have_metrics_with_what_they_run_and_those_before_have_none() {
        let metrics = Metrics::new();
        let pipeline = Arc::new(pipeline());
        metrics.plugins.follow([&pipeline]);
        let cluster = serde_json::json!({"metadata": {"name": "c", "namespace": "ns"}});
        pipeline.run(&Input { cluster, ..Input::default() }).unwrap();
        let text = metrics.text().unwrap();
        for line in [
            "pgloom_plugin_in_use{step=\"spilo\",plugin=\"spilo\",version=\"1.2.3\",digest=\"native\"} 1",
            "pgloom_plugin_calls_total{step=\"spilo\",digest=\"native\"} 1",
            "pgloom_plugin_call_duration_seconds_total{step=\"spilo\",digest=\"native\"} ",
            "pgloom_plugin_memory_peak_bytes{step=\"spilo\",digest=\"native\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        metrics.plugins.follow([&Arc::new(Pipeline::of(Vec::new()).unwrap())]);
        assert!(!metrics.text().unwrap().contains("pgloom_plugin_in_use"));
    }

    #[test]
    fn a_pipeline_that_is_rolled_out_counts_beside_the_one_before_and_no_series_is_there_twice() {
        let metrics = Metrics::new();
        let (before, mut new) = (Arc::new(pipeline()), plugin());
        new.digest = "sha256:new".to_owned();
        let new = Arc::new(Pipeline::of(vec![Arc::new(new)]).unwrap());
        let same = Arc::new(pipeline());
        metrics.plugins.follow([&before, &new, &same]);
        for pipeline in [&before, &new, &same] {
            let cluster = serde_json::json!({"metadata": {"name": "c", "namespace": "ns"}});
            pipeline.run(&Input { cluster, ..Input::default() }).unwrap();
        }
        let text = metrics.text().unwrap();
        let calls: Vec<&str> = text.lines().filter(|line| line.starts_with("pgloom_plugin_calls_total")).collect();
        assert_eq!(
            calls,
            [
                "pgloom_plugin_calls_total{step=\"spilo\",digest=\"native\"} 2",
                "pgloom_plugin_calls_total{step=\"spilo\",digest=\"sha256:new\"} 1",
            ]
        );
        assert_eq!(text.matches("pgloom_plugin_in_use{").count(), 2);
    }

    #[test]
    fn the_documentation_lists_every_metric_with_its_type() {
        let metrics = Metrics::new();
        // A metric with labels is printed once it has a value.
        let (text_of, kind) = (|text: &str| text.to_owned(), || "Pod".to_owned());
        drop(metrics.reconciles.get_or_create(&ResultLabel { result: text_of("ok") }));
        drop(metrics.admission_requests.get_or_create(&ResultLabel { result: text_of("allowed") }));
        drop(metrics.database_syncs.get_or_create(&ResultLabel { result: text_of("ok") }));
        drop(metrics.clusters.get_or_create(&StatusLabel { status: text_of("Running") }));
        drop(metrics.writes.get_or_create(&WriteLabels { kind: kind(), verb: "apply" }));
        drop(metrics.watch_failures.get_or_create(&KindLabel { kind: kind() }));
        drop(metrics.watches_failing.get_or_create(&WatchLabels { kind: kind(), namespace: text_of("*") }));
        drop(metrics.plugin_fuel.get_or_create(&StepLabel { step: text_of("spilo") }));
        let failure = PluginLabels { step: text_of("spilo"), reason: text_of("Trapped") };
        drop(metrics.plugin_failures.get_or_create(&failure));
        drop(metrics.clusters_held.get_or_create(&StepLabel { step: text_of("spilo") }));
        metrics.plugins.follow([&Arc::new(pipeline())]);
        let text = metrics.text().unwrap();
        let documented = include_str!("../../../../docs/metrics.md");
        let mut listed: Vec<(&str, &str)> = documented
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .filter_map(|(name, rest)| Some((name, rest.split_once(" | ")?.0)))
            .collect();
        let mut registered: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        listed.sort_unstable();
        registered.sort_unstable();
        assert_eq!(listed, registered);
    }
}
