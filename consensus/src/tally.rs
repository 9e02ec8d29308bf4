//! Votes by height, view and kind, verified only when their weight would decide something.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{
    Certificate, Domain, Epoch, Hash, Height, Signature, ValidatorId, ValidatorSet, View, Vote, VoteContent,
    VoteKind, Weight, crypto,
};

use crate::limits::VIEWS_PER_VOTER;

/// What became of a vote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It was counted.
    New,
    /// It was known already.
    Known,
    /// It contradicts one that was counted, and both signatures are valid.
    Contradiction { first: Box<Vote>, second: Box<Vote> },
    /// Its signature is wrong.
    Forged,
}

/// What a vote says beside those that are held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Nothing: no other vote of its validator is held for the round.
    Alone,
    /// It contradicts one, and both signatures are valid.
    Contradiction { first: Box<Vote>, second: Box<Vote> },
    /// Its signature is wrong.
    Forged,
}

#[derive(Debug, Clone)]
struct Entry {
    digest: Hash,
    signature: Signature,
    verified: bool,
}

#[derive(Debug, Clone, Default)]
struct VoteSet {
    votes: BTreeMap<u32, Entry>,
    certificate: Option<Certificate>,
}

/// What one vote per member is for.
pub(crate) type Round = (Height, View, VoteKind);

/// All votes of an epoch that may still matter. One vote counts per validator and round, whatever it sends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    rounds: BTreeMap<Round, VoteSet>,
    /// Rounds of heights decided not long ago. They decide nothing any more, but may contradict what is still to come.
    settled: BTreeMap<Round, VoteSet>,
    views: BTreeMap<(Height, VoteKind, u32), BTreeSet<View>>,
}

impl Tally {
    /// Counts a vote of the member at `index`. `verified` says that the signature was checked, or is the own one.
    pub(crate) fn count(&mut self, vote: &Vote, index: u32, verified: bool, domain: &Domain) -> Counted {
        let VoteContent { kind, view, height, digest, .. } = vote.content;
        let entry = Entry { digest, signature: vote.signature, verified };
        if let Some(set) = self.rounds.get_mut(&(height, view, kind))
            && let Some(known) = set.votes.get_mut(&index)
        {
            return recount(known, entry, vote, domain);
        }
        let views = self.views.entry((height, kind, index)).or_default();
        views.insert(view);
        let oldest = if views.len() > VIEWS_PER_VOTER { views.pop_first() } else { None };
        if oldest == Some(view) {
            return Counted::Known;
        }
        self.rounds.entry((height, view, kind)).or_default().votes.insert(index, entry);
        if let Some(oldest) = oldest
            && let Some(set) = self.rounds.get_mut(&(height, oldest, kind))
        {
            set.votes.remove(&index);
            if set.votes.is_empty() {
                self.rounds.remove(&(height, oldest, kind));
            }
        }
        Counted::New
    }

    /// The certificate of a round, once a quorum of valid votes for one digest is there; and the members whose votes for it
    /// turned out to be forged, which are forgotten.
    pub(crate) fn certificate(
        &mut self,
        content: VoteContent,
        set: &ValidatorSet,
        domain: &Domain,
    ) -> (Option<Certificate>, Vec<ValidatorId>) {
        let Some(round) = self.rounds.get_mut(&(content.height, content.view, content.kind)) else {
            return (None, Vec::new());
        };
        if let Some(certificate) = &round.certificate
            && certificate.content == content
        {
            return (Some(certificate.clone()), Vec::new());
        }
        if weight_of(round, |entry| entry.digest == content.digest, set) < set.quorum() {
            return (None, Vec::new());
        }
        let forgers = verify(round, content, set, domain);
        if weight_of(round, |entry| entry.digest == content.digest, set) < set.quorum() {
            return (None, forgers);
        }
        let signatures = round
            .votes
            .iter()
            .filter(|(_, entry)| entry.digest == content.digest)
            .map(|(index, entry)| (*index, entry.signature));
        let certificate = Certificate { content, signatures: signatures.collect() };
        round.certificate = Some(certificate.clone());
        (Some(certificate), forgers)
    }

