//! No two correct nodes ever decide different blocks at one height, whether they heard it or find it on their disks.

use std::collections::BTreeMap;

use aegis_types::{Hash, Height};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

/// The first decision at each height.
#[derive(Debug, Default)]
pub struct Agreement {
    decided: BTreeMap<Height, (Hash, NodeIndex)>,
}

impl Agreement {
    fn see(&mut self, node: NodeIndex, height: Height, digest: Hash) -> Result<(), String> {
        let (first, by) = *self.decided.entry(height).or_insert((digest, node));
        if first == digest {
            return Ok(());
        }
        let (first, second) = (first.short(), digest.short());
        Err(format!("at height {height} node {by} decided {first} and node {node} {second}"))
    }
}

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Decided { node, block } => self.see(*node, block.0.height, block.0.digest()),
            Observation::Started { node, tip: (height, digest) } => self.see(*node, *height, *digest),
            Observation::Diverged { node, height } => {
                Err(format!("node {node} stopped: its state at height {height} is not the certified one"))
            }
            Observation::Broken { node, reason } => Err(format!("node {node}: {reason}")),
            _ => Ok(()),
        }
    }
}
