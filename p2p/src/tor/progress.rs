//! Following the Tor client's way into the network, and telling the operator of it.

use std::sync::Arc;
use std::time::Duration;

use arti_client::TorClient;
use arti_client::status::BootstrapStatus;
use futures::StreamExt;
use tokio::time::Instant;
use tor_rtcompat::PreferredRuntime;

use super::start::ADVICE;
use super::state::TorState;

/// A client that is not in the Tor network after so long is told of: the public one takes some 10 s, a minute at worst.
const SLOW_AFTER: Duration = Duration::from_secs(60);

/// Progress is logged in steps of so many percent.
const PROGRESS_STEP: u8 = 20;

/// Keeps the state up to date and tells the operator of progress, trouble and its end.
pub(super) async fn follow_client(tor: Arc<TorClient<PreferredRuntime>>, state: Arc<TorState>) {
    let mut events = tor.bootstrap_events();
    let mut told = Told::new();
    loop {
        told.tell(&note(&tor.bootstrap_status(), &state));
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            () = told.slow() => {}
        }
    }
}

/// What is known of the way into the network.
struct Progress {
    percent: u8,
    phase: String,
    blocked: Option<String>,
    is_ready: bool,
}

fn note(status: &BootstrapStatus, state: &TorState) -> Progress {
    let is_ready = status.ready_for_traffic();
    // Only a client that is ready is at 100 percent, however the fraction is rounded.
    let most = if is_ready { 100.0 } else { 99.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 100")]
    let percent = (status.as_frac() * 100.0).clamp(0.0, most) as u8;
    let text = status.to_string();
    let phase = text.split_once(": ").map_or(text.as_str(), |(_, phase)| phase).to_owned();
    let blocked = status.blocked().map(|blockage| blockage.to_string());
    state.change(|known| {
        known.status.percent = percent;
        known.status.phase.clone_from(&phase);
        known.status.blocked.clone_from(&blocked);
        known.is_ready = is_ready;
    });
    Progress { percent, phase, blocked, is_ready }
}

/// What the operator was told last, so that nothing is said twice.
struct Told {
    since: Instant,
    percent: u8,
    blocked: Option<String>,
    is_ready: bool,
    is_slow: bool,
}

impl Told {
    fn new() -> Self {
        Self { since: Instant::now(), percent: 0, blocked: None, is_ready: false, is_slow: false }
    }

    /// Completes when the way into the network has taken too long.
    async fn slow(&self) {
        if self.is_ready || self.is_slow {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.since + SLOW_AFTER).await;
    }

    fn tell(&mut self, progress: &Progress) {
        let Progress { percent, phase, blocked, is_ready } = progress;
        if let Some(reason) = blocked
            && self.blocked.as_ref() != Some(reason)
        {
            tracing::warn!(percent, %reason, "the way into the Tor network is blocked: {ADVICE}");
        } else if *is_ready != self.is_ready {
            self.since = Instant::now();
            self.is_slow = false;
            if *is_ready {
                tracing::info!(percent, "connected to the Tor network");
            } else {
                tracing::warn!(percent, %phase, "the connection to the Tor network was lost; it is sought again");
            }
        } else if !is_ready && *percent >= self.percent.saturating_add(PROGRESS_STEP) {
            tracing::info!(percent, %phase, "connecting to the Tor network");
        } else if !is_ready && !self.is_slow && self.since.elapsed() >= SLOW_AFTER {
            self.is_slow = true;
            tracing::warn!(percent, %phase, "the way into the Tor network takes long: {ADVICE}");
        } else {
            return;
        }
        self.percent = *percent;
        self.blocked.clone_from(blocked);
        self.is_ready = *is_ready;
    }
}
