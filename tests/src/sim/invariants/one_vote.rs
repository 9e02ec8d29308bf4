//! A correct validator never sends two contradicting votes, over all its crashes and restarts.

use std::collections::BTreeMap;

use aegis_consensus::Message;
use aegis_types::{Epoch, Hash, Height, View, Vote, VoteKind};

use super::{Invariant, Observation};
use crate::sim::scenario::NodeIndex;

/// What each node voted for in each round.
#[derive(Debug, Default)]
pub struct OneVote {
    sent: BTreeMap<(NodeIndex, VoteKind, Epoch, View, Height), Hash>,
}

impl OneVote {
    fn see(&mut self, node: NodeIndex, vote: &Vote) -> Result<(), String> {
        let content = &vote.content;
        let round = (node, content.kind, content.epoch, content.view, content.height);
        let first = *self.sent.entry(round).or_insert(content.digest);
        if first == content.digest {
            Ok(())
        } else {
            Err(format!(
                "node {node} sent {:?} for {} and {} in epoch {}, view {}, height {}",
                content.kind,
                first.short(),
                content.digest.short(),
                content.epoch,
                content.view,
                content.height
            ))
        }
    }
}

impl Invariant for OneVote {
    fn name(&self) -> &'static str {
        "one vote"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        let Observation::Sent { node, message } = observation else { return Ok(()) };
        match &**message {
            Message::PrePrepare(message) => self.see(*node, &message.vote),
            Message::Vote(vote) => self.see(*node, vote),
            Message::ViewChange(_) | Message::NewView(_) | Message::Status(_) | Message::Testimony(_) => {
                Ok(())
            }
        }
    }
}
