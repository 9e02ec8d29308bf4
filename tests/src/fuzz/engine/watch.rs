//! What an engine owes, whatever the others do: judged from its outputs alone.
//!
//! - A vote that leaves is signed by this engine, stands in an earlier record, contradicts none before it, also across
//!   restarts, and, unless it was sent before, is of no view below one that the engine has asked for.
//! - Decided blocks come in order, each on the one before it, with a certificate that a quorum of its epoch signed.
//! - Evidence is two valid votes of one member that contradict each other.
//! - What is kept is bounded by window and set; see the bounds in `aegis_consensus::limits`.
//! - What leaves, and what is recorded, is read back from its bytes.

use std::collections::BTreeMap;

use aegis_consensus::limits::{EARLY_MESSAGES_PER_VALIDATOR, VIEWS_PER_VOTER, VOTE_WINDOWS};
use aegis_consensus::{EngineStatus, Message, Output, Record};
use aegis_types::{Certificate, Epoch, Hash, Header, Height, ValidatorId, View, Vote, VoteKind};

use super::network::{Network, WINDOW};

type Round = (Epoch, View, Height, VoteKind);

/// What an engine has said and promised so far; survives its restarts.
#[derive(Debug, Default)]
pub struct Watch {
    voted: BTreeMap<Round, Hash>,
    durable: BTreeMap<Round, Hash>,
    /// The view that the engine asked for last, by epoch.
    wished: BTreeMap<Epoch, View>,
}

fn round(vote: &Vote) -> Round {
    let content = &vote.content;
    (content.epoch, content.view, content.height, content.kind)
}

impl Watch {
    /// Judges what the engine of `me` wants done.
    ///
    /// # Panics
    /// When it breaks a rule.
    pub fn observe(&mut self, network: &Network, me: ValidatorId, output: &Output) {
        match output {
            Output::Persist(record) => self.note_record(record),
            Output::Broadcast(message) | Output::Send { message, .. } => {
                assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(message));
                match message {
                    Message::PrePrepare(message) => {
                        assert!(message.is_consistent(), "{message:?}");
                        self.check_vote(network, me, &message.vote);
                    }
                    Message::Vote(vote) => self.check_vote(network, me, vote),
                    Message::ViewChange(message) => {
                        assert!(message.validator != me || message.verify_signature(&network.domain));
                    }
                    Message::NewView(_) | Message::Status(_) | Message::Testimony(_) => {}
                }
            }
            Output::Evidence { first, second } => {
                assert!(first.validator == second.validator && first.content.contradicts(&second.content));
                assert!(first.validator != me, "the engine accuses itself");
                assert!(first.verify(&network.domain) && second.verify(&network.domain));
            }
            Output::Misbehaviour { peer, .. } => assert!(*peer != me, "the engine accuses itself"),
            Output::Committed { .. }
            | Output::FetchBatches { .. }
            | Output::FetchBlocks { .. }
            | Output::Event(_)
            | Output::Diverged { .. } => {}
        }
    }

    fn note_record(&mut self, record: &Record) {
        assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(record));
        match record {
            Record::Prepared { header, vote } | Record::Committing { header, vote, .. } => {
                assert_eq!(vote.content.digest, header.digest(), "the record is of another block");
                self.durable.insert(round(vote), vote.content.digest);
            }
            Record::ViewChange(message) => {
                let wished = self.wished.entry(message.epoch).or_default();
                assert!(message.view > *wished, "it asks for view {} after {wished}", message.view);
                *wished = message.view;
            }
            Record::NewView(_) => {}
        }
    }

    fn check_vote(&mut self, network: &Network, me: ValidatorId, vote: &Vote) {
        assert!(vote.validator == me && vote.verify(&network.domain), "{vote:?}");
        let (round, digest) = (round(vote), vote.content.digest);
        assert_eq!(self.durable.get(&round), Some(&digest), "sent before it was durable: {vote:?}");
        if let Some(known) = self.voted.insert(round, digest) {
            assert_eq!(known, digest, "contradicts an earlier vote: {vote:?}");
            return;
        }
        let wished = self.wished.get(&vote.content.epoch).copied().unwrap_or_default();
        assert!(vote.content.view >= wished, "votes in a view that it left for {wished}: {vote:?}");
    }
}

/// Judges a decided block on top of what was decided before.
///
/// # Panics
/// When it does not belong there.
pub fn check_decided(
    network: &Network,
    log: &[(Header, Certificate)],
    header: &Header,
    certificate: &Certificate,
) {
    let (height, parent) = log
        .last()
        .map_or((Height::ZERO, network.genesis.hash()), |(below, _)| (below.height, below.digest()));
    assert_eq!((header.height, header.parent), (height.next(), parent), "decided out of order");
    let content = &certificate.content;
    assert_eq!((content.kind, content.height), (VoteKind::Commit, header.height));
    assert_eq!(content.digest, header.digest(), "the certificate is of another block");
    let set = network.set(header.epoch);
    let mut weight = 0;
    let mut below = None;
    for (position, signature) in &certificate.signatures {
        assert!(below < Some(*position), "a signer counts twice");
        below = Some(*position);
        let member = set.members()[usize::try_from(*position).expect("a position")];
        let vote = Vote { content: *content, validator: member.validator, signature: *signature };
        assert!(vote.verify(&network.domain), "a signature of the certificate is wrong");
        weight += member.weight.0;
    }
    let total: u64 = set.members().iter().map(|member| member.weight.0).sum();
    assert!(weight >= total - (total - 1) / 3, "weight {weight} of {total} decided");
}

/// Judges what an engine keeps.
///
/// # Panics
/// When it is more than window and set allow.
pub fn check_bounds(status: &EngineStatus, members_ever: usize, batches: usize) {
    let heights = usize::try_from(WINDOW * VOTE_WINDOWS).expect("a small number");
    let members = status.validators.len();
    let votes = members * 2 * heights * VIEWS_PER_VOTER;
    assert!(status.votes <= votes, "{} votes are kept, more than {votes}", status.votes);
    let kept = members_ever * EARLY_MESSAGES_PER_VALIDATOR + members * (heights + 1);
    assert!(status.kept_messages <= kept, "{} messages are kept, more than {kept}", status.kept_messages);
    assert!(status.pending_batches <= batches, "{} batches are kept of {batches}", status.pending_batches);
    assert!(status.last_voted.len() <= members_ever);
}
