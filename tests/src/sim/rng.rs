//! Numbers from the seed: splitmix64, a stream of its own for each purpose.
//!
//! Streams are split by label, so that one more draw for, say, the network does not change what the client does.

use std::ops::RangeInclusive;

/// A stream of numbers that its seed decides.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of a seed and a label.
    pub fn new(seed: u64, label: &str) -> Self {
        let mut rng = Self { state: seed };
        for byte in label.bytes() {
            rng.state = rng.draw().wrapping_add(u64::from(byte));
        }
        rng
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number within the bounds, both included.
    pub fn within(&mut self, bounds: RangeInclusive<u64>) -> u64 {
        let (low, high) = bounds.into_inner();
        let span = high.saturating_sub(low).saturating_add(1);
        low + self.draw() % span
    }

    /// An index below `length`, which must not be 0.
    pub fn index(&mut self, length: usize) -> usize {
        (self.draw() % length as u64) as usize
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.draw() % 1000 < per_mille
    }

    /// One of the choices, if there is any.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        if choices.is_empty() { None } else { Some(choices[self.index(choices.len())]) }
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }

    /// 32 bytes, as for the seed of a key.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes());
        }
        bytes
    }
}

/// The finalizer of splitmix64: every bit of the result depends on every bit of `value`.
pub fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
