//! Who voted when, at the heights of the current epoch, as this node saw it.
//!
//! Votes are counted for whom they come from: the connection proves the sender, so no signature is checked here. Nobody else
//! relies on it either: what a report says of others is one word among many, and a validator shows its own Commits itself.

use std::collections::{BTreeMap, VecDeque};

use aegis_metrics::Micro;
use aegis_metrics::median::lower_median;
use aegis_metrics::statistics::SynchronyWindow;
use aegis_metrics::statistics::synchrony::{SYNCHRONY_HEIGHTS, VoteArrival};
use aegis_types::{
    Certificate, Epoch, Hash, Height, MemberBits, Signature, ValidatorId, ValidatorSet, View, Vote, VoteKind,
};

/// Heights that are kept: those that a sample is drawn from, and as many again that may be decided before the report is made.
const HEIGHTS_MAX: usize = 2_048;
/// Votes further above the newest decided height are not kept: more than a window, which is at most 32.
const AHEAD_MAX: u64 = 64;
/// Heights after which a height's votes are looked at: those that come at all have come by then.
const SETTLED_AFTER: u64 = 4;
/// Commit latencies between two readings that are kept.
const LATENCIES_MAX: usize = 1_024;
/// Whoever committed at one of so many newest heights, and lately, is alive.
const ALIVE_HEIGHTS: usize = 8;
/// Microseconds after a height's decision here in which Commits for it still count: some trips around the world, for the votes
/// that were not needed. Who sends them later has done nothing for the decision and only collects participation.
const COMMIT_GRACE_US: u64 = 1_000_000;
/// Views of one height whose proposals are held: the engine's own, so they rise, and more than a few mean that nothing works.
const VIEWS_MAX: usize = 8;
/// Shares are counted in ten-thousandths.
const ALL_VOTES: usize = 10_000;

/// What is known of one height.
#[derive(Debug, Default)]
struct Ballot {
    /// What was proposed in each view, and when that digest was first seen.
    proposals: BTreeMap<View, (Hash, u64)>,
    /// First Prepare of each member, by position.
    prepares: BTreeMap<usize, (Hash, u64)>,
    /// First Commit of each member, and when it came.
    commits: BTreeMap<usize, (Hash, u64)>,
    /// Own Commit.
    own: Option<(Hash, View, Signature)>,
    decided: Option<(Hash, u64)>,
}

impl Ballot {
    /// When a digest was first seen as a proposal.
    fn first_seen(&self, digest: &Hash) -> Option<u64> {
        let seen = self.proposals.values().filter(|(proposed, _)| proposed == digest);
        seen.map(|(_, at_us)| *at_us).min()
    }

    fn propose(&mut self, view: View, digest: Hash, seen_us: u64) {
        self.proposals.insert(view, (digest, seen_us));
        if self.proposals.len() > VIEWS_MAX {
            self.proposals.pop_first();
        }
    }
}

/// The votes of the current epoch.
#[derive(Debug)]
pub struct Ballots {
    me: ValidatorId,
    set: ValidatorSet,
    heights: BTreeMap<Height, Ballot>,
    newest: Height,
    /// When a block was last decided here, in whatever epoch.
    decided_us: Option<u64>,
    /// Whose Prepares came before the decision, at the newest heights.
    in_time: VecDeque<MemberBits>,
    /// Who was heard to commit, at the newest settled heights.
    committers: VecDeque<MemberBits>,
    synchrony: SynchronyWindow,
    /// Time from proposal to decision, of the newest heights.
    latencies: VecDeque<u32>,
    unread_latencies: Vec<u64>,
    own_votes_in_time: u64,
}

impl Ballots {
    /// No votes yet.
    pub fn new(me: ValidatorId, set: ValidatorSet, newest: Height) -> Self {
        Self {
            me,
            set,
            heights: BTreeMap::new(),
            newest,
            decided_us: None,
            in_time: VecDeque::new(),
            committers: VecDeque::new(),
            synchrony: SynchronyWindow::default(),
            latencies: VecDeque::new(),
            unread_latencies: Vec::new(),
            own_votes_in_time: 0,
        }
    }

