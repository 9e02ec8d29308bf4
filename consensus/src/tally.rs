//! Votes by height, view and kind, verified only when their weight would decide something.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{
    Certificate, Domain, Hash, Height, Signature, ValidatorId, ValidatorSet, View, Vote, VoteContent,
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

type Round = (Height, View, VoteKind);

/// All votes of an epoch that may still matter. One vote counts per validator and round, whatever it sends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    rounds: BTreeMap<Round, VoteSet>,
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
        if weight_of(round, content.digest, set) < set.quorum() {
            return (None, Vec::new());
        }
        let forgers = verify(round, content, set, domain);
        if weight_of(round, content.digest, set) < set.quorum() {
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
            if *round_kind != kind {
                continue;
            }
            let digests: BTreeSet<Hash> = round.votes.values().map(|entry| entry.digest).collect();
            for digest in digests {
                if weight_of(round, digest, set) >= set.quorum() {
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

    /// Forgets everything up to a height.
    pub(crate) fn prune(&mut self, height: Height) {
        self.rounds = self.rounds.split_off(&(height.next(), View::ZERO, VoteKind::Prepare));
        self.views = self.views.split_off(&(height.next(), VoteKind::Prepare, 0));
    }

    /// Number of votes held.
    pub(crate) fn len(&self) -> usize {
        self.rounds.values().map(|round| round.votes.len()).sum()
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
    let content = VoteContent { digest: known.digest, ..vote.content };
    let first = Vote { content, validator: vote.validator, signature: known.signature };
    if known.verified || first.verify(domain) {
        known.verified = true;
        return Counted::Contradiction { first: Box::new(first), second: Box::new(vote.clone()) };
    }
    *known = Entry { verified: true, ..entry };
    Counted::New
}

fn weight_of(round: &VoteSet, digest: Hash, set: &ValidatorSet) -> Weight {
    round
        .votes
        .iter()
        .filter(|(_, entry)| entry.digest == digest)
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
