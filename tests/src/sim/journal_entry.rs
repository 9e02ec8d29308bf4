//! What stands in a node's vote journal: the engine's records and the batches that votes vouch for, as in the real node.

use aegis_consensus::Record;
use aegis_types::{Batch, Canonical};

use super::held_batch::HeldBatch;

const RECORD: u8 = 1;
const BATCH: u8 = 2;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalEntry {
    /// A promise of the engine.
    Record(Box<Record>),
    /// A held batch.
    Batch(Box<Batch>),
}

impl JournalEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// When it is none: then the journal's checksums have failed.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&RECORD, bytes)) => {
                Record::decode(bytes).map(|record| Self::Record(Box::new(record))).map_err(|e| e.to_string())
            }
            Some((&BATCH, bytes)) => {
                Batch::decode(bytes).map(|batch| Self::Batch(Box::new(batch))).map_err(|e| e.to_string())
            }
            Some(_) | None => Err("an entry is neither a record nor a batch".to_owned()),
        }
    }
}

/// The entry of a record.
pub fn of_record(record: &Record) -> Vec<u8> {
    tagged(RECORD, &record.encode())
}

/// The entry of a batch.
pub fn of_batch(batch: &HeldBatch) -> Vec<u8> {
    tagged(BATCH, &batch.encoding)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 1);
    bytes.push(tag);
    bytes.extend_from_slice(content);
    bytes
}
