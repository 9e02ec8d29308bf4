//! A leader whose blocks do not extend the one below, while that one is still open.

use aegis_consensus::{Message, PrePrepare};
use aegis_types::Hash;

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// One height in so many is tampered with, so that the one below is what the others accepted; not those of `double_naming.rs`.
const EVERY: u64 = 3;
const REMAINDER: u64 = 1;

/// Names a parent that nobody has.
#[derive(Debug)]
pub struct WrongParent;

impl Actor for WrongParent {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::PrePrepare(PrePrepare { header, vote }) = &message else { return vec![(message, 0)] };
        if header.height.0 % EVERY != REMAINDER {
            return vec![(message, 0)];
        }
        let mut header = header.clone();
        header.parent = Hash::of("aegis simulator made-up block", &header.parent.0);
        vec![(stage.key.propose(header, vote), 0)]
    }
}
