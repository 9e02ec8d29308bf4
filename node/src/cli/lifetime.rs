//! Signals.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// How long a node may take to stop in order.
pub const GRACE: Duration = Duration::from_secs(5);

/// The signals that ask a process to stop: SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal went away).
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// Starts to listen; from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("signals cannot be listened for: {error}")))
        };
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
