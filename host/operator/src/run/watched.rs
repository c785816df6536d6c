//! What is watched: by the settings, in the namespaces of the flags or of the operator configuration.

use std::sync::Arc;
use std::time::Duration;

use pgloom_decide::kind::{BuiltIn, Kind, of_every_cluster};
use pgloom_engine::Pipeline;
use tokio::sync::watch;
use tracing::info;

use crate::args::Namespaces;
use crate::cache::watch::Watches;
use crate::cache::{Store, Watch};
use crate::serve::health::HealthSender;
use crate::settings::Settings;

/// How often it is checked whether everything has been listed.
const SYNC_PERIOD: Duration = Duration::from_millis(100);

/// Which namespaces are watched, as far as the settings do not say it.
pub struct WatchScope {
    /// The namespaces of the flags.
    pub namespaces: Option<Namespaces>,
    /// The operator's own namespace.
    pub own: String,
}

/// Keeps the wanted watches running as the settings change, and sets the operator ready when everything has been
/// listed.
pub async fn keep_watching(
    mut watches: Watches,
    mut settings: watch::Receiver<Settings>,
    wanted: WatchScope,
    store: Arc<Store>,
    health: Arc<HealthSender>,
    teams: watch::Sender<Vec<Option<String>>>,
) {
    let mut ready = false;
    loop {
        let current = settings.borrow_and_update().clone();
        watches.run_exactly(wanted.watches(&current));
        let of_teams = wanted.of_teams(&current);
        teams.send_if_modified(|before| {
            let is_other = *before != of_teams;
            *before = of_teams;
            is_other
        });
        let changed = loop {
            if !ready && current.is_available() && store.settled() {
                ready = true;
                health.set_ready();
                info!(clusters = store.clusters().len(), "ready");
            }
            if ready {
                break settings.changed().await;
            }
            // Other settings may watch what can be listed.
            if let Ok(changed) = tokio::time::timeout(SYNC_PERIOD, settings.changed()).await {
                break changed;
            }
        };
        if changed.is_err() {
            return;
        }
    }
}

impl WatchScope {
    /// The namespaces in which `PostgresTeam` objects are watched; none while they are not asked for.
    fn of_teams(&self, settings: &Settings) -> Vec<Option<String>> {
        match settings.config.flag("enable_postgres_team_crd") {
            true => settings.scopes(self.namespaces.as_ref(), &self.own),
            false => Vec::new(),
        }
    }

    /// The watches of the `postgresql` objects and of what belongs to them, in every watched namespace.
    fn watches(&self, settings: &Settings) -> Vec<Watch> {
        let label = settings.config.text("cluster_name_label");
        let mut kinds = of_every_cluster();
        for kind in settings.pipelines().flat_map(|pipeline| kinds_of(pipeline)) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let whole_pods = settings.pipelines().any(|pipeline| observes_whole_pods(pipeline));
        let own: Vec<String> = settings.config.map("cluster_labels").into_keys().map(str::to_owned).collect();
        let mut watches = Vec::new();
        for namespace in settings.scopes(self.namespaces.as_ref(), &self.own) {
            watches.push(Watch {
                kind: Kind::cluster(),
                namespace: namespace.clone(),
                label: None,
                whole: false,
                own: vec![],
            });
            for kind in &kinds {
                watches.push(Watch {
                    kind: kind.clone(),
                    namespace: namespace.clone(),
                    label: Some(label.to_owned()),
                    whole: whole_pods && kind.is(BuiltIn::Pod),
                    own: own.clone(),
                });
            }
        }
        watches
    }
}

/// Whether a plugin observes the specification of the clusters' pods, which is otherwise not kept.
fn observes_whole_pods(pipeline: &Pipeline) -> bool {
    let selectors = pipeline.steps().iter().flat_map(|step| &step.plugin.description.observed);
    let mut of_pods =
        selectors.filter(|selector| Kind::new(&selector.kind.api_version, &selector.kind.kind).is(BuiltIn::Pod));
    of_pods.any(|selector| selector.fields.is_empty() || selector.fields.iter().any(|field| field.starts_with("spec")))
}

/// The kinds that the pipeline's steps may create or observe of the clusters' own.
fn kinds_of(pipeline: &Pipeline) -> Vec<Kind> {
    let kinds = pipeline.steps().iter().flat_map(|step| {
        let observed = step.plugin.description.observed.iter();
        let owned = observed.filter(|selector| matches!(selector.from, pgloom_engine::Selection::Owned));
        step.creates().iter().chain(owned.map(|selector| &selector.kind))
    });
    kinds.map(|kind| Kind::new(&kind.api_version, &kind.kind)).collect()
}
