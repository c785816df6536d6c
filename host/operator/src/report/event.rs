//! Events of a `postgresql` object. A warning is published once, not again at every resync while it lasts, and those of one
//! step are limited: a plugin may answer with another text at each reconcile.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{self, EventType, Reporter};
use parking_lot::Mutex;
use pgloom_common::error::{cut, error_chain};
use pgloom_common::fingerprint::fingerprint;
use serde_json::Value;
use tracing::warn;

use super::Journal;

/// The longest note that the API server accepts, in bytes.
const MAX_NOTE: usize = 1024;
/// How many new warnings of one step about one object are published at once, and after how long one more is. The limits are
/// those that Kubernetes' own clients have by default
/// ([`EventSourceObjectSpamFilter`](https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go)).
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);

/// An event, see [`events.k8s.io/v1`](https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Whether the type is `Warning`, not `Normal`.
    pub warning: bool,
    /// The reason in CamelCase, as in `Create`.
    pub reason: String,
    /// The text: one sentence.
    pub note: String,
    /// The step that it is from; `None` for the operator itself.
    pub step: Option<String>,
}

impl Event {
    /// An event of type `Normal`.
    pub fn normal(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.into(), note: note.into(), step: None }
    }

    /// An event of type `Warning`.
    pub fn warning(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, note) }
    }

    /// The same event from a step of the pipeline.
    #[must_use]
    pub fn of_step(self, step: Option<&str>) -> Self {
        Self { step: step.map(str::to_owned), ..self }
    }
}

/// The current warnings of one object, which have been published.
#[derive(Default)]
pub struct Warnings(Mutex<Published>);

#[derive(Default)]
struct Published {
    current: HashSet<Event>,
    /// By step, what may be published of it.
    budgets: BTreeMap<Option<String>, Budget>,
}

/// How many events may be published, and since when that is so.
struct Budget {
    left: u32,
    since: Instant,
}

impl Warnings {
    /// Replaces the warnings, and returns those that were not there before. A warning for which its step has no budget is
    /// left out; it is new again at the next call.
    fn replace(&self, warnings: Vec<Event>, now: Instant) -> Vec<Event> {
        let Published { current, budgets } = &mut *self.0.lock();
        let before = std::mem::take(current);
        let mut new = Vec::new();
        for warning in warnings {
            if before.contains(&warning) {
                current.insert(warning);
            } else if !current.contains(&warning) && Budget::of(budgets, &warning, now).take() {
                current.insert(warning.clone());
                new.push(warning);
            }
        }
        new
    }
}

impl Budget {
    fn of<'a>(budgets: &'a mut BTreeMap<Option<String>, Self>, event: &Event, now: Instant) -> &'a mut Self {
        let budget = budgets.entry(event.step.clone()).or_insert(Self { left: BURST, since: now });
        let refills = now.saturating_duration_since(budget.since).as_secs() / REFILL.as_secs();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        budget.left = budget.left.saturating_add(refills).min(BURST);
        budget.since += REFILL.saturating_mul(refills);
        budget
    }

    fn take(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or_default();
        left.is_some()
    }
}

/// A recorder of events.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    client: Client,
    reporter: Reporter,
    /// kube's recorder and the time of its last event. It keeps the events of some minutes, to merge equal ones, and
    /// removes them only when it publishes another one.
    current: Mutex<(events::Recorder, Instant)>,
    journal: Journal,
}

impl Recorder {
    /// A recorder with the operator's name; `controller_id` distinguishes several operators.
    pub fn new(client: Client, controller_id: &str) -> Self {
        let controller = if controller_id.is_empty() { "pgloom".to_owned() } else { format!("pgloom/{controller_id}") };
        let reporter = Reporter { controller, instance: None };
        let current = Mutex::new((events::Recorder::new(client.clone(), reporter.clone()), Instant::now()));
        Self(Arc::new(Inner { client, reporter, current, journal: Journal::default() }))
    }

    /// The last events about each cluster.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Forgets what was published, if that was at least so long ago.
    pub fn sweep(&self, idle: Duration) {
        let Inner { client, reporter, current, .. } = &*self.0;
        let (recorder, last) = &mut *current.lock();
        if last.elapsed() >= idle {
            *recorder = events::Recorder::new(client.clone(), reporter.clone());
        }
    }

    fn recorder(&self) -> events::Recorder {
        let (recorder, last) = &mut *self.0.current.lock();
        *last = Instant::now();
        recorder.clone()
    }

