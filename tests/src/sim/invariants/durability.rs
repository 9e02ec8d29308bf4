//! What a node acknowledged as decided, it still has after any crash; and so, by agreement, the cluster.

use std::collections::BTreeMap;

use aegis_types::{Hash, Height};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

/// Acknowledged blocks, by height and by node.
#[derive(Debug, Default)]
pub struct Durability {
    by_height: BTreeMap<Height, Hash>,
    newest: BTreeMap<NodeIndex, Height>,
}

impl Durability {
    fn same(&mut self, node: NodeIndex, height: Height, digest: Hash) -> Result<(), String> {
        let known = *self.by_height.entry(height).or_insert(digest);
        if known == digest {
            Ok(())
        } else {
            Err(format!("height {height} was acknowledged with another block than node {node} has"))
        }
    }
}

impl Invariant for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Acknowledged { node, height, digest, .. } => {
                self.newest.insert(*node, *height);
                self.same(*node, *height, *digest)
            }
            Observation::Started { node, tip: (height, digest) } => {
                let newest = self.newest.get(node).copied().unwrap_or_default();
                if *height < newest {
                    return Err(format!(
                        "node {node} acknowledged height {newest} and restarts from height {height}"
                    ));
                }
                if *height == Height::ZERO { Ok(()) } else { self.same(*node, *height, *digest) }
            }
            _ => Ok(()),
        }
    }
}
