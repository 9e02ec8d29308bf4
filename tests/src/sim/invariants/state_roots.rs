//! All nodes that execute a block come to the same result, whenever and however often they execute it; and what a header
//! certifies is that result.

use std::collections::BTreeMap;
use std::rc::Rc;

use aegis_types::{Hash, Height};

use super::{Invariant, Observation};
use crate::sim::application::Executed;

/// The first result at each height, and certified roots that nobody computed yet.
#[derive(Debug, Default)]
pub struct StateRoots {
    results: BTreeMap<Height, Rc<Executed>>,
    certified: BTreeMap<Height, Hash>,
}

impl Invariant for StateRoots {
    fn name(&self) -> &'static str {
        "state roots"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Executed { node, executed } => {
                let height = executed.height;
                let first = self.results.entry(height).or_insert_with(|| executed.clone());
                if first != executed {
                    return Err(format!("node {node} executed height {height} to another result"));
                }
                if self.certified.get(&height).is_some_and(|root| *root != executed.state_root) {
                    return Err(format!("the state root certified for height {height} is not its result"));
                }
                Ok(())
            }
            Observation::Decided { block, .. } => {
                let certified = block.0.executed;
                let computed = self.results.get(&certified.height).map(|result| result.state_root);
                if computed.is_some_and(|root| root != certified.state_root) {
                    let height = block.0.height;
                    return Err(format!("height {height} certifies a state root that nobody computed"));
                }
                self.certified.insert(certified.height, certified.state_root);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
