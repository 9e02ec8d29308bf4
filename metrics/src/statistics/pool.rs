//! The peers' samples of a channel, added up so that each peer counts alike.
//!
//! Only a peer with at least [`SAMPLES_MIN`] samples of the channel counts; a mixture of `k` such peers with equal parts is
//! worth as many independent samples as `k` times the harmonic mean of theirs, since the variance of each part is one
//! over its count. So that is what the pool shows as its total, from which the bias of a comparison is taken: by boasting
//! of more samples nobody gains a larger part, and one with few makes the pool look smaller by no more than to
//! `SAMPLES_MIN` per peer.

use crate::statistics::bins::{BINS, Histogram};
use crate::statistics::distribution::as_f64;
use crate::statistics::stability::SAMPLES_MIN;

/// Histograms of one channel by peer.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// Sum of the peers' shares of samples per bin.
    shares: [f64; BINS],
    /// Sum over peers of one by the number of samples.
    inverses: f64,
    peers: usize,
}

impl Pool {
    /// Adds a peer's counts over the common bins; those of too few samples are left out.
    pub fn add(&mut self, histogram: Histogram) {
        let total = usize::try_from(histogram.total()).unwrap_or(usize::MAX);
        if total < SAMPLES_MIN {
            return;
        }
        let total = as_f64(total);
        for (share, count) in self.shares.iter_mut().zip(histogram.counts) {
            *share += as_f64(usize::try_from(count).unwrap_or(usize::MAX)) / total;
        }
        self.inverses += 1.0 / total;
        self.peers += 1;
    }

    /// The pooled samples, each peer with the same number; nothing when no peer shows enough.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates; shares are positive"
    )]
    pub fn histogram(&self) -> Option<Histogram> {
        let mass = as_f64(self.peers) / self.inverses;
        (self.peers > 0)
            .then(|| Histogram { counts: self.shares.map(|share| libm::round(share * mass) as u64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(histograms: &[[u64; BINS]]) -> Option<[u64; BINS]> {
        let mut pool = Pool::default();
        for counts in histograms {
            pool.add(Histogram { counts: *counts });
        }
        pool.histogram().map(|histogram| histogram.counts)
    }

    #[test]
    fn one_that_boasts_of_many_samples_counts_like_any_other() {
        let honest = [75; BINS];
        let boast = [0, 0, 0, 0, 0, 0, 0, 1_000_000];
        let counts = pooled(&[honest, honest, honest, boast]).unwrap();
        let total: u64 = counts.iter().sum();
        let of_boast = counts[7] - counts[0];
        assert!((of_boast * 4).abs_diff(total) < 16, "a quarter is its part: {counts:?}");
    }

    #[test]
    fn peers_with_few_samples_are_left_out_and_do_not_thin_the_pool() {
        let honest = [75; BINS];
        assert_eq!(pooled(&[[1, 0, 0, 0, 0, 0, 0, 98]]), None);
        assert_eq!(pooled(&[]), None);
        assert_eq!(pooled(&[honest, [1, 0, 0, 0, 0, 0, 0, 98]]), Some(honest));
        // Two of 600 and 200 are worth two of 300.
        assert_eq!(pooled(&[honest, [25; BINS]]), Some([75; BINS]));
        assert_eq!(pooled(&[honest, honest]), Some([150; BINS]));
    }
}
