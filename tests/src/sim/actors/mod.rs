//! Byzantine validators, one file each.
//!
//! An actor runs a correct node and changes what leaves it, receiver by receiver, adds messages of its own, and remembers what
//! it hears. It signs with its own key only. Whatever it sends is encoded, and each receiver decodes it as it decodes the
//! messages of correct nodes. Two ways to be Byzantine have no code here: *amnesia*, whose node runs the real code and finds
//! an older copy of its disk when it restarts, and *twins*, two nodes that run the real code with one key.

mod censoring_leader;
mod conflicting_view_changes;
mod double_naming;
mod early_handover;
mod equivocating_leader;
mod equivocating_voter;
mod false_roots;
mod far_future;
mod forged_certificates;
mod forged_plans;
mod garbage;
mod hoarded_views;
mod late_leader;
mod partial_batches;
mod replays;
mod silent_leader;
mod stale_certificates;
mod strange_signatures;
mod vote_flood;
mod wavering_leader;
mod weight_games;
mod withheld_batches;
mod wrong_parent;

use aegis_consensus::{Engine, Message, PrePrepare};
use aegis_types::{
    AccountId, CommittedBlock, Domain, Hash, Header, Keypair, ProposalBody, Vote, VoteContent, VoteKind,
};

use super::clock::Micros;
use super::packet::Packet;
use super::rng::Rng;
use super::scenario::NodeIndex;

/// The ways to be Byzantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActorKind {
    /// Proposes different blocks to different validators.
    EquivocatingLeader,
    /// Votes for made-up blocks beside the real ones.
    EquivocatingVoter,
    /// Votes, but neither proposes nor starts views.
    SilentLeader,
    /// Proposes just before the others lose patience.
    LateLeader,
    /// Orders what it must, and nothing of one account that it can avoid.
    CensoringLeader,
    /// Proposes blocks with a state that nobody computed.
    FalseRoots,
    /// Proposes closing and handover blocks that nobody should accept.
    EarlyHandover,
    /// Keeps the batches that it names to itself.
    WithheldBatches,
    /// Sends its batches to some validators only.
    PartialBatches,
    /// Wants a view with one past here and another there.
    ConflictingViewChanges,
    /// Proves a tip of long ago and hides what it prepared.
    StaleCertificates,
    /// Sends certificates that are no quorum's, or another's.
    ForgedCertificates,
    /// Sends again what it heard and said in other views, epochs and places.
    Replays,
    /// Signs for other chains, and as others.
    StrangeSignatures,
    /// Votes for everything in every view.
    VoteFlood,
    /// Speaks of views, heights and epochs that are far away.
    FarFuture,
    /// Sends bytes that are no message.
    Garbage,
    /// Asks for weights that would break the network, and disputes those of the next epoch.
    WeightGames,
    /// Changes its mind about what it proposes.
    WaveringLeader,
    /// Proposes blocks that name a batch twice.
    DoubleNaming,
    /// Proposes blocks that do not extend the one below.
    WrongParent,
    /// Starts its views with a past that it made up.
    ForgedPlans,
    /// Keeps the proofs of its views until the epoch is over.
    HoardedViews,
    /// Restarts from an older copy of its disk.
    Amnesia,
    /// Is there twice.
    Twins,
}

