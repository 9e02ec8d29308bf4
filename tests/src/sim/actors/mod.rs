//! Byzantine validators, one file each.
//!
//! An actor runs a correct node and tampers with what leaves it, receiver by receiver. It signs with its own key only.

mod equivocating_leader;
mod equivocating_voter;
mod silent_leader;

use aegis_consensus::Message;
use aegis_types::{Domain, Keypair};

use super::rng::Rng;
use super::scenario::NodeIndex;

/// The ways to be Byzantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// Proposes different blocks to different validators.
    EquivocatingLeader,
    /// Votes for made-up blocks beside the real ones.
    EquivocatingVoter,
    /// Votes, but neither proposes nor starts views.
    SilentLeader,
}

impl ActorKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EquivocatingLeader, Self::EquivocatingVoter, Self::SilentLeader];

    /// What actually goes to `to` when the node wants to send `message`.
    pub fn tamper(self, key: &ActorKey, to: NodeIndex, message: Message, rng: &mut Rng) -> Vec<Message> {
        match self {
            Self::EquivocatingLeader => equivocating_leader::tamper(key, to, message),
            Self::EquivocatingVoter => equivocating_voter::tamper(key, message, rng),
            Self::SilentLeader => silent_leader::tamper(message),
        }
    }
}

/// What an actor signs with.
#[derive(Debug)]
pub struct ActorKey {
    /// Its key.
    pub keypair: Keypair,
    /// The chain.
    pub domain: Domain,
}
