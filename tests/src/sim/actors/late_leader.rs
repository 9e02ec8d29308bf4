//! A leader that proposes just before the others lose patience: slow enough to be a burden, fast enough to stay.

use aegis_consensus::Message;

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// How much of the view timeout passes before a proposal leaves, per mille.
const DELAY_PER_MILLE: u64 = 850;

/// Holds proposals and new views back for most of the timeout.
#[derive(Debug)]
pub struct LateLeader;

impl Actor for LateLeader {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        match message {
            Message::PrePrepare(_) | Message::NewView(_) => {
                vec![(message, stage.timeout * DELAY_PER_MILLE / 1_000)]
            }
            message => vec![(message, 0)],
        }
    }
}
