//! How far state sync is, and showing it: as a bar where somebody watches, in log lines otherwise.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use aegis_rpc::api::{SnapshotPhase, SnapshotProgress};
use aegis_types::Height;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tracing::info;

use crate::node::logging;

/// How often the bar is drawn.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
/// Between two log lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const BAR: &str = "{msg} {wide_bar} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// How far state sync is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Height of the snapshot.
    pub height: Height,
    /// What is being done.
    pub phase: SnapshotPhase,
    /// Bytes done in this phase, those of earlier attempts included.
    pub done_bytes: u64,
    /// Bytes to do in this phase, as the manifest claims.
    pub total_bytes: u64,
    /// Bytes that were done when this phase began.
    pub kept_bytes: u64,
    /// When it began.
    pub since: Instant,
}

impl Progress {
    /// A phase that begins with `kept_bytes` done.
    pub fn begin(height: Height, phase: SnapshotPhase, kept_bytes: u64, total_bytes: u64) -> Self {
        Self { height, phase, done_bytes: kept_bytes, total_bytes, kept_bytes, since: Instant::now() }
    }

    /// Bytes per second since the phase began.
    pub fn rate(&self) -> u64 {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.done_bytes.saturating_sub(self.kept_bytes).saturating_mul(1_000) / millis
    }

    /// Time left at this rate; none while nothing can be said.
    pub fn left(&self) -> Option<Duration> {
        let left = self.total_bytes.saturating_sub(self.done_bytes);
        left.checked_div(self.rate()).map(Duration::from_secs)
    }

    /// Whether the snapshot is whole, and the state is being built from it.
    pub fn is_building(&self) -> bool {
        self.phase == SnapshotPhase::Building
    }

    /// As the interface shows it.
    pub fn report(&self) -> SnapshotProgress {
        let left = self.left();
        SnapshotProgress {
            height: self.height,
            phase: self.phase,
            done_bytes: self.done_bytes.min(self.total_bytes),
            total_bytes: self.total_bytes,
            bytes_per_second: self.rate(),
            left_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// Shows progress for as long as the node runs.
pub async fn show(mut progress: watch::Receiver<Option<Progress>>) {
    let is_watched = std::io::stderr().is_terminal();
    loop {
        let Ok(begun) = progress.wait_for(Option::is_some).await.map(|begun| *begun) else { return };
        let Some(begun) = begun else { continue };
        if is_watched {
            draw(begun, &mut progress).await;
        } else {
            tell(begun, &mut progress).await;
        }
    }
}

/// The progress of the phase that has begun, until another one begins or nothing is going on.
fn still(begun: Progress, progress: &mut watch::Receiver<Option<Progress>>) -> Option<Progress> {
    let now = *progress.borrow_and_update();
    now.filter(|now| (now.height, now.phase) == (begun.height, begun.phase))
}

async fn draw(begun: Progress, progress: &mut watch::Receiver<Option<Progress>>) {
    let bar = logging::bars().add(ProgressBar::new(begun.total_bytes));
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    bar.set_message(format!("{} snapshot {}", begun.phase.name(), begun.height));
    // What was there before says nothing about the rate.
    bar.set_position(begun.kept_bytes);
    bar.reset_eta();
    while let Some(now) = still(begun, progress) {
        bar.set_position(now.done_bytes);
        tokio::time::sleep(BAR_INTERVAL).await;
    }
    bar.finish_and_clear();
}

async fn tell(begun: Progress, progress: &mut watch::Receiver<Option<Progress>>) {
    let mut told = Instant::now();
    while let Some(now) = still(begun, progress) {
        if told.elapsed() >= LINE_INTERVAL {
            told = Instant::now();
            let left = now.left().map(|left| left.as_secs());
            info!(
                height = %now.height,
                phase = now.phase.name(),
                done_bytes = now.done_bytes,
                total_bytes = now.total_bytes,
                bytes_per_second = now.rate(),
                seconds_left = left,
                "taking over a snapshot"
            );
        }
        tokio::time::sleep(BAR_INTERVAL).await;
    }
}
