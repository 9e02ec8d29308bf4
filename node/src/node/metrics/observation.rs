//! What this node sees of votes, and its counters, for those who look at them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_consensus::{Message, Output};
use aegis_metrics::Micro;
use aegis_metrics::sampling::NodeReadings;
use aegis_types::{
    Certificate, Hash, Height, MemberBits, Signature, ValidatorId, ValidatorSet, View, Vote, VoteKind,
};

use super::ballots::Ballots;
use super::receipt::Receipt;
use super::round_trips::RoundTrips;
use crate::node::clock::Clock;

/// Votes, round trips and counters. The driver tells of votes as they pass; nobody holds the lock for longer than a look.
#[derive(Debug)]
pub struct Observation {
    me: ValidatorId,
    clock: Clock,
    seen: Mutex<Seen>,
    proposals: AtomicU64,
    answered_bytes: AtomicU64,
}

#[derive(Debug)]
struct Seen {
    ballots: Ballots,
    trips: RoundTrips,
}

/// What a report says of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Round-trip time to each member, in microseconds.
    pub rtt_us: Vec<u32>,
    /// Share of each member's votes that came in time, in ten-thousandths.
    pub votes_in_time: Vec<u16>,
    /// Median time from proposal to decision.
    pub commit_latency_us: Option<u32>,
}

