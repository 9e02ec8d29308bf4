//! A linearizable read never returns a state that lacks what was acknowledged before it began.
//!
//! The rule of the read index is written here anew: a node that has executed height `x`, after which a set is in charge, may
//! serve a read once members with a quorum of that set's weight have named, since the read began, heights of at most `x`
//! for which they had ever voted Commit. Faulty validators do their worst: they name 0, and at once.

use std::collections::BTreeMap;

use aegis_types::{BlockKind, Epoch, Height, ValidatorId};

use super::{Invariant, Observation, weights};
use crate::sim::scenario::{NodeIndex, Scenario};

/// A read that waits for answers.
#[derive(Debug, Default)]
struct Read {
    /// The highest height that had been acknowledged when it began.
    acknowledged: Height,
    answers: BTreeMap<ValidatorId, Height>,
}

/// One read after the other at every node.
#[derive(Debug)]
pub struct Reads {
    scenario: Scenario,
    sets: BTreeMap<Epoch, Vec<(ValidatorId, u64)>>,
    /// By height of a handover, the epoch that begins after it. Height 0 stands for the genesis.
    epochs: BTreeMap<Height, Epoch>,
    acknowledged: Height,
    executed: BTreeMap<NodeIndex, Height>,
    reads: BTreeMap<NodeIndex, Read>,
    /// Reads that were served.
    served: u64,
}

impl Reads {
    /// Starts from the genesis's set.
    pub fn new(scenario: &Scenario) -> Self {
        let members = scenario.genesis.validators.members();
        let members = members.iter().map(|member| (member.validator, member.weight.0)).collect();
        Self {
            scenario: scenario.clone(),
            sets: BTreeMap::from([(Epoch::ZERO, members)]),
            epochs: BTreeMap::from([(Height::ZERO, Epoch::ZERO)]),
            acknowledged: Height::ZERO,
            executed: BTreeMap::new(),
            reads: BTreeMap::new(),
            served: 0,
        }
    }

    /// Whether a node can answer wrongly: it lies, or its disk may forget.
    fn is_faulty(&self, validator: &ValidatorId) -> bool {
        let nodes = self.scenario.nodes_of(validator);
        nodes.iter().any(|node| !self.scenario.is_correct(*node) || self.scenario.unreliable.contains(node))
    }

    fn on_answer(&mut self, node: NodeIndex, height: Height) -> Result<(), String> {
        let validator = self.scenario.validator(node);
        let acknowledged = self.acknowledged;
        self.reads.entry(node).or_insert_with(|| Read { acknowledged, ..Read::default() });
        for read in self.reads.values_mut() {
            read.answers.entry(validator).or_insert(height);
        }
        let readers: Vec<NodeIndex> = self.reads.keys().copied().collect();
        readers.into_iter().try_for_each(|reader| self.try_serve(reader))
    }

    fn try_serve(&mut self, reader: NodeIndex) -> Result<(), String> {
        let executed = self.executed.get(&reader).copied().unwrap_or_default();
        let Some(read) = self.reads.get(&reader) else { return Ok(()) };
        let in_charge = self.epochs.range(..=executed).next_back().map_or(Epoch::ZERO, |(_, epoch)| *epoch);
        let Some(members) = self.sets.get(&in_charge) else { return Ok(()) };
        let total: u64 = members.iter().map(|(_, weight)| weight).sum();
        let confirms = |validator: &ValidatorId| {
            self.is_faulty(validator) || read.answers.get(validator).is_some_and(|height| *height <= executed)
        };
        let confirmed: u64 =
            members.iter().filter(|(validator, _)| confirms(validator)).map(|(_, weight)| weight).sum();
        if confirmed < total - (total - 1) / 3 {
            return Ok(());
        }
        if executed < read.acknowledged {
            return Err(format!(
                "a linearizable read at node {reader} is served at height {executed}, but height {} had been acknowledged \
                 before it began",
                read.acknowledged
            ));
        }
        self.reads.remove(&reader);
        self.served += 1;
        Ok(())
    }
}

impl Invariant for Reads {
    fn name(&self) -> &'static str {
        "reads"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Acknowledged { height, .. } => {
                self.acknowledged = self.acknowledged.max(*height);
                Ok(())
            }
            Observation::Decided { block, .. } => {
                let header = &block.0;
                if matches!(header.kind, BlockKind::Handover { .. }) {
                    self.epochs.insert(header.height, header.epoch.next());
                }
                Ok(())
            }
            Observation::Executed { node, executed } => {
                if let Some(next) = &executed.next_epoch {
                    self.sets.insert(next.validators.epoch(), weights(next));
                }
                let height = self.executed.entry(*node).or_default();
                *height = executed.height.max(*height);
                self.try_serve(*node)
            }
            // Who starts again has lost its reads, and not what it had executed: that was durable.
            Observation::Started { node, tip } => {
                self.reads.remove(node);
                self.executed.insert(*node, tip.0);
                Ok(())
            }
            Observation::ReadIndex { node, height } => self.on_answer(*node, *height),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Keypair, Member, Parameters, ValidatorSet, Weight};

    use super::*;

    fn answer(node: NodeIndex, height: u64) -> Observation {
        Observation::ReadIndex { node, height: Height(height) }
    }

    /// Four equal validators, none faulty.
    fn reads() -> Reads {
        let keypairs: Vec<Keypair> = (1..=4).map(|number| Keypair::from_seed(&[number; 32])).collect();
        let member = |keypair: &Keypair| Member { validator: keypair.validator_id(), weight: Weight(1) };
        let set = ValidatorSet::new(Epoch::ZERO, keypairs.iter().map(member).collect()).unwrap();
        Reads::new(&Scenario::quiet(1, set, Parameters::default(), keypairs))
    }

    #[test]
    fn a_read_that_misses_an_acknowledged_block_is_found() {
        let mut reads = reads();
        reads.acknowledged = Height(5);
        reads.executed.insert(0, Height(4));
        reads.observe(&answer(0, 4)).unwrap();
        reads.observe(&answer(1, 4)).unwrap();
        assert!(reads.observe(&answer(2, 4)).is_err(), "two that answer so have forgotten a Commit");
    }

    #[test]
    fn truthful_answers_hold_a_node_up_until_it_has_executed_what_was_acknowledged() {
        let mut reads = reads();
        reads.acknowledged = Height(5);
        reads.executed.insert(0, Height(4));
        for (node, height) in [(0, 4), (1, 5), (2, 5), (3, 5)] {
            reads.observe(&answer(node, height)).unwrap();
        }
        assert!(reads.reads.contains_key(&0));
        reads.executed.insert(0, Height(5));
        reads.try_serve(0).unwrap();
        assert!(!reads.reads.contains_key(&0) && reads.served > 0);
    }
}
