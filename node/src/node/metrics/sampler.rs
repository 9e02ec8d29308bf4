//! One reading a second, and statistics of the window now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aegis_ledger::weights;
use aegis_metrics::sampling::{Baseline, LocalStatistics, Peers, ProcessReadings, Sampler, Window};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::warn;

use crate::node::clock::unix_ms;
use crate::node::context::NodeContext;
use crate::node::state::StateView;

const SECOND: Duration = Duration::from_secs(1);
/// Readings are taken in the middle of a second, so that a tick that is a little early or late stays within it.
const HALF_SECOND_MS: u64 = 500;
/// Most seconds between two computations of the statistics: they take some 30 ms, and a window of ten minutes hardly moves
/// meanwhile. A short window moves more and costs less: it is looked at again after an eighth of its length.
const STATISTICS_SECONDS: usize = 30;
const STATISTICS_PART: usize = 8;

/// What the node knows of its own window, and the number of its newest report.
#[derive(Debug)]
pub struct Measured {
    statistics: RwLock<Arc<LocalStatistics>>,
    sequence: AtomicU64,
}

impl Measured {
    /// Nothing is measured yet: every value says so.
    pub fn new() -> Self {
        let nothing = LocalStatistics::of(&Window::default().view(), &Baseline::default(), &Peers::default());
        Self { statistics: RwLock::new(Arc::new(nothing)), sequence: AtomicU64::new(0) }
    }

    /// The newest statistics.
    pub fn statistics(&self) -> Arc<LocalStatistics> {
        self.statistics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, statistics: LocalStatistics) {
        *self.statistics.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(statistics);
    }

    /// A number for the next report: higher than all before, also those from before a restart, as long as the calendar's clock
    /// does not run backwards. Should it do so, the node's reports count for nothing until it has caught up; that two of them
    /// get one number would take the same microsecond twice.
    pub fn next_sequence(&self) -> u64 {
        let clock = unix_ms().saturating_mul(1_000);
        let next = |last: u64| Some(clock.max(last.saturating_add(1)));
        // The closure always has an answer.
        let last = self.sequence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        clock.max(last.saturating_add(1))
    }
}

/// Samples until the node stops.
pub async fn sample(node: Arc<NodeContext>) {
    let mut sampler = Sampler::new(ProcessReadings);
    let phase = node.clock.monotonic_ms() % 1_000;
    let first = Duration::from_millis(1_000 + HALF_SECOND_MS - phase);
    let mut ticks = interval_at(Instant::now() + first, SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut due = 0;
    let mut computing: Option<JoinHandle<()>> = None;
    loop {
        ticks.tick().await;
        let uptime = Duration::from_micros(node.clock.monotonic_us());
        let (queue_depth, _) = node.mempool.size();
        sampler.sample(uptime, node.observation.take_readings(queue_depth, node.network.bytes_sent()));
        let is_idle = computing.as_ref().is_none_or(JoinHandle::is_finished);
        if uptime.as_secs() >= due && is_idle {
            let pause = (sampler.window().samples() / STATISTICS_PART).clamp(1, STATISTICS_SECONDS);
            due = uptime.as_secs().saturating_add(u64::try_from(pause).unwrap_or(u64::MAX));
            let (node, view, baseline) = (node.clone(), sampler.window().view(), sampler.baseline().clone());
            computing = Some(tokio::task::spawn_blocking(move || {
                let statistics = LocalStatistics::of(&view, &baseline, &peers(&node));
                node.measured.publish(statistics);
            }));
        }
    }
}

/// What the other members report, over the bins that were agreed.
fn peers(node: &NodeContext) -> Peers {
    let octiles = weights::octiles(&StateView(node.kv.as_ref())).unwrap_or_else(|error| {
        warn!(%error, "the agreed bins cannot be read");
        Default::default()
    });
    let mut peers = Peers::new(&octiles);
    let me = node.node_key.validator_id();
    for (_, kept) in node.live_members().into_iter().filter(|(member, _)| *member != me) {
        peers.add(&kept.signed.report);
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_also_within_a_millisecond() {
        let measured = Measured::new();
        let numbers: Vec<u64> = (0..1_000).map(|_| measured.next_sequence()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert!(numbers[0] >= unix_ms().saturating_sub(60_000) * 1_000);
    }

    #[test]
    fn before_the_first_sample_every_value_says_what_is_missing() {
        let statistics = Measured::new().statistics();
        assert!(statistics.phi.is_err() && statistics.stability.is_err() && statistics.divergence.is_err());
        assert_eq!(statistics.dropped.len(), 8);
    }
}
