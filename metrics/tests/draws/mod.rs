//! Numbers for tests, the same on every machine: SplitMix64.

#![allow(dead_code, reason = "each test uses what it needs")]

use aegis_metrics::statistics::distribution::normal_quantile;

pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Between 0 and 1, neither of them.
    pub fn uniform(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits")]
        let number = (self.next() >> 11) as f64;
        (number + 0.5) / 9_007_199_254_740_992.0
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// `size` of the numbers below `limit`, each once.
    pub fn choose(&mut self, size: usize, limit: usize) -> Vec<usize> {
        let mut rest: Vec<usize> = (0..limit).collect();
        (0..size)
            .map(|_| {
                let index = usize::try_from(self.below(u64::try_from(rest.len()).unwrap())).unwrap();
                rest.swap_remove(index)
            })
            .collect()
    }
}
