//! The last events about each cluster, in memory. They are lost with the process.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::Mutex;
use pgloom_decide::Kind;

use super::Event;
use crate::cache::ClusterKey;

/// How many events of a cluster are kept.
const KEPT: usize = 100;

/// An event, and when it happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was published.
    pub time: Timestamp,
    /// The event.
    pub event: Event,
}

/// The last events about each cluster.
#[derive(Default)]
pub struct Journal(Mutex<BTreeMap<ClusterKey, VecDeque<Entry>>>);

impl Journal {
    /// Adds an event, if it is about a cluster.
    pub(super) fn add(&self, about: &ObjectReference, event: &Event) {
        let is_cluster = about.kind.as_deref() == Some(&*Kind::cluster().kind);
        let (true, Some(namespace), Some(name)) = (is_cluster, about.namespace.as_deref(), about.name.as_deref())
        else {
            return;
        };
        let mut journal = self.0.lock();
        let entries = journal.entry(ClusterKey::new(namespace, name)).or_default();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry { time: Timestamp::now(), event: event.clone() });
    }

    /// The events about a cluster, the latest last.
    pub fn of(&self, key: &ClusterKey) -> Vec<Entry> {
        self.0.lock().get(key).into_iter().flatten().cloned().collect()
    }

    /// Removes the events about a cluster.
    pub fn forget(&self, key: &ClusterKey) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_cluster_the_last_hundred_events_are_kept_until_it_is_forgotten() {
        let (journal, key) = (Journal::default(), ClusterKey::new("ns", "acid-orders"));
        let about = |kind: &str| ObjectReference {
            kind: Some(kind.into()),
            namespace: Some("ns".into()),
            name: Some("acid-orders".into()),
            ..ObjectReference::default()
        };
        for number in 0..103 {
            journal.add(&about("postgresql"), &Event::normal("Create", number.to_string()));
        }
        journal.add(&about("Pipeline"), &Event::normal("Loaded", "another kind"));
        let kept = journal.of(&key);
        assert_eq!((kept.len(), kept[0].event.note.as_str(), kept[99].event.note.as_str()), (100, "3", "102"));
        journal.forget(&key);
        assert!(journal.of(&key).is_empty());
    }
}
