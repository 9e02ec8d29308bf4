//! A node's clocks: both differ from virtual time, as real ones differ from true time.

use aegis_consensus::Now;

/// Virtual time: microseconds since the start of the run.
pub type Micros = u64;

/// Microseconds of a millisecond.
pub const MILLI: Micros = 1_000;
/// Microseconds of a second.
pub const SECOND: Micros = 1_000_000;

/// Unix time in milliseconds at which every genesis stands.
pub const GENESIS_UNIX_MS: u64 = 1_750_000_000_000;
/// How long after the genesis's time the run begins; more than any skew.
const START_AFTER_GENESIS_MS: u64 = 1_200;

/// Skew of the wall clock, rate of the monotonic one.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Milliseconds by which the wall clock is wrong; changes when it jumps.
    pub skew_ms: i64,
    /// How far the monotonic clock moves in a thousand units of virtual time.
    pub rate_per_mille: u64,
    /// When the process started: its monotonic clock stood at 0.
    pub booted_at: Micros,
}

impl Clock {
    /// What the node's clocks show at a virtual time.
    pub fn read(&self, at: Micros) -> Now {
        let running = at.saturating_sub(self.booted_at);
        let true_unix_ms = GENESIS_UNIX_MS + START_AFTER_GENESIS_MS + at / MILLI;
        Now {
            monotonic_ms: running * self.rate_per_mille / 1_000 / MILLI,
            unix_ms: true_unix_ms.saturating_add_signed(self.skew_ms),
        }
    }

    /// The first virtual time at which the monotonic clock shows at least `monotonic_ms`.
    pub fn when(&self, monotonic_ms: u64) -> Micros {
        let running = (monotonic_ms * MILLI * 1_000).div_ceil(self.rate_per_mille);
        self.booted_at + running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early_and_at_most_a_millisecond_late() {
        for rate_per_mille in [950, 1_000, 1_049] {
            let clock = Clock { skew_ms: -7, rate_per_mille, booted_at: 12_345 };
            for deadline in [0, 1, 999, 123_456] {
                let at = clock.when(deadline);
                assert_eq!(clock.read(at).monotonic_ms, deadline, "{rate_per_mille} {deadline}");
            }
        }
    }
}
