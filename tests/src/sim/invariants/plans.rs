//! In a view above 0, a correct validator prepares what the view's proof demands.
//!
//! The proof is the NewView through which it entered. Nothing at or below the highest proven tip is voted for; and where
//! ViewChanges list prepared blocks with the parent that the vote's block has, the vote is for the one of the highest view.

use std::collections::BTreeMap;

use aegis_consensus::NewView;
use aegis_types::{Epoch, Hash, Height, View, VoteKind};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

/// What a proof demands.
#[derive(Debug)]
struct Demand {
    base: Height,
    /// By height and parent: view and digest of the listed blocks.
    listed: BTreeMap<(Height, Hash), Vec<(View, Hash)>>,
}

impl Demand {
    fn of(proof: &NewView) -> Self {
        let mut listed: BTreeMap<(Height, Hash), Vec<(View, Hash)>> = BTreeMap::new();
        for block in proof.view_changes.iter().flat_map(|message| &message.prepared) {
            let content = &block.certificate.content;
            let place = (block.header.height, block.header.parent);
            listed.entry(place).or_default().push((content.view, block.header.digest()));
        }
        let base = proof.view_changes.iter().map(|message| message.tip_height).max().unwrap_or_default();
        Self { base, listed }
    }
}

/// The demands of each view that a node entered.
#[derive(Debug, Default)]
pub struct Plans {
    demands: BTreeMap<(NodeIndex, Epoch, View), Demand>,
}

impl Invariant for Plans {
    fn name(&self) -> &'static str {
        "plans"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Entered { node, proof } => {
                self.demands.insert((*node, proof.epoch, proof.view), Demand::of(proof));
                Ok(())
            }
            Observation::Signed { node, vote, parent, .. } if vote.content.kind == VoteKind::Prepare => {
                let content = &vote.content;
                let Some(demand) = self.demands.get(&(*node, content.epoch, content.view)) else {
                    return if content.view == View::ZERO {
                        Ok(())
                    } else {
                        Err(format!("node {node} votes in view {}, which it never entered", content.view))
                    };
                };
                let (height, base) = (content.height, demand.base);
                if height <= base {
                    return Err(format!(
                        "node {node} votes at height {height}; its view's proof shows {base} decided"
                    ));
                }
                let listed = demand.listed.get(&(height, *parent)).map_or(&[][..], Vec::as_slice);
                let highest = listed.iter().map(|(view, _)| *view).max();
                let is_demanded =
                    |(view, digest): &(View, Hash)| Some(*view) == highest && *digest == content.digest;
                if highest.is_none() || listed.iter().any(is_demanded) {
                    return Ok(());
                }
                Err(format!(
                    "node {node} prepares {} at height {height} in view {}; its proof demands another block",
                    content.digest.short(),
                    content.view
                ))
            }
            _ => Ok(()),
        }
    }
}
