//! Participation: at which share of heights a member's vote stood in the commit certificates of the others.
//!
//! The certificate that a node keeps of a block is its own choice among the votes, so no certificate is agreed. Instead a
//! few heights of each epoch are drawn when nobody can choose any more whether to vote there, and each reporter says
//! whose Commits it received at them and shows its own Commit. `P_ij` is the share of the heights that `i` speaks of at
//! which it names `j` and `j` has shown its Commit; `P_j` is the weighted lower median of it over reporters.
//! - **Presence cannot be faked** for a member that reports: only it can make the Commit that counts.
//! - **A report that is missing is no absence.** Its maker may have been kept from showing its Commits: who orders blocks
//!   decides what is ordered in the short time for reports. Of a member without a report nothing is known to be hidden, so
//!   the others' word counts alone: it gets what reporters of half of the reporting weight name, and one that speaks of
//!   no height names nobody. The faulty hold less than half of what a quorum reports, so they cannot give it
//!   presence, nor take it away while correct reporters hold certificates; a member that is down is named by nobody.
//! - **Omission by a minority changes nothing**: while liars hold less than half of the reporting weight, `P_j` lies
//!   between what two honest reporters saw.
//! - **A node that was away says nothing**, rather than that everybody else was: it speaks of the heights only whose
//!   certificate it holds.
//!
//! # Why not whole certificates
//! With all signatures in each report, ten heights would be all that fits, and a hundred members would put 7 MB and 100,000
//! signature checks into an epoch. For nothing: a liar can copy what others have shown, so a signature proves that
//! a member voted, never when it reached whom. Each vote is shown once, by the member that cast it; a certificate is a
//! bit per member.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{Height, MemberBits, Weight};

use crate::median::weighted_lower_median;
use crate::micro::Micro;

/// Heights that the sample is drawn from: the last of the epoch. Older ones say little of a member today.
pub const PARTICIPATION_HEIGHTS: u64 = 1_000;

/// A member without participation at this many last heights of the sample is recently absent and does not lead. Few,
/// since an absent leader costs a view timeout; not so few that a restart decides it.
pub const ABSENCE_HEIGHTS: usize = 8;

/// What one reporter says and shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Witness {
    /// Its position in the validator set.
    pub position: usize,
    /// Its weight.
    pub weight: Weight,
    /// Whose Commits it received, at each sampled height whose certificate it holds.
    pub received: BTreeMap<Height, MemberBits>,
    /// The sampled heights at which it showed its own Commit.
    pub shown: BTreeSet<Height>,
}

/// What all reporters of an epoch say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Participation {
    witnesses: Vec<Witness>,
    shown: BTreeMap<usize, BTreeSet<Height>>,
}

impl Participation {
    /// Takes the reporters' words; of two with one position the last one's shown votes count. One without weight and
    /// words stands for a report that does not count: its maker had its turn and has shown nothing.
    pub fn new(witnesses: Vec<Witness>) -> Self {
        let shown = witnesses.iter().map(|witness| (witness.position, witness.shown.clone())).collect();
        Self { witnesses, shown }
    }

    /// `P_j` of the member at a position over these heights; 0 when nobody speaks of any.
    pub fn share(&self, position: usize, heights: &[Height]) -> Micro {
        let is_silent = !self.shown.contains_key(&position);
        let shares = self.witnesses.iter().filter_map(|witness| {
            let spoken_of = heights.iter().filter_map(|height| Some((height, witness.received.get(height)?)));
            let (named, all) = spoken_of.fold((0_u128, 0_u128), |(named, all), (height, voters)| {
                let counts = voters.contains(position) && self.has_shown(position, height);
                (named.saturating_add(u128::from(counts)), all.saturating_add(1))
            });
            (all > 0 || is_silent).then(|| (Micro::of(named, all.max(1)), witness.weight))
        });
        weighted_lower_median(shares).unwrap_or_default()
    }

    /// Whether the member at a position took no part in the last [`ABSENCE_HEIGHTS`] heights of a sample, which is in
    /// ascending order. Nobody is absent while nothing is sampled.
    pub fn is_recently_absent(&self, position: usize, sample: &[Height]) -> bool {
        let last = sample.len().saturating_sub(ABSENCE_HEIGHTS);
        let last = sample.get(last..).unwrap_or_default();
        !last.is_empty() && self.share(position, last) == Micro::ZERO
    }

