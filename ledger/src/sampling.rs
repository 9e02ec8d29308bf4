//! Which heights of an epoch participation is counted at.
//!
//! They are drawn by the first block that comes when two thirds of the epoch have passed, from its own digest: nobody knew
//! them when votes were cast there, so nobody can vote at them alone. They are spread evenly over the last
//! [`PARTICIPATION_HEIGHTS`] heights of the epoch, one from each of [`Limits::SAMPLED_HEIGHTS`] equal parts. The last
//! third of the epoch is for reports to be made and ordered.
//!
//! A block may be proposed while up to a window of blocks below it is still being voted on: these heights are left out, as
//! their voters may know the draw. In an epoch of so few blocks that nothing else would be left they are not.
//!
//! # What the proposer of the drawing block can choose
//! The digest, and so the draw, by trying payloads and timestamps at 33 hashes each: a millisecond buys dozens of draws. It
//! cannot make a member absent that voted, but it can look for the draw in which one that missed a few heights falls
//! below the bar of 0.8 (7 of 32), or for one in which a friend that missed many does not. Tries needed on average
//! (binomial): to evict a member that missed 10, 5, 3, 2 % of the heights 28, 1,150, 26,000, 360,000; to keep a friend that
//! took part in 60, 50 % of them 110, 3,700. So who misses 3 % is at the mercy of a faulty leader at the draw, for
//! that epoch's place in the core; a member that misses nothing is not. Later blocks do not help as a source: a leader stays
//! as long as it orders, and proposes them as well.

use aegis_metrics::participation::PARTICIPATION_HEIGHTS;
use aegis_types::{Hash, Height, Limits, Parameter, WeightsMode};
use prost::Message;

use crate::error::LedgerError;
use crate::execution::Execution;
use crate::keys;
use crate::state::{StateReader, read, read_required};
use crate::weighing_records::{BlockRecord, SampleRecord, StandingRecord};

/// The draw takes place when this many of three parts of the epoch have passed.
const DRAW_AFTER_THIRDS: u64 = 2;

impl Execution<'_> {
    /// Whether reports are taken in the current epoch.
    pub(crate) fn is_measured(&self) -> bool {
        self.setting.rules.weights_mode() != WeightsMode::Fixed
    }

    /// Remembers the block's digest, and draws the sample when it is time.
    pub(crate) fn note_block(&mut self, digest: Hash) -> Result<(), LedgerError> {
        if !self.is_measured() {
            return Ok(());
        }
        let record = BlockRecord { height: self.height.0, digest: digest.0.to_vec() };
        self.state.put(keys::recent_block(self.height), record.encode_to_vec());
        let length = self.setting.rules.get(Parameter::EpochLengthMs);
        let wait = (length / 3).saturating_mul(DRAW_AFTER_THIRDS);
        let is_early = self.timestamp_ms < self.head.epoch_start_ms.saturating_add(wait);
        if is_early || self.state.get(keys::SAMPLE)?.is_some() {
            return Ok(());
        }
        let standing: StandingRecord = read_required(&self.state, keys::STANDING_CURRENT)?;
        let window = self.setting.rules.get(Parameter::Window);
        let heights = draw(digest, Height(standing.first_height), self.height, window);
        let mut blocks = Vec::with_capacity(heights.len());
        for height in heights {
            let block = read::<BlockRecord>(&self.state, &keys::recent_block(height))?;
            blocks.extend(block.filter(|block| block.height == height.0));
        }
        if !blocks.is_empty() {
            self.state.put(keys::SAMPLE.to_vec(), SampleRecord { blocks }.encode_to_vec());
        }
        Ok(())
    }
}

/// The heights that the block at `drawing` draws, ascending; those of the epoch are `first` and up.
fn draw(digest: Hash, first: Height, drawing: Height, window: u64) -> Vec<Height> {
    let count = u64::try_from(Limits::SAMPLED_HEIGHTS).unwrap_or(u64::MAX);
    let first = first.0.max(drawing.0.saturating_sub(PARTICIPATION_HEIGHTS));
    let settled = drawing.0.saturating_sub(first).saturating_sub(window);
    let span = if settled >= count { settled } else { drawing.0.saturating_sub(first) };
    let parts = count.min(span);
    (0..parts)
        .filter_map(|part| {
            let bound = |part: u64| span.saturating_mul(part).checked_div(parts);
            let (from, to) = (bound(part)?, bound(part.saturating_add(1))?);
            let seed = Hash::of("aegis v1 sampled height", &[&digest.0[..], &part.to_be_bytes()].concat());
            let (number, _) = seed.0.split_first_chunk()?;
            let offset = u64::from_be_bytes(*number).checked_rem(to.saturating_sub(from))?;
            Some(Height(first.saturating_add(from).saturating_add(offset)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_epoch_is_sampled_whole_and_the_first_block_draws_nothing() {
        assert_eq!(draw(Hash([1; 32]), Height(5), Height(9), 8), [5, 6, 7, 8].map(Height));
        assert!(draw(Hash([1; 32]), Height(5), Height(5), 8).is_empty());
    }

    #[test]
    fn another_block_draws_other_heights() {
        let [a, b] = [1, 2].map(|byte| draw(Hash([byte; 32]), Height(1), Height(900), 8));
        assert_ne!(a, b);
    }

    proptest! {
        #[test]
        fn heights_ascend_and_lie_below_the_window_of_the_drawing_block(
            seed in any::<[u8; 32]>(), first in 1_u64..1_000_000, blocks in 0_u64..5_000, window in 1_u64..=32,
        ) {
            let drawing = first + blocks;
            let heights = draw(Hash(seed), Height(first), Height(drawing), window);
            prop_assert_eq!(heights.len() as u64, blocks.min(32));
            prop_assert!(heights.is_sorted_by(|a, b| a < b));
            let last = if blocks >= 32 + window { drawing - window } else { drawing };
            prop_assert!(heights.iter().all(|height| (first..last).contains(&height.0)));
            prop_assert!(heights.iter().all(|height| height.0 + 1_000 >= drawing));
        }
    }
}
