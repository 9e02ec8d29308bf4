//! A batch with what is computed from it once: many nodes hold the same one.

use std::cell::OnceCell;

use aegis_types::{Batch, BatchRef, Canonical, Domain};

/// A batch that several nodes may share.
#[derive(Debug, Clone)]
pub struct HeldBatch {
    /// The batch.
    pub batch: Batch,
    /// The entry that a header has for it, with its digest.
    pub reference: BatchRef,
    /// Its canonical encoding.
    pub encoding: Vec<u8>,
    verdict: OnceCell<bool>,
}

impl HeldBatch {
    /// Computes digest and encoding of a batch.
    pub fn new(batch: Batch) -> Self {
        let encoding = batch.encode();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let reference = BatchRef {
            digest: Batch::digest_of_encoding(&encoding),
            author: batch.author,
            proposals: count(batch.proposals.len()),
            bytes: count(encoding.len()),
        };
        Self { batch, reference, encoding, verdict: OnceCell::new() }
    }

    /// Whether all its proposals are signed by their accounts; every node comes to the same verdict on the same bytes.
    pub fn is_valid(&self, domain: &Domain) -> bool {
        *self.verdict.get_or_init(|| self.batch.verify(domain, [0; 32]).is_ok())
    }
}