    /// Whether nothing speaks against a vote: its member showed it, or was not heard at all.
    fn has_shown(&self, position: usize, height: &Height) -> bool {
        self.shown.get(&position).is_none_or(|shown| shown.contains(height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: [Height; 4] = [Height(10), Height(20), Height(30), Height(40)];

    /// Four reporters of equal weight; `received` says whether a reporter names a member at a height, by index.
    fn four(received: impl Fn(usize, usize, usize) -> bool) -> Vec<Witness> {
        let heights = || SAMPLE.into_iter().enumerate();
        (0..4)
            .map(|reporter| Witness {
                position: reporter,
                weight: Weight(1),
                received: heights()
                    .map(|(index, height)| {
                        (height, (0..4).filter(|member| received(reporter, *member, index)).collect())
                    })
                    .collect(),
                shown: SAMPLE.into(),
            })
            .collect()
    }

    fn shares(witnesses: Vec<Witness>) -> Vec<u32> {
        let participation = Participation::new(witnesses);
        (0..4).map(|position| participation.share(position, &SAMPLE).get()).collect()
    }

    #[test]
    fn one_reporter_of_four_takes_nothing_away_and_gives_nothing() {
        assert_eq!(shares(four(|reporter, member, _| reporter != 3 || member == 3)), [1_000_000; 4]);
        let flattered = four(|reporter, member, index| member != 2 || reporter == 3 || index < 1);
        assert_eq!(shares(flattered)[2], 250_000);
    }

    #[test]
    fn a_vote_that_its_member_does_not_show_counts_nowhere() {
        let mut witnesses = four(|_, _, _| true);
        witnesses[1].shown.remove(&SAMPLE[0]);
        assert_eq!(shares(witnesses.clone()), [1_000_000, 750_000, 1_000_000, 1_000_000]);
        witnesses[1].shown.clear();
        assert_eq!(shares(witnesses), [1_000_000, 0, 1_000_000, 1_000_000]);
    }

    #[test]
    fn without_its_report_a_member_has_what_half_of_the_reporting_weight_names() {
        let without = |mut witnesses: Vec<Witness>| {
            witnesses.remove(1);
            witnesses
        };
        assert_eq!(shares(without(four(|_, _, _| true)))[1], 1_000_000, "kept from reporting");
        let down = without(four(|reporter, member, _| member != 1 || reporter == 3));
        assert_eq!(shares(down)[1], 0, "one of three makes nobody present");
        let omitted = without(four(|reporter, member, _| member != 1 || reporter != 3));
        assert_eq!(shares(omitted)[1], 1_000_000, "nor absent");
        let mut away = without(four(|reporter, member, _| member != 1 || reporter == 3));
        away[0].received.clear();
        away[1].received.clear();
        assert_eq!(shares(away)[1], 0, "who speaks of nothing names nobody");
        let mut spoilt = without(four(|_, _, _| true));
        spoilt.push(Witness { position: 1, ..Witness::default() });
        assert_eq!(shares(spoilt), [1_000_000, 0, 1_000_000, 1_000_000], "a report that does not count");
    }

    #[test]
    fn who_was_away_speaks_of_what_it_holds_only() {
        let mut witnesses = four(|_, _, _| true);
        for witness in witnesses.iter_mut().take(3) {
            witness.received.retain(|height, _| *height == SAMPLE[3]);
        }
        assert_eq!(shares(witnesses.clone()), [1_000_000; 4]);
        for witness in &mut witnesses {
            witness.received.clear();
        }
        assert_eq!(shares(witnesses), [0; 4]);
    }

    #[test]
    fn the_heavier_half_of_the_reporters_decides() {
        let mut witnesses = four(|reporter, member, _| member != 0 || reporter < 2);
        assert_eq!(shares(witnesses.clone())[0], 0, "half of the weight saw nothing: the lower median");
        witnesses[1].weight = Weight(2);
        assert_eq!(shares(witnesses)[0], 1_000_000);
    }

    #[test]
    fn absence_looks_at_the_end_of_the_sample() {
        let sample: Vec<Height> = (1..=20).map(Height).collect();
        let witness = |until: u64| Witness {
            position: 0,
            weight: Weight(1),
            received: sample
                .iter()
                .map(|height| (*height, (0..1).filter(|_| height.0 <= until).collect()))
                .collect(),
            shown: sample.iter().copied().collect(),
        };
        assert!(Participation::new(vec![witness(12)]).is_recently_absent(0, &sample));
        assert!(!Participation::new(vec![witness(13)]).is_recently_absent(0, &sample));
        assert!(!Participation::default().is_recently_absent(0, &[]));
    }
}