    /// Views and digests for which votes of a kind at a height carry at least a quorum, signatures not yet checked.
    pub(crate) fn candidates(&self, height: Height, kind: VoteKind, set: &ValidatorSet) -> Vec<(View, Hash)> {
        let rounds = self
            .rounds
            .range((height, View::ZERO, VoteKind::Prepare)..=(height, View(u64::MAX), VoteKind::Commit));
        let mut found = Vec::new();
        for ((_, view, round_kind), round) in rounds {
            // All of this runs after every input, and most rounds are far from any quorum.
            if *round_kind != kind || weight_of(round, |_| true, set) < set.quorum() {
                continue;
            }
            let digests: BTreeSet<Hash> = round.votes.values().map(|entry| entry.digest).collect();
            for digest in digests {
                if weight_of(round, |entry| entry.digest == digest, set) >= set.quorum() {
                    found.push((*view, digest));
                }
            }
        }
        found
    }

    /// Members that voted for a digest in a round.
    pub(crate) fn voters<'a>(
        &'a self,
        content: &VoteContent,
        set: &'a ValidatorSet,
    ) -> impl Iterator<Item = ValidatorId> + 'a {
        let digest = content.digest;
        self.rounds
            .get(&(content.height, content.view, content.kind))
            .into_iter()
            .flat_map(|round| &round.votes)
            .filter(move |(_, entry)| entry.digest == digest)
            .filter_map(|(index, _)| set.get(usize::try_from(*index).ok()?))
            .map(|member| member.validator)
    }

    /// Settles the rounds up to `height`: it is decided. Forgets those up to `forgotten`.
    pub(crate) fn settle(&mut self, height: Height, forgotten: Height) {
        let open = self.rounds.split_off(&(height.next(), View::ZERO, VoteKind::Prepare));
        self.settled.append(&mut std::mem::replace(&mut self.rounds, open));
        self.settled = self.settled.split_off(&(forgotten.next(), View::ZERO, VoteKind::Prepare));
        self.views = self.views.split_off(&(height.next(), VoteKind::Prepare, 0));
    }

    /// The vote that contradicts this one, if it is held, with both signatures checked. The vote itself counts for nothing.
    pub(crate) fn compare(&mut self, vote: &Vote, index: u32, domain: &Domain) -> Compared {
        let VoteContent { kind, view, height, digest, .. } = vote.content;
        let round = (height, view, kind);
        let held = self.rounds.get_mut(&round).or_else(|| self.settled.get_mut(&round));
        let Some(known) = held.and_then(|round| round.votes.get_mut(&index)) else { return Compared::Alone };
        if known.digest == digest {
            return Compared::Alone;
        }
        if !vote.verify(domain) {
            return Compared::Forged;
        }
        let first = known.to_vote(vote.content, vote.validator);
        known.verified = known.verified || first.verify(domain);
        if !known.verified {
            return Compared::Alone;
        }
        Compared::Contradiction { first: Box::new(first), second: Box::new(vote.clone()) }
    }

    /// The rounds of a height in which the members do not agree, or disagree with `decided`.
    pub(crate) fn contested(&self, height: Height, decided: &VoteContent) -> Vec<(View, VoteKind)> {
        let first = (height, View::ZERO, VoteKind::Prepare);
        let last = (height, View(u64::MAX), VoteKind::Commit);
        let is_contested = |view: View, round: &VoteSet| {
            let mut digests = round.votes.values().map(|entry| entry.digest);
            let reference = if view == decided.view { Some(decided.digest) } else { digests.next() };
            digests.any(|digest| Some(digest) != reference)
        };
        let rounds = self.rounds.range(first..=last);
        rounds
            .filter(|((_, view, _), round)| is_contested(*view, round))
            .map(|((_, view, kind), _)| (*view, *kind))
            .collect()
    }

    /// The votes of a round, in order of position, signatures not necessarily checked.
    pub(crate) fn votes<'a>(
        &'a self,
        epoch: Epoch,
        (height, view, kind): Round,
        set: &'a ValidatorSet,
    ) -> impl Iterator<Item = Vote> + 'a {
        let votes = self.rounds.get(&(height, view, kind)).into_iter().flat_map(|round| &round.votes);
        votes.filter_map(move |(index, entry)| {
            let member = set.get(usize::try_from(*index).ok()?)?;
            let content = VoteContent { kind, epoch, view, height, digest: entry.digest };
            Some(entry.to_vote(content, member.validator))
        })
    }

    /// Number of sets that the votes are held in.
    pub(crate) fn sets(&self) -> usize {
        self.rounds.len().saturating_add(self.settled.len())
    }

    /// Number of votes held.
    pub(crate) fn len(&self) -> usize {
        self.rounds.values().chain(self.settled.values()).map(|round| round.votes.len()).sum()
    }
}

