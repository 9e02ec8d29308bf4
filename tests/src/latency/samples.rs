//! Measured latencies.

use crate::sim::clock::Micros;

/// Latencies of many decisions, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples(Vec<Micros>);

impl Samples {
    /// Adds those of another run.
    pub fn extend(&mut self, other: &Self) {
        self.add(&other.0);
    }

    /// Adds more.
    pub fn add(&mut self, more: &[Micros]) {
        self.0.extend_from_slice(more);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their mean in milliseconds; none without any.
    pub fn mean_ms(&self) -> Option<f64> {
        let sum: Micros = self.0.iter().sum();
        (!self.0.is_empty()).then(|| sum as f64 / self.0.len() as f64 / 1e3)
    }

    /// The latency that 99 of 100 decisions do not exceed, in milliseconds; none without any.
    pub fn p99_ms(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).map(|latency| *latency as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_quantile_of_a_hundred_and_of_none() {
        let mut samples = Samples::default();
        assert_eq!((samples.mean_ms(), samples.p99_ms()), (None, None));
        samples.add(&(1..=100).map(|ms| ms * 1_000).collect::<Vec<_>>());
        assert_eq!((samples.mean_ms(), samples.p99_ms()), (Some(50.5), Some(99.0)));
    }
}
