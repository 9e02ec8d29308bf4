//! What a crash leaves of what was not synced.

use crate::medium::SECTOR_BYTES;

/// What a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: the power failed before the disk got any of it.
    Lost,
    /// All of it, still unsynced: the process died, the operating system did not, and may yet lose it at a later crash.
    Kept,
    /// A part of it that depends on the seed: of the changes of the folder the first few; of each write a prefix or any
    /// of its sectors, the others reading as before or, where nothing was, as zeros or as the end of the file.
    Torn(u64),
}

/// What a crash leaves of one unsynced write.
pub(super) struct Remnant {
    /// The pieces that were kept: offsets within the write.
    pub pieces: Vec<(usize, usize)>,
    /// The file reaches at least to this offset within the write.
    pub reach: usize,
}

/// Draws what happens to one thing after another when the machine loses its memory.
pub(super) struct Dice {
    /// The generator's state; absent when nothing is kept.
    state: Option<u64>,
}

impl Dice {
    /// Keeps nothing.
    pub fn lost() -> Self {
        Self { state: None }
    }

    /// Keeps a part that depends on the seed.
    pub fn torn(seed: u64) -> Self {
        Self { state: Some(seed) }
    }

    /// How many of `count` ordered changes were made.
    pub fn prefix(&mut self, count: usize) -> usize {
        if self.state.is_none() { 0 } else { self.below(count + 1) }
    }

    /// Whether a single change was made.
    pub fn is_kept(&mut self) -> bool {
        self.prefix(1) == 1
    }

    /// What is left of a write of `len` bytes at `offset`.
    pub fn remnant(&mut self, offset: u64, len: usize) -> Remnant {
        if self.state.is_none() {
            return Remnant { pieces: Vec::new(), reach: 0 };
        }
        if self.below(3) == 0 {
            let cut = self.below(len + 1);
            let into_sector = ((offset + cut as u64) % SECTOR_BYTES) as usize;
            let cut = if cut < len { cut.saturating_sub(into_sector) } else { len };
            return Remnant { pieces: vec![(0, cut)], reach: cut };
        }
        self.sectors(offset, len)
    }

    fn sectors(&mut self, offset: u64, len: usize) -> Remnant {
        let mut pieces = Vec::new();
        let mut start = 0;
        let mut reach = 0;
        while start < len {
            let into_sector = ((offset + start as u64) % SECTOR_BYTES) as usize;
            let end = len.min(start + SECTOR_BYTES as usize - into_sector);
            if self.below(2) == 0 {
                pieces.push((start, end));
                reach = end;
            }
            start = end;
        }
        if self.below(2) == 0 {
            reach = len;
        }
        Remnant { pieces, reach }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state.as_mut().map_or(0, |state| (split_mix(state) % bound.max(1) as u64) as usize)
    }
}

/// The SplitMix64 generator: a fixed sequence of well-mixed numbers per seed.
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