impl Entry {
    /// The vote, whose content is known but for the digest.
    fn to_vote(&self, content: VoteContent, validator: ValidatorId) -> Vote {
        Vote { content: VoteContent { digest: self.digest, ..content }, validator, signature: self.signature }
    }
}

fn recount(known: &mut Entry, entry: Entry, vote: &Vote, domain: &Domain) -> Counted {
    if known.digest == entry.digest {
        if known.signature != entry.signature && !known.verified && (entry.verified || vote.verify(domain)) {
            // The one that came first may be forged; this one is not.
            *known = Entry { verified: true, ..entry };
        }
        return Counted::Known;
    }
    if !entry.verified && !vote.verify(domain) {
        return Counted::Forged;
    }
    let first = known.to_vote(vote.content, vote.validator);
    if known.verified || first.verify(domain) {
        known.verified = true;
        return Counted::Contradiction { first: Box::new(first), second: Box::new(vote.clone()) };
    }
    *known = Entry { verified: true, ..entry };
    Counted::New
}

/// The weight of the members whose votes `counts`.
fn weight_of(round: &VoteSet, counts: impl Fn(&Entry) -> bool, set: &ValidatorSet) -> Weight {
    round
        .votes
        .iter()
        .filter(|(_, entry)| counts(entry))
        .filter_map(|(index, _)| set.get(usize::try_from(*index).ok()?))
        .fold(Weight::ZERO, |sum, member| sum.plus(member.weight))
}

/// Checks the unchecked votes for a digest and drops the forged ones.
fn verify(
    round: &mut VoteSet,
    content: VoteContent,
    set: &ValidatorSet,
    domain: &Domain,
) -> Vec<ValidatorId> {
    use aegis_types::Canonical;
    let bytes = content.encode();
    let mut forgers = Vec::new();
    round.votes.retain(|index, entry| {
        if entry.digest != content.digest || entry.verified {
            return true;
        }
        let Some(member) = usize::try_from(*index).ok().and_then(|index| set.get(index)) else {
            return false;
        };
        entry.verified = crypto::verify_strict(
            domain,
            content.kind.purpose(),
            &bytes,
            &member.validator,
            &entry.signature,
        );
        if !entry.verified {
            forgers.push(member.validator);
        }
        entry.verified
    });
    forgers
}

#[cfg(test)]
mod tests {
    use aegis_types::{Keypair, Member};

    use super::*;

    struct Fixture {
        keys: Vec<Keypair>,
        set: ValidatorSet,
        domain: Domain,
        tally: Tally,
    }

