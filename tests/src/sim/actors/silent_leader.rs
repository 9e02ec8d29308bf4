//! A validator that votes, but is silent whenever it leads.

use aegis_consensus::Message;

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Neither proposals nor new views leave it.
#[derive(Debug)]
pub struct SilentLeader;

impl Actor for SilentLeader {
    fn tamper(&mut self, _stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        match message {
            Message::PrePrepare(_) | Message::NewView(_) => Vec::new(),
            message => vec![(message, 0)],
        }
    }
}
