//! Growing delays between attempts.

use std::time::Duration;

/// Delays that double from a base to a cap. Each is drawn from the upper half of its range, so that nodes which lost each
/// other at one moment do not come back at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap: cap.max(base), attempts: 0 }
    }

    /// How many delays were drawn since the last success.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// After a success the next delay is short again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The delay before the next attempt.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        let longest = self.base.saturating_mul(factor).min(self.cap);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));
        for longest in [100, 200, 400, 400, 400] {
            let delay = backoff.next_delay().as_millis();
            assert!((longest / 2..=longest).contains(&delay), "{delay} of {longest}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn the_delay_stays_at_the_cap_however_often_it_fails() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let longest = (0..10_000).map(|_| backoff.next_delay()).max();
        assert!(longest <= Some(Duration::from_secs(60)));
    }
}
