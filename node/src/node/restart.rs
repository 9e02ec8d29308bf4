//! Starting the parts of a node again within the process, with another state or with its seat.
//!
//! The network stays; the stores are closed and opened again, as after a restart of the process.

use std::sync::Arc;

use tokio::sync::Notify;

/// Asks for a restart of the parts. Clones ask for the same one.
#[derive(Debug, Clone, Default)]
pub struct RestartHandle {
    wanted: Arc<Notify>,
}

impl RestartHandle {
    /// Asks for it. It happens soon; until then, everything goes on.
    pub fn request(&self) {
        self.wanted.notify_one();
    }

    /// Completes when somebody has asked.
    pub async fn requested(&self) {
        self.wanted.notified().await;
    }
}
