//! When what breaks.

use super::clock::{MILLI, Micros};
use super::rng::Rng;

/// How often things break in the safety phase.
#[derive(Debug, Clone, Copy)]
pub struct FaultProfile {
    /// Mean time between crashes of single nodes; none without crashes.
    pub crash_interval: Option<Micros>,
    /// Longest time that a crashed node stays down.
    pub downtime_max: Micros,
    /// Of a thousand crashes, how many take all nodes down at once.
    pub blackouts_per_mille: u64,
    /// Of a thousand flushes, during how many the process crashes.
    pub flush_crashes_per_mille: u64,
    /// Of a thousand flushes, after how many the process crashes while it sends what it made durable.
    pub send_crashes_per_mille: u64,
    /// Mean time between partitions; none without partitions.
    pub partition_interval: Option<Micros>,
    /// Longest partition.
    pub partition_max: Micros,
    /// Largest wrongness of a wall clock, in milliseconds.
    pub skew_max_ms: u64,
}

impl FaultProfile {
    /// Faults of a seed, from none to many.
    pub fn new(rng: &mut Rng) -> Self {
        let seconds = |seconds: u64| seconds * 1_000 * MILLI;
        Self {
            crash_interval: [None, Some(seconds(4)), Some(seconds(1))][rng.index(3)],
            downtime_max: [200 * MILLI, seconds(2), seconds(8)][rng.index(3)],
            blackouts_per_mille: [0, 100][rng.index(2)],
            flush_crashes_per_mille: [0, 0, 3][rng.index(3)],
            send_crashes_per_mille: [0, 0, 3][rng.index(3)],
            partition_interval: [None, Some(seconds(3)), Some(seconds(6))][rng.index(3)],
            partition_max: [seconds(1), seconds(5)][rng.index(2)],
            skew_max_ms: [0, 100, 900][rng.index(3)],
        }
    }
}

/// A time around the mean: between a tenth of it and nearly twice it.
pub fn around(mean: Micros, rng: &mut Rng) -> Micros {
    rng.within(mean / 10..=mean * 19 / 10)
}
