//! Whether the operator is ready and whether it leads: two values that the operator sets and others read or wait for.

use tokio::sync::watch;

/// Reads the health. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether everything was listed and loaded once.
    pub ready: watch::Receiver<bool>,
    /// Whether this operator is the one that writes.
    pub leading: watch::Receiver<bool>,
}

/// Sets the health.
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

    /// What follows this sender.
    pub fn subscribe(&self) -> Health {
        Health { ready: self.ready.subscribe(), leading: self.leading.subscribe() }
    }

    /// Everything was listed and loaded once.
    pub fn set_ready(&self) {
        self.ready.send_replace(true);
    }

    /// Sets whether this operator is the one that writes.
    pub fn set_leading(&self, leading: bool) {
        self.leading.send_replace(leading);
    }
}