    /// Publishes an event. A failure is logged only.
    pub async fn publish(&self, about: &ObjectReference, event: &Event) {
        self.0.journal.add(about, event);
        let published = events::Event {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.clone(),
            note: Some(cut(&event.note, MAX_NOTE)),
            action: action(event),
            secondary: None,
        };
        if let Err(error) = self.recorder().publish(&published, about).await {
            warn!(reason = %event.reason, error = %error_chain(&error), "event not published");
        }
    }

    /// Publishes the warnings that were not current at the last call.
    pub async fn publish_warnings(&self, last: &Warnings, about: &ObjectReference, current: Vec<Event>) {
        for warning in last.replace(current, Instant::now()) {
            self.publish(about, &warning).await;
        }
    }
}

/// The action of an event. kube's recorder merges events with the same action and keeps the note of the first one, so
/// the action differs for each note.
fn action(event: &Event) -> String {
    format!("{}-{:08x}", event.reason, fingerprint(&event.note) & 0xffff_ffff)
}

/// The reference to an object, for the field `regarding` of an event.
pub fn reference(object: &Value) -> ObjectReference {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    ObjectReference {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        name: text("/metadata/name"),
        namespace: text("/metadata/namespace"),
        uid: text("/metadata/uid"),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApiServer;
    use serde_json::json;

    #[tokio::test]
    async fn a_lasting_warning_is_published_once_and_again_after_it_was_gone() {
        let api_server = FakeApiServer::new();
        let recorder = Recorder::new(api_server.client(), "");
        let (last, about) = (Warnings::default(), reference(&json!({"metadata": {"name": "c", "namespace": "ns"}})));
        let warning = Event::warning("Sync", "no version");
        for warnings in [vec![warning.clone()], vec![warning.clone()], vec![], vec![warning]] {
            recorder.publish_warnings(&last, &about, warnings).await;
        }
        assert_eq!(api_server.writes().len(), 2);
        assert_eq!(api_server.writes()[0].body["type"], "Warning");
        assert_eq!(api_server.writes()[0].body["reportingController"], "pgloom");
    }

    #[test]
    fn a_step_with_another_text_at_each_reconcile_has_a_limited_number_of_events_and_others_keep_theirs() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let finding = |number: u64| Event::warning("Manifest", number.to_string()).of_step(Some("chatty"));
        let of_others = || [Event::warning("Sync", "a"), Event::warning("Manifest", "b").of_step(Some("quiet"))];
        let reconcile = |number, at| {
            let all = [finding(number)].into_iter().chain(of_others()).collect();
            warnings.replace(all, start + Duration::from_secs(at)).len()
        };
        let published: usize = (0..1000).map(|number| reconcile(number, 0)).sum();
        assert_eq!(published, 25 + 2);
        // One more every five minutes, and no more than at first after a long time.
        assert_eq!((0..3).map(|number| reconcile(number, 301)).sum::<usize>(), 1);
        assert_eq!((0..1000).map(|number| reconcile(number, 1_000_000)).sum::<usize>(), 25);
    }

    #[test]
    fn of_many_findings_at_once_those_beyond_the_limit_are_published_later() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let many = || (0..30).map(|number| Event::warning("Manifest", number.to_string()).of_step(Some("s"))).collect();
        let publish = |at| warnings.replace(many(), start + Duration::from_secs(at)).len();
        assert_eq!([publish(0), publish(0), publish(600), publish(3600), publish(7200)], [25, 0, 2, 3, 0]);
    }

    #[tokio::test]
    async fn equal_events_are_merged_until_there_was_none_for_a_while() {
        let api_server = FakeApiServer::new();
        let recorder = Recorder::new(api_server.client(), "");
        let (about, event) =
            (reference(&json!({"metadata": {"name": "c", "namespace": "ns"}})), Event::normal("A", "b"));
        let methods = || api_server.writes().iter().map(|write| write.method.to_string()).collect::<Vec<_>>();
        recorder.publish(&about, &event).await;
        recorder.sweep(Duration::from_secs(3600));
        recorder.publish(&about, &event).await;
        assert_eq!(methods(), ["POST", "PATCH"]);
        recorder.sweep(Duration::ZERO);
        recorder.publish(&about, &event).await;
        assert_eq!(methods(), ["POST", "PATCH", "POST"]);
    }
}
