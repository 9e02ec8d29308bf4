//! Turns readings into the values of a second.

use std::time::Duration;

use crate::sampling::baseline::Baseline;
use crate::sampling::channel::Channel;
use crate::sampling::local::{LocalStatistics, Peers};
use crate::sampling::system::SystemReadings;
use crate::sampling::window::{Row, Window};

/// Seconds between two looks at the long-run median.
const BASELINE_SECONDS: u64 = 60;

/// What the node knows about itself. Totals count from the node's start and never fall; what was not measured is
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeReadings {
    /// Proposals that arrived, in total.
    pub proposals_total: u64,
    /// Proposals that wait now.
    pub queue_depth: u64,
    /// Median commit latency since the last reading.
    pub commit_latency_us: Option<u64>,
    /// Round-trip time to the weighted median of the peers, measured in protocol.
    pub quorum_rtt_us: Option<u64>,
    /// Bytes sent, in total.
    pub bytes_out_total: u64,
    /// Own votes that were cast in time, in total.
    pub votes_in_time_total: u64,
}

/// Samples a node once per second. Has no clock: the caller says what time it is.
#[derive(Debug)]
pub struct Sampler<S> {
    system: S,
    window: Window,
    baseline: Baseline,
    previous: Option<Reading>,
    baseline_at: u64,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    node: NodeReadings,
    cpu: Option<Duration>,
    memory: Option<u64>,
}

impl<S: SystemReadings> Sampler<S> {
    /// A sampler with an empty window.
    pub fn new(system: S) -> Self {
        Self {
            system,
            window: Window::default(),
            baseline: Baseline::default(),
            previous: None,
            baseline_at: 0,
        }
    }

    /// Takes a sample at `uptime` on the node's monotonic clock. Call it once per second; a second call within one
    /// second is ignored, and seconds left out become gaps.
    ///
    /// The first call fills no row, since rates need two readings.
    pub fn sample(&mut self, uptime: Duration, node: NodeReadings) {
        let reading =
            Reading { at: uptime, node, cpu: self.system.cpu_time(), memory: self.system.memory_bytes() };
        let Some(previous) = self.previous else {
            self.previous = Some(reading);
            return;
        };
        if !self.window.push(uptime.as_secs(), row(&previous, &reading)) {
            return;
        }
        self.previous = Some(reading);
        if uptime.as_secs() >= self.baseline_at.saturating_add(BASELINE_SECONDS) {
            self.baseline_at = uptime.as_secs();
            self.baseline.observe(&self.window.view());
        }
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The long-run medians: with the window, what [`LocalStatistics::of`] needs to compute elsewhere.
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The statistics of the window now. Takes some tens of milliseconds for eight channels: call it every thirty
    /// seconds or so, not per request.
    pub fn statistics(&self, peers: &Peers) -> LocalStatistics {
        LocalStatistics::of(&self.window.view(), &self.baseline, peers)
    }
}

#[allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "readings become numbers here; differences are far below 2^53"
)]
fn row(previous: &Reading, now: &Reading) -> Row {
    let elapsed = now.at.saturating_sub(previous.at).as_secs_f64();
    let rate = |now: u64, previous: u64| now.checked_sub(previous).map(|more| more as f64 / elapsed);
    let cpu = || Some(now.cpu?.checked_sub(previous.cpu?)?.as_secs_f64() / elapsed);
    let memory = || Some((now.memory? as f64 - previous.memory? as f64) / elapsed);
    Channel::ALL.map(|channel| match channel {
        Channel::Arrivals => rate(now.node.proposals_total, previous.node.proposals_total),
        Channel::Cpu => cpu(),
        Channel::QueueDepth => Some(now.node.queue_depth as f64),
        Channel::CommitLatency => now.node.commit_latency_us.map(|latency| latency as f64),
        Channel::QuorumRtt => now.node.quorum_rtt_us.map(|rtt| rtt as f64),
        Channel::Memory => memory(),
        Channel::BytesOut => rate(now.node.bytes_out_total, previous.node.bytes_out_total),
        Channel::VotesInTime => rate(now.node.votes_in_time_total, previous.node.votes_in_time_total),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Steady {
        seconds: u64,
    }

    impl SystemReadings for Steady {
        fn cpu_time(&mut self) -> Option<Duration> {
            self.seconds += 1;
            Some(Duration::from_millis(250 * self.seconds))
        }

        fn memory_bytes(&mut self) -> Option<u64> {
            Some(1_000_000 - 10 * self.seconds)
        }
    }

    #[test]
    fn totals_become_rates_and_memory_its_change() {
        let at = |seconds| Reading {
            at: Duration::from_secs(seconds),
            node: NodeReadings { proposals_total: 30 * seconds, queue_depth: 4, ..NodeReadings::default() },
            cpu: Some(Duration::from_millis(250 * seconds)),
            memory: Some(1_000 - seconds),
        };
        let row = row(&at(2), &at(4));
        assert_eq!(row[0], Some(30.0));
        assert_eq!(row[1], Some(0.25));
        assert_eq!(row[2], Some(4.0));
        assert_eq!(row[3], None);
        assert_eq!(row[5], Some(-1.0));
    }

    #[test]
    fn a_total_that_falls_is_a_gap() {
        let mut sampler = Sampler::new(Steady { seconds: 0 });
        let node = |total| NodeReadings { proposals_total: total, ..NodeReadings::default() };
        sampler.sample(Duration::from_millis(100), node(100));
        assert_eq!(sampler.window().samples(), 0);
        sampler.sample(Duration::from_millis(1_100), node(50));
        sampler.sample(Duration::from_millis(1_900), node(60));
        assert_eq!(sampler.window().samples(), 1);
        assert!(sampler.window().view().kept.is_empty());
    }
}
