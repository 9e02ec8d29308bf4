//! What peers offer, and in which order it is tried.
//!
//! An offer is a claim that costs nothing. So what many offer comes before what few do, each peer's word is taken for one
//! offer in an attempt, and what came to nothing before is tried last. However many false offers there are, an attempt
//! reaches every peer that was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aegis_types::ValidatorId;

use crate::node::snapshot::question::Offer;

/// Snapshots remembered for having come too slowly; each took a minute to find out.
const SLOW_MAX: usize = 64;
/// Failures remembered: some hundred attempts' worth. More would only push back peers that have long been mended.
const FAILED_MAX: usize = 1_024;
/// How long a failure counts against a peer and an offer: a peer that was restarted meanwhile is asked as before.
const FAILED_FOR: Duration = Duration::from_secs(600);
/// Offers that a peer may take back, as a snapshot may be retired between offer and question; a correct node retires one in
/// many minutes. It may take back so many more after each that it kept.
const TAKEN_BACK_MAX: u32 = 1;
/// Peers whose offers taken back are counted.
const TAKERS_BACK_MAX: usize = 1_024;

/// A snapshot and who offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which snapshot.
    pub offer: Offer,
    /// Who offers it, in the order in which they are asked; each once.
    pub peers: Vec<ValidatorId>,
}

/// What earlier attempts have shown.
#[derive(Debug, Default)]
pub struct Experience {
    slow: BTreeSet<Offer>,
    failed: BTreeMap<(ValidatorId, Offer), Instant>,
    taken_back: BTreeMap<ValidatorId, u32>,
}