    impl Fixture {
        fn new(weights: &[u64]) -> Self {
            let mut keys: Vec<Keypair> =
                (1..).take(weights.len()).map(|seed| Keypair::from_seed(&[seed; 32])).collect();
            keys.sort_by_key(Keypair::validator_id);
            let members = keys
                .iter()
                .zip(weights)
                .map(|(key, weight)| Member { validator: key.validator_id(), weight: Weight(*weight) });
            let set = ValidatorSet::new(Epoch::ZERO, members.collect()).unwrap();
            let domain = Domain::new("tally-test".parse().unwrap(), Hash::ZERO);
            Self { keys, set, domain, tally: Tally::default() }
        }

        fn vote(&self, index: usize, view: u64, digest: u8) -> Vote {
            Vote::sign(content(view, digest), &self.keys[index], &self.domain)
        }

        fn count(&mut self, index: usize, view: u64, digest: u8) -> Counted {
            let vote = self.vote(index, view, digest);
            self.tally.count(&vote, index as u32, false, &self.domain)
        }

        fn count_forged(&mut self, index: usize, view: u64, digest: u8) -> Counted {
            let vote = Vote { signature: Signature([1; 64]), ..self.vote(index, view, digest) };
            self.tally.count(&vote, index as u32, false, &self.domain)
        }

        fn certificate(&mut self, view: u64, digest: u8) -> (Option<Certificate>, Vec<ValidatorId>) {
            self.tally.certificate(content(view, digest), &self.set, &self.domain)
        }
    }

    fn content(view: u64, digest: u8) -> VoteContent {
        VoteContent {
            kind: VoteKind::Prepare,
            epoch: Epoch::ZERO,
            view: View(view),
            height: Height(1),
            digest: Hash([digest; 32]),
        }
    }

    #[test]
    fn a_certificate_appears_with_the_vote_that_completes_the_quorum() {
        // W = 10, f = 3, quorum 7.
        let mut fixture = Fixture::new(&[3, 3, 2, 1, 1]);
        for (index, is_enough) in [(0, false), (1, false), (3, true), (2, true)] {
            assert_eq!(fixture.count(index, 0, 1), Counted::New);
            let (certificate, forgers) = fixture.certificate(0, 1);
            assert_eq!((certificate.is_some(), forgers), (is_enough, vec![]), "{index}");
        }
        let (certificate, _) = fixture.certificate(0, 1);
        assert_eq!(certificate.unwrap().verify(&fixture.set, &fixture.domain), Ok(()));
        assert_eq!(fixture.certificate(0, 2), (None, vec![]));
        assert_eq!(fixture.certificate(1, 1), (None, vec![]));
    }

