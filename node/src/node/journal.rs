//! What stands in the vote journal: the engine's records, and the batches that votes vouch for.
//!
//! A Prepare says "I hold this block's batches", so a batch becomes durable in the same journal, with the same flush, as
//! the votes that follow from it.
//!
//! A journal begins with its name, which also stands in the home beside the data folder. A home that has a name and no
//! journal of that name has lost what it voted for: it must not vote, however empty its data folder is.
//!
//! A checkpoint drops the votes for executed blocks. It says up to which block, so that a node whose committed log has become
//! shorter does not vote there again; and it keeps the highest height that they were for: linearizable reads of others rest
//! on it, also when the committed log is set aside and fetched again.

use std::sync::Arc;

use aegis_consensus::{Record, VoteFloor};
use aegis_types::{Epoch, Height};
use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::batches::HeldBatch;

const RECORD: u8 = 1;
const BATCH: u8 = 2;
const FOUNDED: u8 = 3;
const FLOOR: u8 = 5;

/// The name of a journal: random, so that no two journals share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalId(pub [u8; 16]);

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A promise of the engine.
    Record(Box<Record>),
    /// A held batch.
    Batch(Arc<HeldBatch>),
    /// The journal's name.
    Founded(JournalId),
    /// Where votes may be cast: those below may be forgotten. The last one counts.
    Floor(VoteFloor),
}

impl Entry {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Record(record) => tagged(RECORD, &record.encode()),
            Self::Batch(batch) => tagged(BATCH, &batch.encoding),
            Self::Founded(id) => tagged(FOUNDED, &id.0),
            Self::Floor(floor) => {
                tagged(FLOOR, &[floor.epoch.0.to_be_bytes(), floor.height.0.to_be_bytes()].concat())
            }
        }
    }

    /// Reads an entry whose checksum was right.
    ///
    /// # Errors
    /// When it was written by another version.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        const HELP: &str = "the vote journal has an entry that this version does not understand; run the version that wrote it";
        match bytes.split_first() {
            Some((&RECORD, record)) => Ok(Self::Record(Box::new(Record::decode(record).context(HELP)?))),
            Some((&BATCH, batch)) => {
                let batch = HeldBatch::decode(Bytes::copy_from_slice(batch)).context(HELP)?;
                Ok(Self::Batch(Arc::new(batch)))
            }
            Some((&FLOOR, floor)) => {
                let (epoch, height) = floor.split_first_chunk::<8>().context(HELP)?;
                let height = u64::from_be_bytes(height.try_into().context(HELP)?);
                let epoch = Epoch(u64::from_be_bytes(*epoch));
                Ok(Self::Floor(VoteFloor { epoch, height: Height(height) }))
            }
            Some((&FOUNDED, id)) => Ok(Self::Founded(JournalId(id.try_into().context(HELP)?))),
            Some(_) | None => bail!(HELP),
        }
    }
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 1);
    bytes.push(tag);
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_survives_the_journal() {
        for floor in [VoteFloor::UNKNOWN, VoteFloor { epoch: Epoch(3), height: Height(1 << 40) }] {
            let entry = Entry::Floor(floor);
            assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        }
        assert!(Entry::decode(&[FLOOR, 1, 2, 3]).is_err());
    }
}
