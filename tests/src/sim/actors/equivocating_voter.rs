//! A voter that sends, beside each vote, one for another block: to some receivers before the real one, to some after it, to
//! some instead of it.

use aegis_consensus::Message;
use aegis_types::{Hash, Vote, VoteContent};

use super::ActorKey;
use crate::sim::rng::Rng;

/// A receiver gets the real vote, a contradicting one, or both in either order.
pub fn tamper(key: &ActorKey, message: Message, rng: &mut Rng) -> Vec<Message> {
    let Message::Vote(vote) = message else { return vec![message] };
    let digest = Hash::of("aegis simulator made-up block", &vote.content.digest.0);
    let other = Vote::sign(VoteContent { digest, ..vote.content }, &key.keypair, &key.domain);
    match rng.index(4) {
        0 => vec![Message::Vote(vote)],
        1 => vec![Message::Vote(other)],
        2 => vec![Message::Vote(vote), Message::Vote(other)],
        _ => vec![Message::Vote(other), Message::Vote(vote)],
    }
}
