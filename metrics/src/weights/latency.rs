//! The guard against weights that make things worse: compares agreed commit latency with that under equal weights.

/// Epochs in a row that must be slow before weights fall back: one slow epoch is weather.
pub const SLOW_EPOCHS_MAX: u32 = 2;

/// Slow is more than 1.25 times the baseline: in quarters, more than 5 for each 4.
const SLOW_QUARTERS: u64 = 5;

/// What is known of commit latency under equal weights and since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct LatencyGuard {
    /// Median commit latency of the last epoch with equal weights.
    pub baseline_us: Option<u32>,
    /// Epochs in a row since then with more than 1.25 times as much.
    pub slow_epochs: u32,
}

impl LatencyGuard {
    /// The guard after an epoch with equal weights. An epoch without a measurement leaves the baseline.
    #[must_use]
    pub fn after_equal_weights(self, median_us: Option<u32>) -> Self {
        Self { baseline_us: median_us.or(self.baseline_us), slow_epochs: 0 }
    }

    /// The guard after an epoch with other weights. An epoch without a measurement leaves the count.
    #[must_use]
    pub fn after_unequal_weights(self, median_us: Option<u32>) -> Self {
        let (Some(baseline), Some(median)) = (self.baseline_us, median_us) else { return self };
        let slow = u64::from(median).saturating_mul(4) > u64::from(baseline).saturating_mul(SLOW_QUARTERS);
        let slow_epochs = if slow { self.slow_epochs.saturating_add(1) } else { 0 };
        Self { slow_epochs, ..self }
    }

    /// Whether the weights must fall back to equal ones.
    pub fn is_tripped(self) -> bool {
        self.slow_epochs >= SLOW_EPOCHS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_slow_epochs_in_a_row_trip_it_and_equal_weights_reset_it() {
        let guard = LatencyGuard::default().after_equal_weights(Some(100_000));
        let at_limit = guard.after_unequal_weights(Some(125_000)).after_unequal_weights(Some(125_000));
        assert!(!at_limit.is_tripped());
        let once = guard.after_unequal_weights(Some(125_001));
        assert!(!once.is_tripped());
        assert!(!once.after_unequal_weights(Some(90_000)).after_unequal_weights(Some(130_000)).is_tripped());
        let tripped = once.after_unequal_weights(None).after_unequal_weights(Some(130_000));
        assert!(tripped.is_tripped());
        assert_eq!(tripped.after_equal_weights(None), guard);
    }

    #[test]
    fn without_a_baseline_nothing_trips() {
        let guard =
            LatencyGuard::default().after_unequal_weights(Some(1)).after_unequal_weights(Some(u32::MAX));
        assert!(!guard.is_tripped());
    }
}
