//! Events of a `postgresql` object: each standing warning is told once, not at every resync.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::warn;

use crate::store::ClusterKey;

/// The longest note that the API server accepts, in bytes.
const NOTE: usize = 1024;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Announcement {
    /// Whether something is wrong.
    pub warning: bool,
    /// One word, as in `Create`.
    pub reason: String,
    /// For people.
    pub note: String,
}

impl Announcement {
    /// Something that happened.
    pub fn normal(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.into(), note: note.into() }
    }

    /// Something that is wrong.
    pub fn warning(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, note) }
    }
}

/// Publishes events, and remembers which warnings stand.
#[derive(Clone)]
pub struct Announcer {
    recorder: Recorder,
    standing: Arc<Mutex<HashMap<ClusterKey, HashSet<Announcement>>>>,
}

impl Announcer {
    /// An announcer under the operator's name; `controller_id` tells several operators apart.
    pub fn new(client: Client, controller_id: &str) -> Self {
        let controller = if controller_id.is_empty() { "pgloom".to_owned() } else { format!("pgloom/{controller_id}") };
        let recorder = Recorder::new(client, Reporter { controller, instance: None });
        Self { recorder, standing: Arc::default() }
    }

    /// Tells what happened.
    pub async fn happened(&self, about: &ObjectReference, announcement: &Announcement) {
        let event = Event {
            type_: if announcement.warning { EventType::Warning } else { EventType::Normal },
            reason: announcement.reason.clone(),
            note: Some(cut(&announcement.note)),
            action: action(announcement),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            warn!(reason = %announcement.reason, %error, "the event was not published");
        }
    }

    /// Tells which warnings stand for a cluster; those that stood before are not told again.
    pub async fn stands(&self, key: &ClusterKey, about: &ObjectReference, warnings: Vec<Announcement>) {
        let current: HashSet<Announcement> = warnings.iter().cloned().collect();
        let before = self.standing.lock().await.insert(key.clone(), current).unwrap_or_default();
        for warning in warnings {
            if !before.contains(&warning) {
                self.happened(about, &warning).await;
            }
        }
    }

    /// Forgets a cluster.
    pub async fn forget(&self, key: &ClusterKey) {
        self.standing.lock().await.remove(key);
    }
}

/// The recorder counts events of the same action as one and keeps the first one's note. So another note is another action.
fn action(announcement: &Announcement) -> String {
    let mut hasher = DefaultHasher::new();
    announcement.note.hash(&mut hasher);
    format!("{}-{:08x}", announcement.reason, hasher.finish() & 0xffff_ffff)
}

/// What an event of an object refers to.
pub fn reference(object: &Value) -> ObjectReference {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = &object["metadata"];
    ObjectReference {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        name: text(&metadata["name"]),
        namespace: text(&metadata["namespace"]),
        uid: text(&metadata["uid"]),
        ..ObjectReference::default()
    }
}

/// Cuts a note to what the API server accepts.
fn cut(note: &str) -> String {
    if note.len() <= NOTE {
        return note.to_owned();
    }
    let mut end = NOTE - 3;
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", note.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;
    use serde_json::json;

    #[tokio::test]
    async fn a_standing_warning_is_told_once_and_again_after_it_was_gone() {
        let wire = Wire::new();
        let announcer = Announcer::new(wire.client(), "");
        let (key, about) =
            (ClusterKey::new("ns", "c"), reference(&json!({"metadata": {"name": "c", "namespace": "ns"}})));
        let warning = Announcement::warning("Sync", "no version");
        for warnings in [vec![warning.clone()], vec![warning.clone()], vec![], vec![warning]] {
            announcer.stands(&key, &about, warnings).await;
        }
        assert_eq!(wire.writes().len(), 2);
        assert_eq!(wire.writes()[0].body["type"], "Warning");
        assert_eq!(wire.writes()[0].body["reportingController"], "pgloom");
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let note = cut(&"ä".repeat(600));
        assert!(note.len() <= NOTE && note.ends_with("ä..."), "{}", note.len());
    }
}
