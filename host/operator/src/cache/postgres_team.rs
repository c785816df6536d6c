//! The `PostgresTeam` objects of all watched namespaces, kept in step by watches of their own while the operator
//! configuration asks for them: they belong to no cluster, and a change of one reconciles every cluster.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use futures::future::{FutureExt as _, join_all};
use futures::stream::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use parking_lot::RwLock;
use pgloom_api::postgres_team::{PostgresTeam, PostgresTeamSpec};
use pgloom_common::error::{cut, error_chain};
use pgloom_decide::role::AdditionalTeams;
use tokio::sync::watch;
use tracing::{info, warn};

use super::watch::SILENCE;
use super::{ClusterKey, Store};
use crate::serve::metrics::{KindLabel, Metrics};

/// The longest reason that is kept, in bytes.
const MAX_REASON: usize = 300;

/// A namespace; `None` for all.
type Scope = Option<String>;
type Specs = BTreeMap<(String, String), PostgresTeamSpec>;

/// The objects, and what they say together.
#[derive(Default)]
pub struct PostgresTeams(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    scopes: BTreeMap<Scope, Listed>,
    together: Option<Arc<AdditionalTeams>>,
}

#[derive(Default)]
struct Listed {
    /// The objects by namespace and name.
    specs: Specs,
    /// What a listing has brought so far.
    listing: Specs,
    is_listed: bool,
    /// Why the watch fails.
    failure: Option<String>,
}

/// What is known of the objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// What they say; `None` before all scopes were listed or failed.
    pub teams: Option<Arc<AdditionalTeams>>,
    /// Why they are not all known.
    pub unlisted: Option<String>,
}

impl PostgresTeams {
    /// What is known by now.
    pub fn known(&self) -> Known {
        let inner = self.0.read();
        let failure = inner.scopes.values().find_map(|listed| listed.failure.clone());
        Known { teams: inner.together.clone(), unlisted: failure }
    }

    /// Begins with these scopes, of which nothing is known.
    pub fn begin(&self, scopes: &[Scope]) {
        let scopes = scopes.iter().map(|scope| (scope.clone(), Listed::default())).collect();
        *self.0.write() = Inner { scopes, together: None };
    }

    /// Applies an event of a scope; whether what is known has changed.
    pub fn apply(&self, scope: &Scope, event: Result<Event<PostgresTeam>, String>) -> bool {
        let mut inner = self.0.write();
        let Some(listed) = inner.scopes.get_mut(scope) else { return false };
        let key = |object: &PostgresTeam| (object.namespace().unwrap_or_default(), object.name_any());
        let failure = match event {
            Ok(Event::Init) => {
                listed.listing.clear();
                return false;
            }
            Ok(Event::InitApply(object)) => {
                listed.listing.insert(key(&object), object.spec);
                return false;
            }
            Ok(Event::InitDone) => {
                listed.specs = std::mem::take(&mut listed.listing);
                listed.is_listed = true;
                None
            }
            Ok(Event::Apply(object)) => {
                listed.specs.insert(key(&object), object.spec);
                None
            }
            Ok(Event::Delete(object)) => {
                listed.specs.remove(&key(&object));
                None
            }
            Err(reason) => Some(reason),
        };
        let is_other_failure = listed.failure != failure;
        listed.failure = failure;
        let is_over = inner.scopes.values().all(|listed| listed.is_listed || listed.failure.is_some());
        let specs = inner.scopes.values().flat_map(|listed| listed.specs.values());
        let together = is_over.then(|| Arc::new(AdditionalTeams::of(specs)));
        let is_other = inner.together != together;
        if is_other {
            inner.together = together;
        }
        is_other || is_other_failure
    }

    /// Notes that a watch whose objects were listed works, as it has been silent for so long; whether what is known has
    /// changed.
    fn works(&self, scope: &Scope) -> bool {
        let mut inner = self.0.write();
        let listed = inner.scopes.get_mut(scope).filter(|listed| listed.is_listed);
        listed.and_then(|listed| listed.failure.take()).is_some()
    }
}

