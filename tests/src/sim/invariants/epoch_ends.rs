//! An epoch ends at its agreed time: of its decided blocks, the first whose timestamp is not before start plus length is
//! closing, none before it is, and a handover follows it, and only it.
//!
//! The start is the timestamp of the genesis or of the handover before; the length is a parameter, of the genesis or as the
//! closing block left it.

use std::collections::BTreeMap;

use aegis_types::{BlockKind, Epoch, Header, Height, Parameter};

use super::{Invariant, Observation};
use crate::sim::scenario::Scenario;

/// Starts and lengths of epochs in milliseconds, and the newest decided block.
#[derive(Debug)]
pub struct EpochEnds {
    starts: BTreeMap<Epoch, u64>,
    lengths: BTreeMap<Epoch, u64>,
    newest: Option<(Height, BlockKind)>,
}

impl EpochEnds {
    /// Starts with the genesis.
    pub fn new(scenario: &Scenario) -> Self {
        let genesis = &scenario.genesis;
        let length = genesis.parameters.get(Parameter::EpochLengthMs);
        Self {
            starts: BTreeMap::from([(Epoch::ZERO, genesis.timestamp_ms)]),
            lengths: BTreeMap::from([(Epoch::ZERO, length)]),
            newest: None,
        }
    }

    fn see(&mut self, header: &Header) -> Result<(), String> {
        let height = header.height;
        let before = self.newest.filter(|(newest, _)| newest.next() == height).map(|(_, kind)| kind);
        if self.newest.is_some_and(|(newest, _)| newest >= height) {
            return Ok(());
        }
        self.newest = Some((height, header.kind));
        let is_handover = matches!(header.kind, BlockKind::Handover { .. });
        if before.is_some_and(|kind| (kind == BlockKind::Closing) != is_handover) {
            return Err(format!("a {:?} block at height {height} follows a {before:?} one", header.kind));
        }
        if is_handover {
            self.starts.insert(Epoch(header.epoch.0 + 1), header.timestamp_ms);
            return Ok(());
        }
        let (Some(start), Some(length)) = (self.starts.get(&header.epoch), self.lengths.get(&header.epoch))
        else {
            return Err(format!("height {height} is of epoch {}, which nobody opened", header.epoch));
        };
        let end = start + length;
        if (header.timestamp_ms >= end) == (header.kind == BlockKind::Closing) {
            return Ok(());
        }
        let (kind, epoch, at) = (header.kind, header.epoch, header.timestamp_ms);
        Err(format!(
            "a {kind:?} block at height {height} bears the time {at}, and epoch {epoch} ends at {end}"
        ))
    }
}

impl Invariant for EpochEnds {
    fn name(&self) -> &'static str {
        "epoch ends"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Executed { executed, .. } => {
                if let Some(next) = &executed.next_epoch {
                    let length = next.parameters.get(Parameter::EpochLengthMs);
                    self.lengths.insert(next.validators.epoch(), length);
                }
                Ok(())
            }
            Observation::Decided { block, .. } => self.see(&block.0),
            _ => Ok(()),
        }
    }
}
