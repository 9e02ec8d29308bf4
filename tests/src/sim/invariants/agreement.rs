//! No two correct nodes ever decide different blocks at one height, flushed or not.

use std::collections::BTreeMap;

use aegis_types::{Hash, Height};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

/// The first decision at each height.
#[derive(Debug, Default)]
pub struct Agreement {
    decided: BTreeMap<Height, (Hash, NodeIndex)>,
}

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Decided { node, block } => {
                let (height, digest) = (block.header.height, block.header.digest());
                let (first, by) = *self.decided.entry(height).or_insert((digest, *node));
                if first == digest {
                    Ok(())
                } else {
                    Err(format!(
                        "at height {height} node {by} decided {} and node {node} {}",
                        first.short(),
                        digest.short()
                    ))
                }
            }
            Observation::Diverged { node, height } => {
                Err(format!("node {node} stopped: its state at height {height} is not the certified one"))
            }
            Observation::Broken { node, reason } => Err(format!("node {node}: {reason}")),
            _ => Ok(()),
        }
    }
}