/// Keeps the objects of `store` in step with the API server in the namespaces of `scopes`, which is empty while nobody asks
/// for them. All clusters are sent to `changed` when what they say has changed. Returns when the sender is gone.
pub async fn follow(
    client: Client,
    store: Arc<Store>,
    changed: UnboundedSender<ClusterKey>,
    metrics: Metrics,
    mut scopes: watch::Receiver<Vec<Scope>>,
) {
    loop {
        let wanted = scopes.borrow_and_update().clone();
        store.postgres_teams().begin(&wanted);
        let all = wanted.iter().map(|scope| follow_scope(&client, &store, &changed, &metrics, scope));
        let all = join_all(all).then(|_| std::future::pending::<()>());
        tokio::select! {
            () = all => {}
            result = scopes.changed() => if result.is_err() { return },
        }
    }
}

/// Never returns.
async fn follow_scope(
    client: &Client,
    store: &Store,
    changed: &UnboundedSender<ClusterKey>,
    metrics: &Metrics,
    scope: &Scope,
) {
    let api: Api<PostgresTeam> = match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut events = pin!(watcher::watcher(api, watcher::Config::default()).default_backoff());
    let teams = store.postgres_teams();
    loop {
        let is_news = match tokio::time::timeout(SILENCE, events.next()).await {
            Ok(Some(event)) => {
                let event = event.map_err(|error| {
                    let error = error_chain(&error);
                    warn!(error, "the watch of PostgresTeam objects broke off and is tried again");
                    metrics.watch_failures.get_or_create(&KindLabel { kind: "PostgresTeam".to_owned() }).inc();
                    cut(&error, MAX_REASON)
                });
                teams.apply(scope, event)
            }
            Ok(None) => return,
            Err(_) => teams.works(scope),
        };
        if is_news {
            info!("PostgresTeam objects changed");
            // The receiver is gone only when the operator stops.
            store.clusters().into_iter().for_each(|key| _ = changed.unbounded_send(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, member: &str) -> PostgresTeam {
        let spec = json!({"additionalMembers": {"acid": [member]}});
        let mut object = PostgresTeam::new(name, serde_json::from_value(spec).unwrap());
        object.metadata.namespace = Some("ns".into());
        object
    }

    fn members(teams: &PostgresTeams) -> Option<Vec<String>> {
        Some(teams.known().teams?.members("acid").into_iter().collect())
    }

    #[test]
    fn what_objects_say_is_known_when_all_namespaces_were_listed_and_follows_each_change() {
        let (teams, one, two) = (PostgresTeams::default(), Some("one".to_owned()), Some("two".to_owned()));
        assert_eq!(members(&teams), None);
        teams.begin(&[one.clone(), two.clone()]);
        let listed = |scope: &Scope, objects: Vec<PostgresTeam>| {
            teams.apply(scope, Ok(Event::Init));
            objects.into_iter().for_each(|object| _ = teams.apply(scope, Ok(Event::InitApply(object))));
            teams.apply(scope, Ok(Event::InitDone))
        };
        assert!(!listed(&one, vec![object("a", "ada")]));
        assert_eq!(members(&teams), None, "the other namespace may have more");
        assert!(listed(&two, vec![]));
        assert_eq!(members(&teams).unwrap(), ["ada"]);
        assert!(teams.apply(&two, Ok(Event::Apply(object("b", "tia")))));
        assert!(!teams.apply(&two, Ok(Event::Apply(object("b", "tia")))), "nothing new");
        assert!(teams.apply(&one, Ok(Event::Delete(object("a", "ada")))));
        assert_eq!(members(&teams).unwrap(), ["tia"]);
    }

    #[test]
    fn a_watch_that_fails_holds_no_cluster_and_is_named_until_it_works() {
        let (teams, all) = (PostgresTeams::default(), None);
        teams.begin(&[None]);
        assert!(teams.apply(&all, Err("forbidden".into())));
        assert!(!teams.works(&all), "nothing is known of a watch that never listed anything");
        assert_eq!((members(&teams).unwrap().len(), teams.known().unlisted), (0, Some("forbidden".into())));
        assert!(!teams.apply(&all, Ok(Event::Init)));
        assert!(teams.apply(&all, Ok(Event::InitDone)));
        assert_eq!(teams.known().unlisted, None);
        teams.apply(&all, Err("reset".into()));
        assert!(teams.works(&all) && teams.known().unlisted.is_none(), "it goes on without an event");
        assert!(!teams.works(&all));
        teams.begin(&[]);
        assert_eq!(teams.known(), Known::default());
    }
}
