//! Participation: how often a member's vote stands in agreed commit certificates.
//!
//! `P_j` is the share of recent heights whose certificate contains `j`'s vote, taken for each proposer apart, then
//! the lower median over proposers: a proposer that leaves out votes of others moves only its own share, and fewer
//! than half of the proposers cannot move the median beyond an honest one's. Nobody reports anything, so there is
//! nothing to lie about.
//!
//! The certificates must be *extended* and agreed: all nodes must feed the same voters, votes beyond the quorum
//! included, or slow but correct members are never seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aegis_types::{Height, ValidatorId};

use crate::median::lower_median;
use crate::micro::Micro;

/// Heights that participation looks back on. Shorter windows turn single lost packets into lost eligibility.
pub const PARTICIPATION_HEIGHTS: usize = 1_000;

/// A member in none of this many last certificates is recently absent and is skipped as a leader. Short, since an
/// absent leader costs a view timeout; not so short that one slow proposer's certificates decide it.
pub const ABSENCE_HEIGHTS: usize = 20;

/// One agreed commit certificate, as far as participation needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRecord {
    /// The block's height.
    pub height: Height,
    /// Who proposed the block.
    pub proposer: ValidatorId,
    /// Whose votes the certificate contains.
    pub voters: BTreeSet<ValidatorId>,
}

/// The certificates of the last [`PARTICIPATION_HEIGHTS`] heights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParticipationWindow {
    records: VecDeque<CertificateRecord>,
}

impl ParticipationWindow {
    /// Adds the certificate of the next height and forgets the oldest beyond the window. A height that does not rise
    /// is ignored.
    pub fn push(&mut self, record: CertificateRecord) {
        if self.records.back().is_some_and(|last| last.height >= record.height) {
            return;
        }
        if self.records.len() >= PARTICIPATION_HEIGHTS {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The certificates in the window, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &CertificateRecord> {
        self.records.iter()
    }

    /// `P_j` over the heights from `since` on, the first at which the validator could vote; 0 when there are none.
    pub fn share(&self, validator: &ValidatorId, since: Height) -> Micro {
        let mut by_proposer: BTreeMap<ValidatorId, (u128, u128)> = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.height >= since) {
            let (voted, all) = by_proposer.entry(record.proposer).or_default();
            *voted = voted.saturating_add(u128::from(record.voters.contains(validator)));
            *all = all.saturating_add(1);
        }
        let shares = by_proposer.into_values().map(|(voted, all)| Micro::of(voted, all));
        lower_median(shares).unwrap_or_default()
    }

    /// Whether none of the last [`ABSENCE_HEIGHTS`] certificates has the validator's vote. Nobody is absent before
    /// there are that many.
    pub fn is_recently_absent(&self, validator: &ValidatorId) -> bool {
        self.records.len() >= ABSENCE_HEIGHTS
            && !self
                .records
                .iter()
                .rev()
                .take(ABSENCE_HEIGHTS)
                .any(|record| record.voters.contains(validator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ValidatorId {
        ValidatorId([byte; 32])
    }

    fn window(heights: u64, voters: impl Fn(u64, u8) -> Vec<u8>) -> ParticipationWindow {
        let mut window = ParticipationWindow::default();
        for height in 1..=heights {
            let proposer = u8::try_from(height % 4).unwrap();
            let voters = voters(height, proposer).into_iter().map(id).collect();
            window.push(CertificateRecord { height: Height(height), proposer: id(proposer), voters });
        }
        window
    }

    #[test]
    fn one_censoring_proposer_of_four_takes_nothing_away() {
        let window = window(400, |_, proposer| if proposer == 3 { vec![0, 1, 3] } else { vec![0, 1, 2, 3] });
        assert_eq!(window.share(&id(2), Height(0)), Micro::ONE);
    }

    #[test]
    fn one_flattering_proposer_of_four_gives_nothing() {
        let window = window(400, |_, proposer| if proposer == 3 { vec![0, 1, 2, 3] } else { vec![0, 1, 3] });
        assert_eq!(window.share(&id(2), Height(0)), Micro::ZERO);
    }

    #[test]
    fn heights_before_a_member_joined_do_not_count_against_it() {
        let window = window(400, |height, _| if height > 200 { vec![0, 1, 2, 3] } else { vec![0, 1, 3] });
        assert_eq!(window.share(&id(2), Height(0)).get(), 500_000);
        assert_eq!(window.share(&id(2), Height(201)), Micro::ONE);
        assert_eq!(window.share(&id(2), Height(401)), Micro::ZERO);
    }

    #[test]
    fn the_window_is_bounded_and_the_absent_are_seen_after_twenty_heights() {
        let window =
            window(1_500, |height, _| if height <= 1_480 { vec![0, 1, 2, 3] } else { vec![0, 1, 3] });
        assert_eq!(window.records().count(), PARTICIPATION_HEIGHTS);
        assert!(window.is_recently_absent(&id(2)));
        assert!(!window.is_recently_absent(&id(1)));
        assert!(!ParticipationWindow::default().is_recently_absent(&id(2)));
    }

    #[test]
    fn a_height_counts_once() {
        let mut window = window(4, |_, _| vec![0]);
        window.push(CertificateRecord { height: Height(4), proposer: id(0), voters: BTreeSet::new() });
        assert_eq!(window.records().count(), 4);
    }
}
