//! A leader that proposes one block to half of the validators and another to the rest, and votes for both.

use aegis_consensus::{Message, PrePrepare};
use aegis_types::{Vote, VoteContent};

use super::ActorKey;
use crate::sim::scenario::NodeIndex;

/// Receivers of odd number get a block with another timestamp.
pub fn tamper(key: &ActorKey, to: NodeIndex, message: Message) -> Vec<Message> {
    match message {
        Message::PrePrepare(PrePrepare { mut header, vote }) if to % 2 == 1 => {
            header.timestamp_ms += 1;
            let content = VoteContent { digest: header.digest(), ..vote.content };
            let vote = Vote::sign(content, &key.keypair, &key.domain);
            vec![Message::PrePrepare(PrePrepare { header, vote })]
        }
        message => vec![message],
    }
}
