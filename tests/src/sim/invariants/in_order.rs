//! A correct node decides heights one after the other, each block a child of the one before and later than it.

use std::collections::BTreeMap;

use aegis_types::{Hash, Height};

use super::{Invariant, Observation};
use crate::sim::scenario::{NodeIndex, Scenario};

/// Each node's newest decided block.
#[derive(Debug)]
pub struct InOrder {
    genesis: Hash,
    tips: BTreeMap<NodeIndex, (Height, Hash)>,
    timestamps: BTreeMap<Height, u64>,
}

impl InOrder {
    /// For nodes that start from the scenario's genesis.
    pub fn new(scenario: &Scenario) -> Self {
        let timestamps = BTreeMap::from([(Height::ZERO, scenario.genesis.timestamp_ms)]);
        Self { genesis: scenario.genesis.hash(), tips: BTreeMap::new(), timestamps }
    }
}

impl Invariant for InOrder {
    fn name(&self) -> &'static str {
        "in order"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Started { node, tip } => {
                self.tips.insert(*node, *tip);
                Ok(())
            }
            Observation::Decided { node, block } => {
                let header = &block.0;
                let (height, digest) = self.tips.get(node).copied().unwrap_or((Height::ZERO, self.genesis));
                if header.height.0 != height.0 + 1 || header.parent != digest {
                    return Err(format!(
                        "node {node} decided height {} with parent {} on height {height}, {}",
                        header.height,
                        header.parent.short(),
                        digest.short()
                    ));
                }
                self.tips.insert(*node, (header.height, header.digest()));
                self.timestamps.insert(header.height, header.timestamp_ms);
                if self.timestamps.get(&height).is_some_and(|parent| *parent >= header.timestamp_ms) {
                    return Err(format!("the block at {} is not later than its parent", header.height));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
