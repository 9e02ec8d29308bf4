//! Histograms over octiles and the distance between two of them.
//!
//! `JSD(P, Q) = H((P + Q) / 2) - H(P) / 2 - H(Q) / 2` in bits over `K = 8` bins, each count raised by one half, minus
//! the bias `(K - 1) / (8 ln 2) (1/n + 1/m)` that two samples of one distribution have on average, not below 0. Its
//! root is a metric from 0 to 1.
//!
//! Consecutive seconds resemble each other, so a window holds fewer independent samples than it has seconds.
//! [`inflation`] estimates how much larger the bias is for that reason.

use crate::statistics::distribution::as_f64;

/// Bins of a histogram.
pub const BINS: usize = 8;

/// Lags that [`inflation`] looks at: a minute of seconds. What hangs together longer than that is a trend, not noise.
const LAGS_MAX: usize = 60;

/// Bin edges: seven octiles, not falling. A value belongs to the bin whose number is the count of edges below it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OctileBins {
    edges: [f64; BINS - 1],
}

impl OctileBins {
    /// Bins with these edges, brought into order.
    pub fn new(mut edges: [f64; BINS - 1]) -> Self {
        edges.sort_by(f64::total_cmp);
        Self { edges }
    }

    /// The octiles of a sample, interpolated between neighbours; nothing for an empty one.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let edges = std::array::from_fn(|edge| {
            // The number of steps is whole, so the position splits into an index and eighths of the way to the next.
            let eighths = (edge + 1) * last;
            let (index, rest) = (eighths / BINS, eighths % BINS);
            let next = sorted[(index + 1).min(last)];
            sorted[index] + (next - sorted[index]) * as_f64(rest) / as_f64(BINS)
        });
        Some(Self { edges })
    }

    /// The edges.
    pub fn edges(&self) -> &[f64; BINS - 1] {
        &self.edges
    }

    /// The bin of a value, 0 to 7.
    pub fn bin(&self, value: f64) -> usize {
        self.edges.partition_point(|edge| *edge < value)
    }

    /// Counts values per bin.
    pub fn histogram(&self, values: &[f64]) -> Histogram {
        let mut counts = [0; BINS];
        for value in values {
            counts[self.bin(*value)] += 1;
        }
        Histogram { counts }
    }
}

/// Samples per bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// The counts.
    pub counts: [u64; BINS],
}

impl Histogram {
    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn smoothed(&self) -> [f64; BINS] {
        let total = float(self.total()) + as_f64(BINS) / 2.0;
        self.counts.map(|count| (float(count) + 0.5) / total)
    }
}

/// The distance of two histograms without its bias: 0 to 1 bit. `inflation` is at least 1; see [`inflation`].
pub fn jensen_shannon(a: &Histogram, b: &Histogram, inflation: f64) -> f64 {
    (raw_jensen_shannon(a, b) - bias(a.total(), b.total()) * inflation).clamp(0.0, 1.0)
}

fn raw_jensen_shannon(a: &Histogram, b: &Histogram) -> f64 {
    let (p, q) = (a.smoothed(), b.smoothed());
    let middle: [f64; BINS] = std::array::from_fn(|bin| (p[bin] + q[bin]) / 2.0);
    entropy(&middle) - (entropy(&p) + entropy(&q)) / 2.0
}

/// What two independent samples of one distribution differ by on average, in bits; 1 when one is empty.
pub fn bias(n: u64, m: u64) -> f64 {
    if n == 0 || m == 0 {
        return 1.0;
    }
    as_f64(BINS - 1) / (8.0 * std::f64::consts::LN_2) * (1.0 / float(n) + 1.0 / float(m))
}

/// How much larger the bias is than for independent samples: `1 + 2 sum over lags of r(lag)`, with `r` the
/// autocorrelation of "the sample lies in this bin", averaged over bins as they enter the bias. Lags count up to the
/// first at which `r` is lost in noise. At least 1, at most an eighth of the samples.
pub fn inflation(bins: &OctileBins, values: &[f64]) -> f64 {
    let places: Vec<usize> = values.iter().map(|value| bins.bin(*value)).collect();
    let count = as_f64(places.len());
    let mut shares = [0.0; BINS];
    for place in &places {
        shares[*place] += 1.0 / count;
    }
    let freedom = as_f64(shares.iter().filter(|share| **share > 0.0).count().saturating_sub(1));
    if freedom == 0.0 {
        return 1.0;
    }
    let noise = 1.0 / libm::sqrt(freedom * count);
    let mut sum = 1.0;
    for lag in 1..LAGS_MAX.min(places.len()) {
        // The chance that both samples of a pair lie in one bin, over what independence gives, summed over bins.
        let excess: f64 =
            places.iter().zip(&places[lag..]).filter(|(a, b)| a == b).map(|(a, _)| 1.0 / shares[*a]).sum();
        let r = (excess / as_f64(places.len() - lag) - 1.0) / freedom;
        if r < noise {
            break;
        }
        sum += 2.0 * r;
    }
    sum.clamp(1.0, (count / as_f64(BINS)).max(1.0))
}