impl Observation {
    /// Nothing is seen yet. `newest` is the newest decided block.
    pub fn new(me: ValidatorId, clock: Clock, set: ValidatorSet, newest: Height) -> Self {
        let seen = Seen { ballots: Ballots::new(me, set, newest), trips: RoundTrips::default() };
        Self {
            me,
            clock,
            seen: Mutex::new(seen),
            proposals: AtomicU64::new(0),
            answered_bytes: AtomicU64::new(0),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch's members, when they are others than before.
    pub fn enter(&self, set: &ValidatorSet) {
        let mut seen = self.seen();
        if seen.ballots.epoch() != set.epoch() {
            seen.trips.retain(set);
            seen.ballots.enter(set.clone());
        }
    }

    /// A peer's message came. The receipt that it is owed, to be sent once the message is handled.
    pub fn heard(&self, from: &ValidatorId, message: &Message) -> Option<Receipt> {
        let at = self.clock.monotonic_us();
        let vote = own_vote(message).filter(|vote| vote.validator == *from)?;
        let mut seen = self.seen();
        seen.ballots.voted(vote, at);
        let is_owed = vote.content.kind == VoteKind::Prepare
            && seen.ballots.set().contains(from)
            && seen.trips.owes(from, at);
        is_owed.then(|| Receipt::of(vote))
    }

    /// The engine was given a proposal that came at a time, and gave these outputs. It counts for what is measured if it is of
    /// the engine's view, by the leader of it, and was not refused: others could place themselves before or over the real one.
    pub fn proposed(&self, vote: &Vote, at_us: u64, view: View, leader: &ValidatorId, outputs: &[Output]) {
        let is_refused = outputs
            .iter()
            .any(|output| matches!(output, Output::Misbehaviour { peer, .. } if peer == leader));
        if vote.content.view == view && vote.validator == *leader && !is_refused {
            self.seen().ballots.proposed(vote, at_us);
        }
    }

    /// A peer has handled a vote of this node.
    pub fn receipt(&self, from: &ValidatorId, receipt: Receipt) {
        let at = self.clock.monotonic_us();
        let mut seen = self.seen();
        if seen.ballots.set().contains(from) {
            seen.trips.answered(from, receipt, at);
        }
    }

    /// A message of this node goes to all.
    pub fn said(&self, message: &Message) {
        let at = self.clock.monotonic_us();
        let Some(vote) = own_vote(message).filter(|vote| vote.validator == self.me) else { return };
        let mut seen = self.seen();
        seen.ballots.voted(vote, at);
        if vote.content.kind == VoteKind::Prepare {
            seen.trips.sent(Receipt::of(vote), at);
        }
    }

    /// A block was decided.
    pub fn decided(&self, certificate: &Certificate) {
        let at = self.clock.monotonic_us();
        self.seen().ballots.decided(certificate, at);
    }

    /// The time in which a quorum hears of a vote and says so, in microseconds, as far as it was measured lately.
    pub fn round_trip_us(&self) -> Option<u64> {
        let now = self.clock.monotonic_us();
        let seen = self.seen();
        seen.trips.of_quorum(seen.ballots.set(), &self.me, now)
    }

    /// Proposals came in, in batches of this node or of others.
    pub fn count_proposals(&self, count: usize) {
        self.proposals.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A question was answered.
    pub fn count_answer(&self, bytes: usize) {
        self.answered_bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The readings of a second. `queue_depth` and `bytes_sent` are known elsewhere. Takes what was counted since the last.
    pub fn take_readings(&self, queue_depth: u64, bytes_sent: u64) -> NodeReadings {
        let now = self.clock.monotonic_us();
        let mut seen = self.seen();
        let Seen { ballots, trips } = &mut *seen;
        NodeReadings {
            proposals_total: self.proposals.load(Ordering::Relaxed),
            queue_depth,
            commit_latency_us: ballots.take_commit_latency_us(),
            quorum_rtt_us: trips.to_quorum(ballots.set(), &self.me, now),
            bytes_out_total: bytes_sent.saturating_add(self.answered_bytes.load(Ordering::Relaxed)),
            votes_in_time_total: ballots.own_votes_in_time(),
        }
    }

    /// What a report about the members of `set` says; none when another epoch is being watched.
    pub fn rows(&self, set: &ValidatorSet) -> Option<Rows> {
        let now = self.clock.monotonic_us();
        let seen = self.seen();
        (seen.ballots.epoch() == set.epoch()).then(|| Rows {
            rtt_us: seen.trips.row(set, &self.me, now),
            votes_in_time: seen.ballots.votes_in_time(),
            commit_latency_us: seen.ballots.commit_latency_us(),
        })
    }

    /// Who was heard to commit a block, and the own Commit for it.
    pub fn commits(&self, height: Height, digest: &Hash) -> (MemberBits, Option<(View, Signature)>) {
        self.seen().ballots.commits(height, digest)
    }

    /// The share of the epoch's heights at which each member was heard to commit, by position.
    pub fn participation(&self) -> Vec<Option<Micro>> {
        let seen = self.seen();
        (0..seen.ballots.set().len()).map(|position| seen.ballots.participation(position)).collect()
    }

    /// Positions of the members that were heard to commit lately, not longer ago than this.
    pub fn alive(&self, within: Duration) -> Vec<usize> {
        let within = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        self.seen().ballots.alive(self.clock.monotonic_us().saturating_sub(within))
    }

    /// How long ago a block was last decided here; none before the first since the start.
    pub fn since_decision(&self) -> Option<Duration> {
        let decided_us = self.seen().ballots.decided_us()?;
        Some(Duration::from_micros(self.clock.monotonic_us().saturating_sub(decided_us)))
    }

    /// Round synchrony.
    pub fn network_coherence(&self) -> Option<Micro> {
        self.seen().ballots.network_coherence().and_then(Micro::from_share)
    }
}

/// The vote that a message brings of its sender; a PrePrepare holds its leader's Prepare.
fn own_vote(message: &Message) -> Option<&Vote> {
    match message {
        Message::PrePrepare(proposal) => Some(&proposal.vote),
        Message::Vote(vote) => Some(vote),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aegis_consensus::PrePrepare;
    use aegis_types::{BlockKind, Epoch, Header, Keypair, Member, VoteContent, Weight};

    use super::*;

    fn keys() -> Vec<Keypair> {
        (1..=4).map(|seed| Keypair::from_seed(&[seed; 32])).collect()
    }

    fn set() -> ValidatorSet {
        let members =
            keys().iter().map(|key| Member { validator: key.validator_id(), weight: Weight(1) }).collect();
        ValidatorSet::new(Epoch(0), members).unwrap()
    }

    fn prepare(key: &Keypair) -> Vote {
        let content = VoteContent {
            kind: VoteKind::Prepare,
            epoch: Epoch(0),
            view: View(0),
            height: Height(1),
            digest: Hash([3; 32]),
        };
        Vote { content, validator: key.validator_id(), signature: Signature([5; 64]) }
    }

    #[test]
    fn two_nodes_measure_their_round_trip_by_a_vote_and_its_receipt() {
        let keys = keys();
        let node =
            |index: usize| Observation::new(keys[index].validator_id(), Clock::start(), set(), Height(0));
        let (one, other) = (node(0), node(1));
        let (one_id, other_id) = (keys[0].validator_id(), keys[1].validator_id());
        let message = Message::Vote(prepare(&keys[0]));
        one.said(&message);
        let receipt = other.heard(&one_id, &message).expect("a receipt is owed");
        assert!(other.heard(&one_id, &message).is_none(), "receipts are few");
        std::thread::sleep(std::time::Duration::from_millis(3));
        one.receipt(&other_id, Receipt::decode(&receipt.encode()).unwrap());
        let position = set().index_of(&other_id).unwrap();
        assert!((3_000..1_000_000).contains(&one.rows(&set()).unwrap().rtt_us[position]));
    }

    fn pre_prepare(key: &Keypair) -> Message {
        let header = Header {
            epoch: Epoch(0),
            height: Height(1),
            timestamp_ms: 1,
            parent: Hash::ZERO,
            proposer: key.validator_id(),
            batches: Vec::new(),
            executed: aegis_types::Executed { height: Height(0), state_root: Hash::ZERO },
            validators_hash: Hash::ZERO,
            kind: BlockKind::Normal,
        };
        Message::PrePrepare(PrePrepare { header, vote: prepare(key) })
    }

    #[test]
    fn a_leader_measures_by_receipts_like_everybody_else() {
        let keys = keys();
        let (leader_id, other_id) = (keys[0].validator_id(), keys[1].validator_id());
        let leader = Observation::new(leader_id, Clock::start(), set(), Height(0));
        let other = Observation::new(other_id, Clock::start(), set(), Height(0));
        let message = pre_prepare(&keys[0]);
        leader.said(&message);
        let receipt = other.heard(&leader_id, &message).expect("a PrePrepare is owed a receipt");
        let row = || leader.rows(&set()).unwrap().rtt_us[set().index_of(&other_id).unwrap()];
        leader.heard(&other_id, &Message::Vote(prepare(&keys[1])));
        assert_eq!(row(), aegis_metrics::matrix::MISSING_RTT_US, "a Prepare that answers says nothing");
        leader.receipt(&other_id, receipt);
        assert!(row() < 1_000_000);
    }

    #[test]
    fn only_what_the_engine_took_up_from_the_leader_of_its_view_is_a_proposal() {
        let keys = keys();
        let (leader, forger) = (keys[0].validator_id(), keys[1].validator_id());
        let vote = |key: &Keypair, view: u64, digest: u8| {
            let mut vote = prepare(key);
            vote.content.view = View(view);
            vote.content.digest = Hash([digest; 32]);
            vote
        };
        let refusal = [Output::Misbehaviour { peer: leader, reason: "a test" }];
        let forged: [(Vote, &[Output]); 3] =
            [(vote(&keys[1], 7, 9), &[]), (vote(&keys[1], 0, 9), &[]), (vote(&keys[0], 0, 9), &refusal)];
        let certificate = |digest: u8| {
            let content = VoteContent { kind: VoteKind::Commit, ..vote(&keys[0], 0, digest).content };
            Certificate { content, signatures: Vec::new() }
        };
        let latency = |decided: u8| {
            let node = Observation::new(keys[2].validator_id(), Clock::start(), set(), Height(0));
            for (vote, outputs) in &forged {
                let header = pre_prepare(&keys[1]);
                node.heard(&forger, &header);
                node.proposed(vote, 0, View(0), &leader, outputs);
            }
            node.proposed(&vote(&keys[0], 0, 3), 0, View(0), &leader, &[]);
            node.decided(&certificate(decided));
            node.rows(&set()).unwrap().commit_latency_us
        };
        assert_eq!(latency(9), None, "nobody's word but the engine's");
        assert!(latency(3).is_some(), "the real one is measured all the same");
    }

    #[test]
    fn a_vote_in_another_name_is_owed_nothing_and_strangers_measure_nothing() {
        let keys = keys();
        let node = Observation::new(keys[0].validator_id(), Clock::start(), set(), Height(0));
        let forwarded = Message::Vote(prepare(&keys[1]));
        assert!(node.heard(&keys[2].validator_id(), &forwarded).is_none());
        let stranger = Keypair::from_seed(&[99; 32]);
        assert!(node.heard(&stranger.validator_id(), &Message::Vote(prepare(&stranger))).is_none());
        node.said(&Message::Vote(prepare(&keys[0])));
        node.receipt(&stranger.validator_id(), Receipt::of(&prepare(&keys[0])));
        assert_eq!(node.take_readings(0, 0).quorum_rtt_us, None);
    }

    #[test]
    fn counters_only_rise() {
        let keys = keys();
        let node = Observation::new(keys[0].validator_id(), Clock::start(), set(), Height(0));
        node.count_proposals(3);
        node.count_answer(10);
        let readings = node.take_readings(7, 5);
        assert_eq!((readings.proposals_total, readings.queue_depth, readings.bytes_out_total), (3, 7, 15));
        assert_eq!((readings.commit_latency_us, readings.quorum_rtt_us), (None, None));
    }
}
