//! The lines of a watch.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Lag, Listener, is_selected};
use crate::path::Place;
use crate::write::Refusal;

/// The time between two bookmarks of a watch.
const BOOKMARK: Duration = Duration::from_secs(60);

/// One watch.
pub(super) struct Watcher {
    pub listener: Listener,
    pub changed: watch::Receiver<u64>,
    pub place: Place,
    pub query: HashMap<String, String>,
    pub seen: u64,
    pub ends: Instant,
    pub over: bool,
}

impl Watcher {
    /// The next lines; `None` when the watch ends.
    pub async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if self.over || self.listener.is_dead() || Instant::now() >= self.ends {
                return None;
            }
            self.changed.borrow_and_update();
            let lines = self.lines();
            if !lines.is_empty() {
                return Some((Ok(Bytes::from(lines)), self));
            }
            let pause = self.lag().map_or(BOOKMARK, |lag| lag.until.saturating_duration_since(Instant::now()));
            let until = (Instant::now() + pause).min(self.ends);
            let is_late = tokio::time::timeout_at(until, self.changed.changed()).await.is_err();
            if is_late && self.lag().is_none() && Instant::now() < self.ends {
                let version = self.seen.to_string();
                let bookmark =
                    json!({"apiVersion": "v1", "kind": "Bookmark", "metadata": {"resourceVersion": version}});
                let line = format!("{}\n", json!({"type": "BOOKMARK", "object": bookmark}));
                return Some((Ok(Bytes::from(line)), self));
            }
        }
    }

    fn lag(&self) -> Option<Lag> {
        self.listener.server.lock().lag.filter(|lag| Instant::now() < lag.until)
    }

    /// The lines of the changes since the last call.
    fn lines(&mut self) -> String {
        let inner = self.listener.server.lock();
        let objects = &inner.state.objects;
        if self.seen < objects.oldest() {
            self.over = true;
            let status = Refusal::new(410, "too old resource version").status();
            return format!("{}\n", json!({"type": "ERROR", "object": status}));
        }
        let lag = inner.lag.filter(|lag| Instant::now() < lag.until);
        let mut lines = String::new();
        for change in objects.since(self.seen) {
            if lag.is_some_and(|lag| change.version > lag.version) {
                break;
            }
            self.seen = change.version;
            let is_wanted = change.key.0 == self.place.collection
                && (self.place.namespace.is_empty() || change.key.1 == self.place.namespace)
                && is_selected(&change.object, &self.query);
            if is_wanted {
                lines.push_str(&json!({"type": change.event_type, "object": change.object}).to_string());
                lines.push('\n');
            }
        }
        lines
    }
}