impl ActorKind {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::EquivocatingLeader,
        Self::EquivocatingVoter,
        Self::SilentLeader,
        Self::LateLeader,
        Self::CensoringLeader,
        Self::FalseRoots,
        Self::EarlyHandover,
        Self::WithheldBatches,
        Self::PartialBatches,
        Self::ConflictingViewChanges,
        Self::StaleCertificates,
        Self::ForgedCertificates,
        Self::Replays,
        Self::StrangeSignatures,
        Self::VoteFlood,
        Self::FarFuture,
        Self::Garbage,
        Self::WeightGames,
        Self::WaveringLeader,
        Self::DoubleNaming,
        Self::WrongParent,
        Self::ForgedPlans,
        Self::HoardedViews,
        Self::Amnesia,
        Self::Twins,
    ];

    /// An actor of this kind; none for those that need no code.
    pub fn actor(self) -> Option<Box<dyn Actor>> {
        Some(match self {
            Self::EquivocatingLeader => Box::new(equivocating_leader::EquivocatingLeader),
            Self::EquivocatingVoter => Box::new(equivocating_voter::EquivocatingVoter),
            Self::SilentLeader => Box::new(silent_leader::SilentLeader),
            Self::LateLeader => Box::new(late_leader::LateLeader),
            Self::CensoringLeader => Box::new(censoring_leader::CensoringLeader),
            Self::FalseRoots => Box::new(false_roots::FalseRoots),
            Self::EarlyHandover => Box::new(early_handover::EarlyHandover),
            Self::WithheldBatches => Box::new(withheld_batches::WithheldBatches),
            Self::PartialBatches => Box::new(partial_batches::PartialBatches),
            Self::ConflictingViewChanges => Box::new(conflicting_view_changes::ConflictingViewChanges),
            Self::StaleCertificates => Box::new(stale_certificates::StaleCertificates::default()),
            Self::ForgedCertificates => Box::new(forged_certificates::ForgedCertificates::default()),
            Self::Replays => Box::new(replays::Replays::default()),
            Self::StrangeSignatures => Box::new(strange_signatures::StrangeSignatures),
            Self::VoteFlood => Box::new(vote_flood::VoteFlood),
            Self::FarFuture => Box::new(far_future::FarFuture),
            Self::Garbage => Box::new(garbage::Garbage),
            Self::WeightGames => Box::new(weight_games::WeightGames::default()),
            Self::WaveringLeader => Box::new(wavering_leader::WaveringLeader::default()),
            Self::DoubleNaming => Box::new(double_naming::DoubleNaming::default()),
            Self::WrongParent => Box::new(wrong_parent::WrongParent),
            Self::ForgedPlans => Box::new(forged_plans::ForgedPlans::default()),
            Self::HoardedViews => Box::new(hoarded_views::HoardedViews::default()),
            Self::Amnesia | Self::Twins => return None,
        })
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

impl ActorKey {
    /// A vote of this actor.
    pub fn vote(&self, content: VoteContent) -> Vote {
        Vote::sign(content, &self.keypair, &self.domain)
    }

    /// A proposal of a header in the view of `vote`, which this actor leads.
    pub fn propose(&self, header: Header, vote: &Vote) -> Message {
        let vote = self.vote(VoteContent { digest: header.digest(), ..vote.content });
        Message::PrePrepare(PrePrepare { header, vote })
    }
}

/// What an actor sees when it is asked.
pub struct Stage<'a> {
    /// Its node.
    pub me: NodeIndex,
    /// Number of nodes.
    pub nodes: usize,
    /// What it signs with.
    pub key: &'a ActorKey,
    /// Its node's engine.
    pub engine: &'a Engine,
    /// An account that it may hold a grudge against.
    pub victim: AccountId,
    /// The view timeout.
    pub timeout: Micros,
    /// Its choices.
    pub rng: &'a mut Rng,
}

impl Stage<'_> {
    /// A node other than this one.
    pub fn somebody(&mut self) -> NodeIndex {
        let other = self.rng.index(self.nodes.max(2) - 1);
        if other >= self.me { other + 1 } else { other }
    }

    /// A vote's content near the actor's own place: its epoch, a view and a height around its own.
    pub fn nearby(&mut self) -> VoteContent {
        let status = self.engine.status();
        let kind = [VoteKind::Prepare, VoteKind::Commit][self.rng.index(2)];
        let view = (status.view.0 + self.rng.within(0..=6)).saturating_sub(2);
        let height = (status.tip.0.0 + self.rng.within(0..=20)).saturating_sub(2);
        VoteContent {
            kind,
            epoch: status.validators.epoch(),
            view: aegis_types::View(view),
            height: aegis_types::Height(height),
            digest: Hash::of("aegis simulator made-up block", &[self.rng.index(3) as u8]),
        }
    }
}

/// Something that an actor does by itself.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "few exist at a time, and most are messages")]
pub enum Deed {
    /// Sends a consensus message.
    Send(NodeIndex, Message),
    /// Sends bytes in the place of a consensus message.
    SendBytes(NodeIndex, Vec<u8>),
    /// Sends a block as an answer that nobody asked for.
    SendBlock(NodeIndex, Box<CommittedBlock>),
    /// Submits a proposal.
    Propose(Box<ProposalBody>),
}

/// A message on its way out, and how long it is held back.
pub type Held = (Message, Micros);

/// A way to be Byzantine.
pub trait Actor {
    /// What goes to `to` when the node wants to send `message`.
    fn tamper(&mut self, _stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        vec![(message, 0)]
    }

    /// Whether a packet that is no consensus message leaves the node for `to`.
    fn lets_out(&mut self, _stage: &mut Stage<'_>, _to: NodeIndex, _packet: &Packet) -> bool {
        true
    }

    /// A consensus message reached the node.
    fn overhear(&mut self, _message: &Message) {}

    /// A decided block reached the node or was decided by it.
    fn overhear_block(&mut self, _block: &CommittedBlock) {}

    /// What the actor does now and then.
    fn act(&mut self, _stage: &mut Stage<'_>) -> Vec<Deed> {
        Vec::new()
    }

    /// The account whose batches the node pretends not to have.
    fn censors(&self, _stage: &Stage<'_>) -> Option<AccountId> {
        None
    }
}