impl Experience {
    /// The candidates in the order in which they are tried: what came too slowly before last, then what failed with all
    /// who offer it; those begun first, then by how many peers offer them, then by height.
    ///
    /// `offers` stand in an order that nobody else can foresee.
    pub fn order(&self, offers: Vec<(ValidatorId, Offer)>, begun: &[Offer]) -> Vec<Candidate> {
        let mut found: BTreeMap<Offer, Vec<ValidatorId>> = BTreeMap::new();
        for (peer, offer) in offers {
            let peers = found.entry(offer).or_default();
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        let mut ranked: Vec<_> = found
            .into_iter()
            .map(|(offer, mut peers)| {
                peers.sort_by_key(|peer| self.has_failed(peer, &offer));
                let trusted = peers.iter().filter(|peer| !self.has_failed(peer, &offer)).count();
                let rank = (
                    self.slow.contains(&offer),
                    trusted == 0,
                    !begun.contains(&offer),
                    std::cmp::Reverse(trusted),
                    std::cmp::Reverse(offer.height),
                );
                (rank, Candidate { offer, peers })
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Notes that an offer came too slowly, whoever sent it.
    pub fn note_slow(&mut self, offer: Offer) {
        if self.slow.len() >= SLOW_MAX {
            self.slow.clear();
        }
        self.slow.insert(offer);
    }

    /// Notes that a peer's offer came to nothing.
    pub fn note_failed(&mut self, peer: ValidatorId, offer: Offer) {
        if self.failed.len() >= FAILED_MAX {
            self.failed.retain(|_, at| at.elapsed() < FAILED_FOR);
            let oldest = self.failed.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key);
            if let Some(oldest) = oldest.filter(|_| self.failed.len() >= FAILED_MAX) {
                self.failed.remove(&oldest);
            }
        }
        self.failed.insert((peer, offer), Instant::now());
    }

    /// Notes that a peer does not have what it has just offered; whether that is more than chance explains.
    pub fn note_taken_back(&mut self, peer: ValidatorId) -> bool {
        if self.taken_back.len() >= TAKERS_BACK_MAX && !self.taken_back.contains_key(&peer) {
            self.taken_back.pop_first();
        }
        let count = self.taken_back.entry(peer).or_default();
        *count = count.saturating_add(1);
        *count > TAKEN_BACK_MAX
    }

    /// Notes that a peer had what it offered.
    pub fn note_kept(&mut self, peer: &ValidatorId) {
        self.taken_back.remove(peer);
    }

    fn has_failed(&self, peer: &ValidatorId, offer: &Offer) -> bool {
        self.failed.get(&(*peer, *offer)).is_some_and(|at| at.elapsed() < FAILED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Hash, Height};

    use super::*;

    fn peer(number: u8) -> ValidatorId {
        ValidatorId([number; 32])
    }

    fn offer(height: u64, root: u8) -> Offer {
        Offer { height: Height(height), root: Hash([root; 32]), level: 2 }
    }

    fn order(experience: &Experience, offers: &[(u8, Offer)], begun: &[Offer]) -> Vec<Offer> {
        let offers = offers.iter().map(|(number, offer)| (peer(*number), *offer)).collect();
        experience.order(offers, begun).into_iter().map(|candidate| candidate.offer).collect()
    }

    #[test]
    fn what_many_offer_comes_before_whatever_one_offers_however_high_and_often() {
        let experience = Experience::default();
        let (good, older) = (offer(90, 1), offer(80, 2));
        let mut offers = vec![(1, older), (2, good), (3, good), (3, older)];
        offers.extend((0..16).map(|number| (9, offer(1_000 + u64::from(number), number))));
        offers.extend([(9, offer(2_000, 7)); 16]);
        let order = order(&experience, &offers, &[]);
        assert_eq!(order[..2], [good, older]);
        assert_eq!(order[2], offer(2_000, 7), "then by height");
        assert_eq!(order.len(), 19);
    }

    #[test]
    fn two_levels_of_one_state_are_two_snapshots() {
        let (fine, coarse) = (offer(90, 1), Offer { level: 0, ..offer(90, 1) });
        let offers = [(1, coarse), (2, fine), (3, fine)];
        assert_eq!(order(&Experience::default(), &offers, &[]), [fine, coarse]);
        assert_eq!(order(&Experience::default(), &offers, &[coarse]), [coarse, fine], "it was begun");
    }

    #[test]
    fn what_failed_before_comes_last_and_what_came_too_slowly_after_that() {
        let mut experience = Experience::default();
        let (slow, failed, good) = (offer(90, 1), offer(80, 2), offer(70, 3));
        experience.note_slow(slow);
        experience.note_failed(peer(2), failed);
        let offers = [(1, slow), (4, slow), (2, failed), (3, good)];
        assert_eq!(order(&experience, &offers, &[slow, failed]), [good, failed, slow]);
        let again = [(2, failed), (5, failed), (3, good)].map(|(number, offer)| (peer(number), offer));
        let candidates = experience.order(again.to_vec(), &[]);
        assert_eq!(candidates[0].peers, [peer(5), peer(2)], "another peer's word for it is as good as any");
    }

    #[test]
    fn failures_are_remembered_within_bounds() {
        let mut experience = Experience::default();
        (0..2 * FAILED_MAX as u64).for_each(|height| experience.note_failed(peer(1), offer(height, 1)));
        assert_eq!(experience.failed.len(), FAILED_MAX);
        assert!(experience.has_failed(&peer(1), &offer(2 * FAILED_MAX as u64 - 1, 1)));
        (0..2 * SLOW_MAX as u64).for_each(|height| experience.note_slow(offer(height, 1)));
        assert!(experience.slow.len() <= SLOW_MAX);
    }

    #[test]
    fn an_offer_may_be_taken_back_once() {
        let mut experience = Experience::default();
        assert!(!experience.note_taken_back(peer(1)), "it may have been retired meanwhile");
        assert!(experience.note_taken_back(peer(1)));
        assert!(!experience.note_taken_back(peer(2)));
        experience.note_kept(&peer(1));
        assert!(!experience.note_taken_back(peer(1)));
    }
}
