//! Only what was submitted is decided, and no batch is ordered twice.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{Hash, Height, ProposalId};

use super::{Invariant, Observation};

/// Submitted proposals and where batches were ordered.
#[derive(Debug, Default)]
pub struct Validity {
    submitted: BTreeSet<ProposalId>,
    ordered: BTreeMap<Hash, Height>,
    height: Height,
}

impl Invariant for Validity {
    fn name(&self) -> &'static str {
        "validity"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Submitted { proposal } => {
                self.submitted.insert(*proposal);
                Ok(())
            }
            // Agreement makes one node's chain every node's: each height is looked at once.
            Observation::Acknowledged { block, .. } if block.header.height > self.height => {
                self.height = block.header.height;
                if block.batches.len() != block.header.batches.len() {
                    return Err(format!("height {} was decided without all its batches", self.height));
                }
                for (batch, named) in block.batches.iter().zip(&block.header.batches) {
                    if batch.digest() != named.digest {
                        return Err(format!("height {} came with another batch than named", self.height));
                    }
                    if let Some(first) = self.ordered.insert(named.digest, self.height) {
                        let (digest, second) = (named.digest.short(), self.height);
                        return Err(format!("batch {digest} is ordered at heights {first} and {second}"));
                    }
                    let stranger =
                        batch.proposals.iter().find(|proposal| !self.submitted.contains(&proposal.id()));
                    if let Some(proposal) = stranger {
                        let (id, height) = (proposal.id().short(), self.height);
                        return Err(format!("height {height} holds {id}, which nobody submitted"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
