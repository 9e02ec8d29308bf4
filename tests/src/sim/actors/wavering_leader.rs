//! A leader that changes its mind: each time it sends a proposal to somebody, it is the other one of two.
//!
//! Nobody gets enough of either to go on, so the height stays open; whoever forgets in a restart what it prepared gets the other
//! block next.

use std::collections::BTreeMap;

use aegis_consensus::{Message, PrePrepare};
use aegis_types::Height;

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Counts what each receiver got. Of a height that commits, little is kept: those below are forgotten.
#[derive(Debug, Default)]
pub struct WaveringLeader {
    sent: BTreeMap<(Height, NodeIndex), u64>,
}

impl Actor for WaveringLeader {
    fn tamper(&mut self, stage: &mut Stage<'_>, to: NodeIndex, message: Message) -> Vec<Held> {
        match &message {
            Message::PrePrepare(PrePrepare { header, vote }) => {
                self.sent = self.sent.split_off(&(stage.engine.height(), 0));
                let count = self.sent.entry((header.height, to)).or_insert(to as u64);
                *count += 1;
                let mut header = header.clone();
                header.timestamp_ms += *count % 2;
                vec![(stage.key.propose(header, vote), 0)]
            }
            // Its own voice would decide for one of the two.
            Message::Vote(vote) if stage.engine.status().leader == vote.validator => Vec::new(),
            Message::Vote(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Status(_)
            | Message::Testimony(_) => {
                vec![(message, 0)]
            }
        }
    }
}
