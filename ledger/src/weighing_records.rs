//! The records of measurements and weights, as they are encoded in agreed state. As in the module `records`, tests pin them.

use aegis_types::{Hash, Height};

use crate::error::LedgerError;
use crate::records::hash;
use crate::weights::Sample;

/// The header digest of a block of the current epoch, in a ring of the last ones.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BlockRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) height: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) digest: Vec<u8>,
}

/// The epoch's sampled heights, once they are drawn.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SampleRecord {
    /// In ascending order of height.
    #[prost(message, repeated, tag = "1")]
    pub(crate) blocks: Vec<BlockRecord>,
}

/// What a report says of one sampled height.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SampledRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) height: u64,
    /// [`aegis_types::MemberBits`].
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) voters: Vec<u8>,
    /// Whether the reporter showed its own Commit.
    #[prost(bool, tag = "3")]
    pub(crate) shown: bool,
}

/// A validator's report of the current epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReportRecord {
    /// The encoding of the report; empty when a signature in it was wrong, which uses up the epoch's report.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) report: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sampled: Vec<SampledRecord>,
}

/// What is remembered of a member from epoch to epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SeatRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) validator: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) clean_epochs: u32,
    #[prost(bool, tag = "3")]
    pub(crate) in_core: bool,
}

/// The bins of a channel.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OctilesRecord {
    #[prost(uint32, tag = "1")]
    pub(crate) channel: u32,
    #[prost(sint32, repeated, tag = "2")]
    pub(crate) octiles: Vec<i32>,
}

/// What an epoch with measurements begins with.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StandingRecord {
    /// Height of the epoch's first block; 0 until its handover.
    #[prost(uint64, tag = "1")]
    pub(crate) first_height: u64,
    /// In ascending order of validator.
    #[prost(message, repeated, tag = "2")]
    pub(crate) seats: Vec<SeatRecord>,
    /// The guard against slow weights.
    #[prost(uint32, optional, tag = "3")]
    pub(crate) baseline_us: Option<u32>,
    #[prost(uint32, tag = "4")]
    pub(crate) slow_epochs: u32,
    /// In ascending order of channel.
    #[prost(message, repeated, tag = "5")]
    pub(crate) octiles: Vec<OctilesRecord>,
}

/// The weights of an epoch and all that they came from.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WeightsRecord {
    /// The encoding of the rule's input.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) input: Vec<u8>,
    /// The encoding of the validator set.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) validators: Vec<u8>,
}

impl SampleRecord {
    pub(crate) fn to_sample(&self, key: &[u8]) -> Result<Sample, LedgerError> {
        let block = |record: &BlockRecord| record.block(key);
        Ok(Sample { blocks: self.blocks.iter().map(block).collect::<Result<_, _>>()? })
    }
}

impl BlockRecord {
    pub(crate) fn block(&self, key: &[u8]) -> Result<(Height, Hash), LedgerError> {
        Ok((Height(self.height), hash(key, &self.digest)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn hex(record: &impl Message) -> String {
        record.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_encoding_of_every_record_is_pinned() {
        let block = BlockRecord { height: 1, digest: vec![0xaa] };
        assert_eq!(hex(&SampleRecord { blocks: vec![block] }), "0a0508011201aa");
        let sampled = SampledRecord { height: 1, voters: vec![0xaa], shown: true };
        let report = ReportRecord { report: vec![0xbb], sampled: vec![sampled] };
        assert_eq!(hex(&report), "0a01bb120708011201aa1801");
        let standing = StandingRecord {
            first_height: 1,
            seats: vec![SeatRecord { validator: vec![0xaa], clean_epochs: 2, in_core: true }],
            baseline_us: Some(3),
            slow_epochs: 4,
            octiles: vec![OctilesRecord { channel: 5, octiles: vec![-1, 1] }],
        };
        assert_eq!(hex(&standing), "080112070a01aa1002180118032004 2a0608051202 0102".replace(' ', ""));
        let weights = WeightsRecord { input: vec![0xaa], validators: vec![0xbb] };
        assert_eq!(hex(&weights), "0a01aa1201bb");
    }
}