fn entropy(p: &[f64; BINS]) -> f64 {
    -p.iter().map(|share| share * libm::log2(*share)).sum::<f64>()
}

#[allow(clippy::cast_precision_loss, reason = "counts of samples are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::distribution::normal_quantile;

    /// SplitMix64: numbers for tests, the same everywhere.
    struct Draws(u64);

    impl Draws {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (float((z ^ (z >> 31)) >> 11) + 0.5) / float(1 << 53)
        }

        /// A stationary series with lag-one correlation `a` and standard normal values.
        fn series(&mut self, length: usize, a: f64) -> Vec<f64> {
            let mut value = normal_quantile(self.uniform());
            let noise = (1.0 - a * a).sqrt();
            std::iter::repeat_with(|| {
                value = a * value + noise * normal_quantile(self.uniform());
                value
            })
            .take(length)
            .collect()
        }
    }

    fn true_octiles() -> OctileBins {
        OctileBins::new(std::array::from_fn(|edge| normal_quantile(as_f64(edge + 1) / 8.0)))
    }

    #[test]
    fn two_samples_of_one_distribution_differ_by_the_bias() {
        let mut draws = Draws(1);
        let bins = true_octiles();
        let runs = 3_000;
        let sum: f64 = (0..runs)
            .map(|_| {
                let [a, b] = [0, 1].map(|_| bins.histogram(&draws.series(300, 0.0)));
                raw_jensen_shannon(&a, &b)
            })
            .sum();
        let (measured, formula) = (sum / as_f64(runs), bias(300, 300));
        println!("bias of 300 against 300: measured {measured:.5}, formula {formula:.5}");
        assert!((measured / formula - 1.0).abs() < 0.1, "{measured} {formula}");
    }

    #[test]
    fn autocorrelation_raises_the_bias_as_estimated() {
        let mut draws = Draws(2);
        let bins = true_octiles();
        let runs = 1_000;
        let (mut raw, mut estimated) = (0.0, 0.0);
        for _ in 0..runs {
            let [a, b] = [0, 1].map(|_| draws.series(300, 0.8));
            raw += raw_jensen_shannon(&bins.histogram(&a), &bins.histogram(&b)) / bias(300, 300);
            estimated += inflation(&bins, &a);
        }
        let (measured, estimated) = (raw / as_f64(runs), estimated / as_f64(runs));
        println!("inflation at lag-one correlation 0.8: measured {measured:.2}, estimated {estimated:.2}");
        assert!((measured - 2.6).abs() < 0.3, "{measured}");
        assert!((estimated / measured - 1.0).abs() < 0.25, "{estimated} {measured}");
    }

    #[test]
    fn octiles_split_a_sample_into_equal_parts() {
        let values: Vec<f64> = (0..800).map(as_f64).collect();
        let bins = OctileBins::of(&values).unwrap();
        assert!(bins.histogram(&values).counts.iter().all(|count| (99..=101).contains(count)));
        assert_eq!(bins.bin(f64::NEG_INFINITY), 0);
        assert_eq!(bins.bin(f64::INFINITY), 7);
        assert!(OctileBins::of(&[]).is_none());
    }

    #[test]
    fn the_distance_is_nothing_for_equals_and_nearly_a_bit_for_strangers() {
        let [low, high] = [0, 7].map(|bin| {
            let mut histogram = Histogram::default();
            histogram.counts[bin] = 1_000;
            histogram
        });
        assert_eq!(jensen_shannon(&low, &low, 1.0), 0.0);
        assert!(jensen_shannon(&low, &high, 1.0) > 0.95);
        assert_eq!(jensen_shannon(&low, &Histogram::default(), 1.0), 0.0);
    }
}