    /// The members that votes are counted for.
    pub fn set(&self) -> &ValidatorSet {
        &self.set
    }

    /// Begins an epoch: what concerned the one before is forgotten, save the totals.
    pub fn enter(&mut self, set: ValidatorSet) {
        let (synchrony, own) = (std::mem::take(&mut self.synchrony), self.own_votes_in_time);
        let unread_latencies = std::mem::take(&mut self.unread_latencies);
        *self = Self {
            synchrony,
            own_votes_in_time: own,
            unread_latencies,
            decided_us: self.decided_us,
            ..Self::new(self.me, set, self.newest)
        };
    }

    /// The engine has taken up what is voted for here, in the view that it is in: of each view the first counts, and a digest
    /// keeps the time at which it was first seen.
    pub fn proposed(&mut self, vote: &Vote, at_us: u64) {
        let Some((_, ballot)) = self.ballot(vote) else { return };
        let digest = vote.content.digest;
        let seen = ballot.first_seen(&digest).unwrap_or(at_us);
        if !ballot.proposals.contains_key(&vote.content.view) {
            ballot.propose(vote.content.view, digest, seen);
        }
    }

    /// A validator voted.
    pub fn voted(&mut self, vote: &Vote, at_us: u64) {
        let is_mine = vote.validator == self.me;
        let Some((position, ballot)) = self.ballot(vote) else { return };
        let digest = vote.content.digest;
        match vote.content.kind {
            VoteKind::Prepare => {
                ballot.prepares.entry(position).or_insert((digest, at_us));
                if is_mine {
                    // The engine has accepted it, whatever else its leader may have sent.
                    let seen = ballot.first_seen(&digest).unwrap_or(at_us);
                    ballot.propose(vote.content.view, digest, seen);
                }
            }
            VoteKind::Commit => {
                let decided = ballot.decided.map(|(_, decided_us)| decided_us);
                if decided.is_some_and(|decided_us| at_us.saturating_sub(decided_us) > COMMIT_GRACE_US) {
                    return;
                }
                ballot.commits.entry(position).or_insert((digest, at_us));
                if is_mine {
                    ballot.own = Some((digest, vote.content.view, vote.signature));
                }
            }
        }
    }

    /// A block was decided.
    pub fn decided(&mut self, certificate: &Certificate, at_us: u64) {
        let content = &certificate.content;
        self.decided_us = Some(at_us);
        if content.epoch != self.set.epoch() {
            return;
        }
        self.newest = self.newest.max(content.height);
        let me = self.set.index_of(&self.me);
        let ballot = self.heights.entry(content.height).or_default();
        ballot.decided = Some((content.digest, at_us));
        let latency = ballot.first_seen(&content.digest).map(|at| at_us.saturating_sub(at));
        let voted = |ballot: &Ballot, position: usize| {
            ballot.prepares.get(&position).is_some_and(|(digest, _)| *digest == content.digest)
        };
        let in_time: MemberBits = (0..self.set.len()).filter(|position| voted(ballot, *position)).collect();
        let own = me.map_or(0, |me| {
            let committed = ballot.commits.get(&me).is_some_and(|(digest, _)| *digest == content.digest);
            u64::from(voted(ballot, me)) + u64::from(committed)
        });
        self.own_votes_in_time = self.own_votes_in_time.saturating_add(own);
        push(&mut self.in_time, in_time, SYNCHRONY_HEIGHTS);
        if let Some(latency) = latency {
            push(&mut self.latencies, u32::try_from(latency).unwrap_or(u32::MAX), SYNCHRONY_HEIGHTS);
            if self.unread_latencies.len() < LATENCIES_MAX {
                self.unread_latencies.push(latency);
            }
        }
        self.settle(Height(content.height.0.saturating_sub(SETTLED_AFTER)));
        while self.heights.len() > HEIGHTS_MAX {
            self.heights.pop_first();
        }
    }

