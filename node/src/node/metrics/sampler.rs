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
/// Low digits of a report's number: of one life of the node, and random.
const LIFE_BITS: u32 = 20;
const LIVES: u64 = 1 << LIFE_BITS;

/// What the node knows of its own window, and the number of its newest report.
#[derive(Debug)]
pub struct Measured {
    statistics: RwLock<Arc<LocalStatistics>>,
    /// The last report's number without its low digits.
    turn: AtomicU64,
    /// The low digits of all numbers of this life.
    life: u64,
}

impl Measured {
    /// Nothing is measured yet: every value says so.
    pub fn new() -> Self {
        let nothing = LocalStatistics::of(&Window::default().view(), &Baseline::default(), &Peers::default());
        Self {
            statistics: RwLock::new(Arc::new(nothing)),
            turn: AtomicU64::new(0),
            life: rand::random::<u64>() % LIVES,
        }
    }

    /// The newest statistics.
    pub fn statistics(&self) -> Arc<LocalStatistics> {
        self.statistics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, statistics: LocalStatistics) {
        *self.statistics.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(statistics);
    }

    /// A number for the next report: microseconds of the calendar, whose last 20 bits, about a second, give way to digits that
    /// this life of the node has drawn.
    ///
    /// Within a life each number is higher than all before. After a restart, too, unless the calendar was set back: then the
    /// node's reports count for nothing until it has caught up. No number is used twice, so that nobody has proof of a fault
    /// against a correct node: for that the calendar would have to go through the same second in two lives that drew the same
    /// of a million digits.
    pub fn next_sequence(&self) -> u64 {
        self.number_at(unix_ms().saturating_mul(1_000))
    }

    fn number_at(&self, calendar_us: u64) -> u64 {
        let clock = calendar_us / LIVES;
        let next = |last: u64| clock.max(last.saturating_add(1));
        // The closure always has an answer.
        let last = self.turn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_default()).saturating_mul(LIVES).saturating_add(self.life)
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
        let now = unix_ms() * 1_000;
        assert!(numbers[0] >= now - 60_000_000 && numbers[0] < now + 60_000_000);
        assert!(numbers[999] < 1 << 53, "exact also in programs that have but floating-point numbers");
    }

    #[test]
    fn a_calendar_that_is_set_back_over_a_restart_leads_to_no_number_twice() {
        let calendar = || (0..300).map(|second| 1_900_000_000_000_000 + second * 1_000_000);
        let lives: Vec<Measured> = (0..3).map(|_| Measured::new()).collect();
        let mut numbers: Vec<u64> =
            lives.iter().flat_map(|life| calendar().map(|at| life.number_at(at))).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 900, "once in 350,000 runs two of three lives draw the same");
    }

    #[test]
    fn after_a_restart_numbers_go_on_higher() {
        let at = 1_900_000_000_000_000;
        let before = Measured::new().number_at(at);
        assert!((0..50).all(|_| Measured::new().number_at(at + 3_000_000) > before));
    }

    #[test]
    fn before_the_first_sample_every_value_says_what_is_missing() {
        let statistics = Measured::new().statistics();
        assert!(statistics.phi.is_err() && statistics.stability.is_err() && statistics.divergence.is_err());
        assert_eq!(statistics.dropped.len(), 8);
    }
}
