//! A correct validator votes only for blocks whose batches it holds, each a child of the block that it prepared below in
//! the same view or of the decided one.
//!
//! A vote may rest on a decision that is observed later: the claim that it makes is kept until its height is decided.

use std::collections::BTreeMap;

use aegis_types::{Epoch, Hash, Height, View, VoteKind};

use super::{Invariant, Observation};
use crate::sim::scenario::{NodeIndex, Scenario};

/// Decided and prepared blocks, and what votes claim to be decided.
#[derive(Debug)]
pub struct Prepares {
    decided: BTreeMap<Height, Hash>,
    prepared: BTreeMap<(NodeIndex, Epoch, View, Height), Hash>,
    claims: BTreeMap<Height, Vec<(NodeIndex, Hash)>>,
}

impl Prepares {
    /// Starts from the genesis.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            decided: BTreeMap::from([(Height::ZERO, scenario.genesis.hash())]),
            prepared: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }
}

fn judge(node: NodeIndex, height: Height, claimed: Hash, decided: Hash) -> Result<(), String> {
    if claimed == decided {
        return Ok(());
    }
    let (claimed, decided) = (claimed.short(), decided.short());
    Err(format!("node {node} prepared a child of {claimed}; height {height} was decided as {decided}"))
}

impl Invariant for Prepares {
    fn name(&self) -> &'static str {
        "prepares"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Signed { node, vote, parent, missing } => {
                let content = &vote.content;
                if *missing > 0 {
                    return Err(format!(
                        "node {node} votes {:?} at height {} without {missing} of its batches",
                        content.kind, content.height
                    ));
                }
                if content.kind != VoteKind::Prepare {
                    return Ok(());
                }
                let below = Height(content.height.0.saturating_sub(1));
                let place = |height| (*node, content.epoch, content.view, height);
                self.prepared.insert(place(content.height), content.digest);
                if self.prepared.get(&place(below)) == Some(parent) {
                    return Ok(());
                }
                if let Some(decided) = self.decided.get(&below) {
                    return judge(*node, below, *parent, *decided);
                }
                self.claims.entry(below).or_default().push((*node, *parent));
                Ok(())
            }
            Observation::Decided { block, .. } => {
                let (height, digest) = (block.0.height, block.0.digest());
                self.decided.entry(height).or_insert(digest);
                let claims = self.claims.remove(&height).unwrap_or_default();
                claims.into_iter().try_for_each(|(node, claimed)| judge(node, height, claimed, digest))
            }
            _ => Ok(()),
        }
    }
}