    /// The place for a vote; none for one of another epoch, of nobody in the set, or of a height that is not kept.
    fn ballot(&mut self, vote: &Vote) -> Option<(usize, &mut Ballot)> {
        let content = &vote.content;
        if content.epoch != self.set.epoch() {
            return None;
        }
        let position = self.set.index_of(&vote.validator)?;
        let is_known = self.heights.contains_key(&content.height);
        let is_ahead =
            content.height > self.newest && content.height.distance_above(self.newest) <= AHEAD_MAX;
        if !is_known && !is_ahead {
            return None;
        }
        Some((position, self.heights.entry(content.height).or_default()))
    }

    /// Looks at a height whose votes have come, if they come at all.
    fn settle(&mut self, height: Height) {
        let Some(ballot) = self.heights.get(&height) else { return };
        let Some((decided, _)) = ballot.decided else { return };
        let committers = ballot.commits.iter().filter(|(_, (voted, _))| *voted == decided);
        push(&mut self.committers, committers.map(|(position, _)| *position).collect(), SYNCHRONY_HEIGHTS);
        let before = self.heights.get(&height.previous()).and_then(|ballot| ballot.decided);
        let (Some((digest, at)), Some((_, before))) = (ballot.decided, before) else { return };
        let arrivals: Vec<VoteArrival> = self
            .set
            .members()
            .iter()
            .enumerate()
            .map(|(position, member)| {
                let prepare = ballot.prepares.get(&position).filter(|(voted, _)| *voted == digest);
                VoteArrival { weight: member.weight, at_us: prepare.map(|(_, at)| *at) }
            })
            .collect();
        self.synchrony.push(&arrivals, at.saturating_sub(before));
    }

    /// Who was heard to commit the block with this digest, and the own Commit for it.
    pub fn commits(&self, height: Height, digest: &Hash) -> (MemberBits, Option<(View, Signature)>) {
        let Some(ballot) = self.heights.get(&height) else { return (MemberBits::default(), None) };
        let voters = ballot.commits.iter().filter(|(_, (voted, _))| voted == digest);
        let own = ballot.own.filter(|(voted, ..)| voted == digest);
        (voters.map(|(position, _)| *position).collect(), own.map(|(_, view, signature)| (view, signature)))
    }

    /// The epoch whose votes these are.
    pub fn epoch(&self) -> Epoch {
        self.set.epoch()
    }

    /// The share of each member's votes that came before the decision, in ten-thousandths.
    pub fn votes_in_time(&self) -> Vec<u16> {
        let all = self.in_time.len();
        let share = |position| {
            let count = self.in_time.iter().filter(|voters| voters.contains(position)).count();
            let share = count.saturating_mul(ALL_VOTES).checked_div(all).unwrap_or_default();
            u16::try_from(share).unwrap_or(u16::MAX)
        };
        (0..self.set.len()).map(share).collect()
    }

    /// The share of the last 600 heights at which a member was heard to commit, leaving out the newest, whose votes may still
    /// come; nothing before any is settled.
    pub fn participation(&self, position: usize) -> Option<Micro> {
        let all = self.committers.len();
        let voted = self.committers.iter().filter(|voters| voters.contains(position)).count();
        let wide = |count: usize| u128::try_from(count).unwrap_or(u128::MAX);
        (all > 0).then(|| Micro::of(wide(voted), wide(all)))
    }

    /// When a block was last decided here.
    pub fn decided_us(&self) -> Option<u64> {
        self.decided_us
    }

    /// The members that were heard to commit at one of the newest heights, and since a time.
    pub fn alive(&self, since_us: u64) -> Vec<usize> {
        let newest: Vec<_> = self.heights.values().rev().filter(|ballot| ballot.decided.is_some()).collect();
        let newest = newest.get(..ALIVE_HEIGHTS.min(newest.len())).unwrap_or_default();
        let has_voted = |ballot: &Ballot, position: &usize| {
            ballot.commits.get(position).is_some_and(|(_, at_us)| *at_us >= since_us)
        };
        (0..self.set.len())
            .filter(|position| newest.iter().any(|ballot| has_voted(ballot, position)))
            .collect()
    }

    /// Round synchrony; nothing before the first heights.
    pub fn network_coherence(&self) -> Option<f64> {
        self.synchrony.network_coherence()
    }

    /// The median time from proposal to decision in this epoch, in microseconds.
    pub fn commit_latency_us(&self) -> Option<u32> {
        lower_median(self.latencies.iter().copied())
    }

