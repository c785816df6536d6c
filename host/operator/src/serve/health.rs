//! The health of the operator: whether it is ready, and whether it is the leader. Readers can wait for a change.

use tokio::sync::watch;

/// The receivers of the health. A clone shares the same values.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the caches have been listed and the settings loaded once.
    pub ready: watch::Receiver<bool>,
    /// Whether this operator is the leader, which writes.
    pub leading: watch::Receiver<bool>,
}

/// The senders of the health.
#[derive(Debug)]
pub struct HealthSender {
    ready: watch::Sender<bool>,
    leading: watch::Sender<bool>,
}

impl HealthSender {
    /// Neither ready nor leading.
    pub fn new() -> Self {
        Self { ready: watch::channel(false).0, leading: watch::channel(false).0 }
    }

    /// Receivers of this sender.
    pub fn subscribe(&self) -> Health {
        Health { ready: self.ready.subscribe(), leading: self.leading.subscribe() }
    }

    /// Sets the operator ready, for good.
    pub fn set_ready(&self) {
        self.ready.send_replace(true);
    }

    /// Sets whether this operator is the leader.
    pub fn set_leading(&self, leading: bool) {
        self.leading.send_replace(leading);
    }
}
