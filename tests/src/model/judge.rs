//! What must hold, whoever lies: judged from what correct engines say and decide.

use std::collections::BTreeMap;

use aegis_consensus::{Message, Output};
use aegis_types::{Hash, Height, ValidatorId, View, Vote, VoteContent, VoteKind};

type Round = (usize, View, Height, VoteKind);

/// Votes and decisions of correct engines so far.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    votes: BTreeMap<Round, Hash>,
    decided: BTreeMap<Height, Hash>,
    heights: BTreeMap<usize, Height>,
}

/// The vote that a message carries.
pub fn vote_in(message: &Message) -> Option<&Vote> {
    match message {
        Message::PrePrepare(message) => Some(&message.vote),
        Message::Vote(vote) => Some(vote),
        Message::ViewChange(_) | Message::NewView(_) | Message::Status(_) | Message::Testimony(_) => None,
    }
}

impl Judge {
    /// Takes note of what the correct engine `engine` wants done.
    ///
    /// # Errors
    /// What is broken, in words.
    pub fn observe(
        &mut self,
        engine: usize,
        output: &Output,
        is_correct: impl Fn(&ValidatorId) -> bool,
    ) -> Result<(), String> {
        match output {
            Output::Broadcast(message) | Output::Send { message, .. } => self.note_vote(engine, message),
            Output::Committed { header, .. } => self.note_decision(engine, header.height, header.digest()),
            Output::Evidence { first, .. } if is_correct(&first.validator) => {
                Err(format!("engine {engine} has evidence against the correct {}", first.validator.short()))
            }
            Output::Misbehaviour { peer, reason } if is_correct(peer) => {
                Err(format!("engine {engine} accuses the correct {}: {reason}", peer.short()))
            }
            Output::Diverged { height, .. } => Err(format!("engine {engine} stops at height {height}")),
            Output::Persist(_)
            | Output::FetchBatches { .. }
            | Output::FetchBlocks { .. }
            | Output::Evidence { .. }
            | Output::Misbehaviour { .. }
            | Output::Event(_) => Ok(()),
        }
    }

    /// A digest that is decided, or could be by whoever puts the votes together.
    ///
    /// # Errors
    /// When another digest is decided at that height.
    pub fn note_decidable(&mut self, height: Height, digest: Hash) -> Result<(), String> {
        let known = *self.decided.entry(height).or_insert(digest);
        if known == digest {
            Ok(())
        } else {
            Err(format!("height {height} is decided twice: {known:?} and {digest:?}"))
        }
    }

    /// The highest height that any correct engine decided.
    pub fn highest(&self) -> Height {
        self.heights.values().copied().max().unwrap_or_default()
    }

    fn note_vote(&mut self, engine: usize, message: &Message) -> Result<(), String> {
        let Some(vote) = vote_in(message) else { return Ok(()) };
        let VoteContent { kind, view, height, digest, .. } = vote.content;
        let known = *self.votes.entry((engine, view, height, kind)).or_insert(digest);
        if known == digest {
            Ok(())
        } else {
            Err(format!("engine {engine} votes {kind:?} twice at height {height} in view {view}"))
        }
    }

    fn note_decision(&mut self, engine: usize, height: Height, digest: Hash) -> Result<(), String> {
        let tip = self.heights.entry(engine).or_default();
        if height != tip.next() {
            return Err(format!("engine {engine} decides height {height} on top of {tip}"));
        }
        *tip = height;
        self.note_decidable(height, digest)
    }
}