    /// The median of the same since this was last asked.
    pub fn take_commit_latency_us(&mut self) -> Option<u64> {
        lower_median(std::mem::take(&mut self.unread_latencies))
    }

    /// Own votes that were cast before the decision, since the start.
    pub fn own_votes_in_time(&self) -> u64 {
        self.own_votes_in_time
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use aegis_types::{Member, VoteContent, Weight};

    use super::*;

    fn ids() -> Vec<ValidatorId> {
        (1..=4).map(|byte| ValidatorId([byte; 32])).collect()
    }

    fn set(epoch: u64) -> ValidatorSet {
        let members = ids().into_iter().map(|validator| Member { validator, weight: Weight(1) });
        ValidatorSet::new(Epoch(epoch), members.collect()).unwrap()
    }

    fn vote(kind: VoteKind, who: usize, height: u64) -> Vote {
        let content = VoteContent {
            kind,
            epoch: Epoch(0),
            view: View(0),
            height: Height(height),
            digest: Hash([u8::try_from(height % 200).unwrap(); 32]),
        };
        Vote { content, validator: ids()[who], signature: Signature([u8::try_from(who).unwrap(); 64]) }
    }

    fn certificate(height: u64) -> Certificate {
        Certificate { content: vote(VoteKind::Commit, 0, height).content, signatures: Vec::new() }
    }

    /// A height led by the first, at which these commit; each Prepare comes a millisecond after the one before.
    fn decide(ballots: &mut Ballots, height: u64, committers: &[usize]) {
        let at = height * 100_000;
        ballots.proposed(&vote(VoteKind::Prepare, 0, height), at);
        for who in 0..4 {
            ballots.voted(&vote(VoteKind::Prepare, who, height), at + 1_000 * who as u64);
        }
        for who in committers {
            ballots.voted(&vote(VoteKind::Commit, *who, height), at + 9_000);
        }
        ballots.decided(&certificate(height), at + 10_000);
    }

    fn ballots(me: usize) -> Ballots {
        Ballots::new(ids()[me], set(0), Height(0))
    }

    fn proposal(view: u64, digest: u8) -> Vote {
        let mut vote = vote(VoteKind::Prepare, 0, 1);
        vote.content.view = View(view);
        vote.content.digest = Hash([digest; 32]);
        vote
    }

    #[test]
    fn a_digest_keeps_the_time_at_which_it_was_first_seen_whatever_is_proposed_later() {
        let mut ballots = ballots(1);
        ballots.proposed(&proposal(0, 1), 5_000);
        ballots.proposed(&proposal(0, 9), 6_000);
        ballots.proposed(&proposal(1, 9), 7_000);
        for view in 2..20 {
            ballots.proposed(&proposal(view, 1), 10_000 + view);
        }
        assert_eq!(ballots.heights[&Height(1)].proposals.len(), VIEWS_MAX);
        ballots.decided(&certificate(1), 45_000);
        assert_eq!(ballots.commit_latency_us(), Some(40_000));
    }

    #[test]
    fn what_this_node_prepared_was_proposed_whatever_its_leader_sent_before() {
        let mut ballots = ballots(1);
        ballots.proposed(&proposal(0, 9), 5_000);
        let prepared = Vote { validator: ids()[1], ..proposal(0, 1) };
        ballots.voted(&prepared, 8_000);
        ballots.decided(&certificate(1), 45_000);
        assert_eq!(ballots.commit_latency_us(), Some(37_000));
    }

    #[test]
    fn latency_lateness_and_own_votes_follow_from_the_votes() {
        let mut ballots = ballots(1);
        decide(&mut ballots, 1, &[0, 1, 2]);
        assert_eq!(ballots.commit_latency_us(), Some(10_000));
        assert_eq!(
            (ballots.take_commit_latency_us(), ballots.take_commit_latency_us()),
            (Some(10_000), None)
        );
        assert_eq!(ballots.own_votes_in_time(), 2);
        ballots.proposed(&vote(VoteKind::Prepare, 0, 2), 200_000);
        ballots.voted(&vote(VoteKind::Prepare, 0, 2), 200_000);
        ballots.decided(&certificate(2), 230_000);
        ballots.voted(&vote(VoteKind::Prepare, 3, 2), 240_000);
        assert_eq!(ballots.votes_in_time(), [10_000, 5_000, 5_000, 5_000]);
        assert_eq!(ballots.own_votes_in_time(), 2);
    }

    #[test]
    fn commits_that_come_soon_after_the_decision_count_and_foreign_digests_do_not() {
        let mut ballots = ballots(1);
        for height in 1..=20 {
            decide(&mut ballots, height, &[0, 1, 2]);
            let late = vote(VoteKind::Commit, 3, height.saturating_sub(1).max(1));
            ballots.voted(&late, height * 100_000 + 11_000);
        }
        assert_eq!(ballots.participation(3), Some(Micro::ONE));
        assert_eq!(ballots.alive(0), [0, 1, 2, 3]);
        let digest = Hash([7; 32]);
        let (voters, own) = ballots.commits(Height(7), &digest);
        assert_eq!(voters.positions().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(own, Some((View(0), Signature([1; 64]))));
        let (voters, own) = ballots.commits(Height(7), &Hash([8; 32]));
        assert_eq!((voters.positions().count(), own), (0, None));
    }

    #[test]
    fn commits_that_come_when_all_is_over_give_no_participation() {
        let mut ballots = ballots(1);
        for height in 1..=40 {
            decide(&mut ballots, height, &[0, 1, 2]);
            // The decision came at 10 ms of the height's 100.
            if let Some(over) = height.checked_sub(11).filter(|over| *over > 0) {
                ballots.voted(&vote(VoteKind::Commit, 3, over), height * 100_000 + 11_000);
            }
        }
        assert_eq!(ballots.participation(3), Some(Micro::ZERO));
        let (voters, _) = ballots.commits(Height(7), &Hash([7; 32]));
        assert_eq!(voters.positions().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(ballots.alive(0), [0, 1, 2]);
    }

    #[test]
    fn nobody_is_alive_once_the_last_votes_are_old() {
        let mut ballots = ballots(1);
        assert_eq!(ballots.decided_us(), None);
        decide(&mut ballots, 1, &[0, 1]);
        decide(&mut ballots, 2, &[1, 2]);
        assert_eq!((ballots.alive(150_000), ballots.alive(300_000)), (vec![1, 2], Vec::new()));
        assert_eq!(ballots.decided_us(), Some(210_000));
        ballots.enter(set(1));
        assert_eq!(ballots.decided_us(), Some(210_000), "an epoch's end is no standstill");
    }

    #[test]
    fn who_falls_silent_is_no_longer_alive_and_its_participation_falls() {
        let mut ballots = ballots(1);
        for height in 1..=24 {
            decide(&mut ballots, height, if height <= 10 { &[0, 1, 2, 3] } else { &[0, 1, 2] });
        }
        assert_eq!(ballots.alive(0), [0, 1, 2]);
        assert_eq!(ballots.participation(3), Some(Micro::new(500_000)));
    }

    #[test]
    fn votes_in_step_are_coherent() {
        let mut ballots = ballots(1);
        assert_eq!(ballots.network_coherence(), None);
        for height in 1..=20 {
            decide(&mut ballots, height, &[0, 1, 2, 3]);
        }
        assert!(ballots.network_coherence().unwrap() > 0.99, "{:?}", ballots.network_coherence());
    }

    #[test]
    fn nobody_makes_it_keep_heights_without_end() {
        let mut ballots = ballots(1);
        for height in 1..5_000 {
            ballots.voted(&vote(VoteKind::Commit, 3, height), 0);
        }
        assert_eq!(ballots.heights.len(), usize::try_from(AHEAD_MAX).unwrap());
        for height in 1..5_000 {
            ballots.decided(&certificate(height), height);
        }
        assert_eq!(ballots.heights.len(), HEIGHTS_MAX);
        ballots.enter(set(1));
        assert!(ballots.heights.is_empty());
        ballots.voted(&vote(VoteKind::Commit, 3, 5_000), 0);
        assert!(ballots.heights.is_empty(), "a vote of the epoch before");
    }
}
