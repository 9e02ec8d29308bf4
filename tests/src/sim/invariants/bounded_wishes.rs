//! A correct node wishes for views in turn: never for one further than a step above the highest that any correct node has
//! wished for in the epoch.
//!
//! By timeout a node goes one view on. It joins others only where a weak quorum is at or above, so at or below a correct node. One
//! Byzantine validator that names a view far away must not take anybody along.

use std::collections::BTreeMap;

use aegis_types::{Epoch, View};

use super::{Invariant, Observation};

/// The highest wish of each epoch.
#[derive(Debug, Default)]
pub struct BoundedWishes {
    highest: BTreeMap<Epoch, View>,
}

impl Invariant for BoundedWishes {
    fn name(&self) -> &'static str {
        "bounded wishes"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        let Observation::Wished { node, epoch, view } = observation else { return Ok(()) };
        let highest = self.highest.entry(*epoch).or_default();
        if view.0 > highest.0 + 1 {
            return Err(format!(
                "node {node} wishes for view {view} of epoch {epoch}; the highest wish of a correct node was {highest}"
            ));
        }
        *highest = (*view).max(*highest);
        Ok(())
    }
}
