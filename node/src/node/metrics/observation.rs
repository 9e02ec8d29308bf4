//! What this node sees of votes, and its counters, for those who look at them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aegis_consensus::Message;
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
        match message {
            Message::PrePrepare(proposal) if proposal.vote.validator == *from => {
                self.seen().ballots.proposed(&proposal.vote, at);
                None
            }
            Message::Vote(vote) if vote.validator == *from => {
                let mut seen = self.seen();
                if let Some(rtt) = seen.ballots.voted(vote, at) {
                    seen.trips.sample(from, rtt, at);
                }
                let is_owed = vote.content.kind == VoteKind::Prepare
                    && seen.ballots.set().contains(from)
                    && seen.trips.owes(from, at);
                is_owed.then(|| Receipt::of(vote))
            }
            _ => None,
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
        match message {
            Message::PrePrepare(proposal) if proposal.vote.validator == self.me => {
                self.seen().ballots.proposed(&proposal.vote, at);
            }
            Message::Vote(vote) if vote.validator == self.me => self.voted(vote, at),
            _ => {}
        }
    }

    fn voted(&self, vote: &Vote, at: u64) {
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

    /// Positions of the members that were heard to commit lately.
    pub fn alive(&self) -> Vec<usize> {
        self.seen().ballots.alive()
    }

    /// Round synchrony.
    pub fn network_coherence(&self) -> Option<Micro> {
        self.seen().ballots.network_coherence().and_then(Micro::from_share)
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Keypair, Member, VoteContent, Weight};

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