    #[test]
    fn a_repeated_vote_is_known_and_its_weight_counts_once() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        assert_eq!(fixture.count(0, 0, 1), Counted::New);
        for _ in 0..5 {
            assert_eq!(fixture.count(0, 0, 1), Counted::Known);
        }
        assert_eq!(fixture.count(1, 0, 1), Counted::New);
        assert_eq!(fixture.certificate(0, 1).0, None);
        assert_eq!(fixture.tally.len(), 2);
    }

    #[test]
    fn forged_votes_are_dropped_when_they_would_decide_and_may_be_replaced() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        fixture.count(0, 0, 1);
        fixture.count(1, 0, 1);
        assert_eq!(fixture.count_forged(2, 0, 1), Counted::New, "not worth a check yet");
        let forger = fixture.keys[2].validator_id();
        assert_eq!(fixture.certificate(0, 1), (None, vec![forger]));
        assert_eq!(fixture.count(2, 0, 1), Counted::New);
        assert!(fixture.certificate(0, 1).0.is_some());
    }

    #[test]
    fn a_forged_vote_does_not_keep_out_the_right_one_for_the_same_digest() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        fixture.count_forged(2, 0, 1);
        assert_eq!(fixture.count(2, 0, 1), Counted::Known);
        fixture.count(0, 0, 1);
        fixture.count(1, 0, 1);
        let (certificate, forgers) = fixture.certificate(0, 1);
        assert_eq!((certificate.map(|found| found.signatures.len()), forgers), (Some(3), vec![]));
    }

    #[test]
    fn contradictions_need_two_valid_signatures() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        fixture.count(0, 0, 1);
        assert_eq!(fixture.count_forged(0, 0, 2), Counted::Forged);
        let (first, second) = (Box::new(fixture.vote(0, 0, 1)), Box::new(fixture.vote(0, 0, 2)));
        assert_eq!(fixture.count(0, 0, 2), Counted::Contradiction { first, second });
        fixture.count_forged(1, 0, 1);
        assert_eq!(fixture.count(1, 0, 2), Counted::New, "the first one was nobody's");
        assert_eq!(fixture.certificate(0, 1).0, None);
    }

    #[test]
    fn only_the_newest_views_of_a_voter_are_held_and_forgotten_ones_leave_nothing() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        for view in 10..200 {
            fixture.count(0, view, 1);
        }
        assert_eq!(fixture.tally.len(), VIEWS_PER_VOTER);
        assert_eq!(fixture.tally.rounds.len(), VIEWS_PER_VOTER);
        assert_eq!(fixture.count(0, 5, 1), Counted::Known, "too old to matter");
        assert_eq!(fixture.tally.rounds.len(), VIEWS_PER_VOTER);
    }

    #[test]
    fn settled_rounds_decide_nothing_and_are_forgotten_in_the_end() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        for height in 1..=5 {
            let content = VoteContent { height: Height(height), ..content(0, 1) };
            let vote = Vote::sign(content, &fixture.keys[0], &fixture.domain);
            fixture.tally.count(&vote, 0, false, &fixture.domain);
        }
        fixture.tally.settle(Height(3), Height(1));
        assert_eq!((fixture.tally.len(), fixture.tally.rounds.len(), fixture.tally.views.len()), (4, 2, 2));
        fixture.tally.settle(Height(5), Height(5));
        assert_eq!((fixture.tally.len(), fixture.tally.views.len()), (0, 0));
    }

    #[test]
    fn a_vote_is_compared_with_open_and_settled_ones_and_counts_for_nothing() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        fixture.count(0, 0, 1);
        let (first, second) = (fixture.vote(0, 0, 1), fixture.vote(0, 0, 2));
        let forged = Vote { signature: Signature([1; 64]), ..second.clone() };
        for _ in 0..2 {
            let domain = fixture.domain.clone();
            let mut compare = |vote: &Vote, index| fixture.tally.compare(vote, index, &domain);
            assert_eq!(compare(&first, 0), Compared::Alone);
            assert_eq!(compare(&second, 1), Compared::Alone, "nothing is held of that member");
            assert_eq!(compare(&forged, 0), Compared::Forged);
            let (first, second) = (Box::new(first.clone()), Box::new(second.clone()));
            assert_eq!(compare(&second.clone(), 0), Compared::Contradiction { first, second });
            assert_eq!(fixture.tally.len(), 1);
            fixture.tally.settle(Height(1), Height::ZERO);
        }
        fixture.tally.settle(Height(1), Height(1));
        assert_eq!(fixture.tally.compare(&second, 0, &fixture.domain), Compared::Alone);
    }

    #[test]
    fn a_forged_vote_that_is_held_convicts_nobody() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        fixture.count_forged(0, 0, 1);
        let right = fixture.vote(0, 0, 2);
        assert_eq!(fixture.tally.compare(&right, 0, &fixture.domain), Compared::Alone);
    }

    #[test]
    fn candidates_are_rounds_whose_votes_might_decide() {
        let mut fixture = Fixture::new(&[1, 1, 1, 1]);
        for index in 0..3 {
            fixture.count(index, 4, 1);
        }
        fixture.count(0, 5, 2);
        let candidates = |kind| fixture.tally.candidates(Height(1), kind, &fixture.set);
        assert_eq!(candidates(VoteKind::Prepare), [(View(4), Hash([1; 32]))]);
        assert_eq!(candidates(VoteKind::Commit), []);
    }
}
