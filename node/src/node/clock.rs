//! The node's only clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aegis_consensus::Now;

/// Reads the time: monotonic since the node's start, and of the calendar.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time, as the engine takes it.
    pub fn now(&self) -> Now {
        Now { monotonic_ms: self.monotonic_ms(), unix_ms: unix_ms() }
    }

    /// Milliseconds since the start.
    pub fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Microseconds since the start.
    pub fn monotonic_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How long until a time of this clock; zero when it has passed.
    pub fn until(&self, monotonic_ms: u64) -> Duration {
        Duration::from_millis(monotonic_ms.saturating_sub(self.monotonic_ms()))
    }
}

/// Milliseconds of the Unix epoch.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
