//! The mutual observation matrix: what every member says about every other, and how the sayings check each other.
//!
//! `M[i][j]` is the round-trip time to `j` that `i` reports, in microseconds. The *sanitised* entry is
//! `M*[i][j] = max(M[i][j], M[j][i])`, 10 s where one is missing. (AWARE, Berger et al., TDSC 2020, does the same.)
//! - An entry between two correct members depends on their own two rows only.
//! - A liar can only raise an entry that it shares with a correct member: the honest value is a floor.
//! - A liar can lower entries among liars alone.
//! - Hence, `T0` given, no coherence moves by more than the liars' share of the weight: each entry's kernel lies in 0
//!   to 1 and enters with the weight share of the partner. A slanderer pays as well, since the raised entry stands in
//!   its own row too.
//! - `T0` itself is a median of pairs, and of those with a liar in them there are many: with a share `s` of liars
//!   among the members, about `1 - (1 - s)^2`. From three members in ten on (one of four, two of seven) that is half of
//!   them, and liars can then move `T0`: upwards by slander, to 10 s. All coherences rise towards 1 then, as differences
//!   shrink with the square of `T0`: at 10 s a round trip of 100 ms costs a ten-thousandth. What the level ranks
//!   by is then the other terms, which are each member's own word: placement no longer counts in that epoch, and liars
//!   choose their own rank. The cap, and so safety, does not depend on it.
//! - Who has no row (it is down, joins, or its report was not ordered) has no say in `T0`: its pairs would be 10 s each, and a
//!   third of members without rows is more than half of the pairs.
//!
//! A row *contradicts* its partners when it differs from theirs by more than 20 ms and more than a quarter, for
//! partners of more than a third of the weight: for a correct member that takes more lying weight than there can be.
//! Flags lower whom they hit, and raise nobody.
//!
//! # Coherence
//! `R_j = 1 - sum_i w_i x_ij^2 / W` with `x_ij = min(1, M*[i][j] / T0)` and `T0` the upper median of pairs: the
//! Kuramoto order parameter of the arrival phases of votes, with the cosine replaced by the parabola of the same
//! ends, so that no table is needed. 1: in phase with all weight; 0: half a period late for all. All in integers: `x`
//! in 1,024ths, `R` in millionths.

use aegis_types::Weight;

use crate::error::MetricsError;
use crate::micro::Micro;
use crate::weights::thresholds::Thresholds;

/// What stands for a round-trip time that nobody measured, and the largest that counts: 10 s. AWARE's
/// `MISSING_VALUE`.
pub const MISSING_RTT_US: u32 = 10_000_000;

/// Differences up to this are noise of queues and schedulers, not contradictions: 20 ms.
const TOLERATED_DIFFERENCE_US: u32 = 20_000;

/// Differences up to this fraction (1 in 4) of the larger value are tolerated as well: routes are not symmetric.
const TOLERATED_FRACTION: u32 = 4;

/// `x = 1` in the fixed point of the kernel: 1,024ths, so that a square fits 20 bits.
const PHASE_ONE: u64 = 1_024;
const PHASE_BITS: u32 = 20;

/// The rows that members reported, by position in the members' order. Rows may be hostile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservationMatrix {
    size: usize,
    rows: Vec<Option<Vec<u32>>>,
}

impl ObservationMatrix {
    /// A matrix of one row per member; a member that did not report has none.
    ///
    /// # Errors
    /// `BadRow` when a row's length is not the number of members.
    pub fn new(rows: Vec<Option<Vec<u32>>>) -> Result<Self, MetricsError> {
        let size = rows.len();
        match rows.iter().flatten().find(|row| row.len() != size) {
            Some(row) => Err(MetricsError::BadRow { expected: size, actual: row.len() }),
            None => Ok(Self { size, rows }),
        }
    }

    /// Number of members.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the member at `position` reported.
    pub fn has_row(&self, position: usize) -> bool {
        self.rows.get(position).is_some_and(Option::is_some)
    }

    /// What `observer` reports about `subject`, at most [`MISSING_RTT_US`]; that where it says nothing; 0 about
    /// itself.
    pub fn reported(&self, observer: usize, subject: usize) -> u32 {
        if observer == subject {
            return 0;
        }
        let row = self.rows.get(observer).and_then(Option::as_ref);
        row.and_then(|row| row.get(subject)).map_or(MISSING_RTT_US, |rtt| (*rtt).min(MISSING_RTT_US))
    }

    /// The larger of what two members say about each other.
    pub fn sanitised(&self, a: usize, b: usize) -> u32 {
        self.reported(a, b).max(self.reported(b, a))
    }

    /// `T0`: the upper median of the sanitised entries of all pairs of members that both have a row, at least 1; 1 when
    /// there is no such pair.
    pub fn median_rtt_us(&self) -> u32 {
        let reporting: Vec<usize> = (0..self.size).filter(|member| self.has_row(*member)).collect();
        let mut pairs: Vec<u32> = reporting
            .iter()
            .enumerate()
            .flat_map(|(index, a)| reporting.iter().skip(index.saturating_add(1)).map(move |b| (*a, *b)))
            .map(|(a, b)| self.sanitised(a, b))
            .collect();
        pairs.sort_unstable();
        pairs.get(pairs.len() / 2).copied().unwrap_or(1).max(1)
    }

    /// `R_j` of every member under `weights`, which are in the same order. All 0 when the weights have no sum.
    pub fn coherence(&self, weights: &[Weight]) -> Vec<Micro> {
        let period = u64::from(self.median_rtt_us());
        let total: u128 = weights.iter().map(|weight| u128::from(weight.0)).sum();
        let scale = total.saturating_mul(1 << PHASE_BITS);
        (0..self.size)
            .map(|subject| {
                let spread = weights.iter().enumerate().fold(0_u128, |sum, (observer, weight)| {
                    let rtt = u64::from(self.sanitised(observer, subject));
                    let x = rtt.saturating_mul(PHASE_ONE).checked_div(period).unwrap_or(PHASE_ONE);
                    let x = u128::from(x.min(PHASE_ONE));
                    sum.saturating_add(u128::from(weight.0).saturating_mul(x).saturating_mul(x))
                });
                if total == 0 { Micro::ZERO } else { Micro::of(spread, scale).complement() }
            })
            .collect()
    }

    /// The members whose rows contradict those of partners of more than `f` in weight, in order of position.
    ///
    /// `weights` are in the order of the rows. Partners that did not report say nothing against anybody.
    pub fn contradicting(&self, weights: &[Weight]) -> Vec<usize> {
        let thresholds = Thresholds::of(weights);
        let contradicted = |observer: usize| {
            let partners = weights.iter().enumerate();
            partners
                .filter(|(partner, _)| *partner != observer && self.has_row(*partner))
                .filter(|(partner, _)| {
                    contradict(self.reported(observer, *partner), self.reported(*partner, observer))
                })
                .fold(Weight::ZERO, |sum, (_, weight)| sum.plus(*weight))
        };
        (0..self.size)
            .filter(|observer| self.has_row(*observer) && contradicted(*observer) > thresholds.may_fail)
            .collect()
    }
}

fn contradict(a: u32, b: u32) -> bool {
    let tolerated = TOLERATED_DIFFERENCE_US.max(a.max(b) / TOLERATED_FRACTION);
    a.abs_diff(b) > tolerated
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrix(rows: &[&[u32]]) -> ObservationMatrix {
        ObservationMatrix::new(rows.iter().map(|row| Some(row.to_vec())).collect()).unwrap()
    }

    #[test]
    fn the_worked_example_of_four_regions() {
        let matrix = matrix(&[
            &[0, 70_000, 14_000, 110_000],
            &[68_000, 0, 60_000, 170_000],
            &[15_000, 58_000, 0, 125_000],
            &[112_000, 175_000, 120_000, 0],
        ]);
        assert_eq!(matrix.median_rtt_us(), 112_000);
        let coherence = matrix.coherence(&[Weight(1_000); 4]);
        assert_eq!(
            coherence.iter().map(|share| share.get()).collect::<Vec<_>>(),
            [647_869, 580_746, 673_928, 250_000]
        );
    }

    #[test]
    fn the_larger_report_counts_and_silence_counts_as_ten_seconds() {
        let rows = vec![Some(vec![0, 5, 7]), Some(vec![9, 0, 3]), None];
        let matrix = ObservationMatrix::new(rows).unwrap();
        assert_eq!(matrix.sanitised(0, 1), 9);
        assert_eq!(matrix.sanitised(1, 0), 9);
        assert_eq!(matrix.sanitised(0, 2), MISSING_RTT_US);
        assert_eq!(matrix.reported(0, 0), 0);
        assert_eq!(
            ObservationMatrix::new(vec![Some(vec![0, 1])]).unwrap_err(),
            MetricsError::BadRow { expected: 1, actual: 2 }
        );
    }

    #[test]
    fn members_without_rows_do_not_move_the_period() {
        let row = |own: usize| -> Vec<u32> {
            (0..7)
                .map(|other| match other {
                    _ if other == own => 0,
                    5 | 6 => MISSING_RTT_US,
                    _ => 40_000,
                })
                .collect()
        };
        let rows: Vec<_> = (0..7).map(|member| (member < 5).then(|| row(member))).collect();
        let matrix = ObservationMatrix::new(rows).unwrap();
        // Eleven of the 21 pairs have one of the two silent members in them.
        assert_eq!(matrix.median_rtt_us(), 40_000);
        let coherence = matrix.coherence(&[Weight(1_000); 7]);
        // A distance of T0 from six of seven in weight leaves a seventh; nobody measured the silent.
        assert!(coherence[..5].iter().all(|share| share.get() == 142_858), "{coherence:?}");
        assert!(coherence[5..].iter().all(|share| share.get() == 142_858), "{coherence:?}");
        let alone = ObservationMatrix::new(vec![Some(vec![0, 7]), None]).unwrap();
        assert_eq!(alone.median_rtt_us(), 1);
    }

    #[test]
    fn one_slanderer_of_four_moves_the_period_and_no_more_than_the_period() {
        let mut rows = vec![vec![40_000; 4]; 4];
        rows[3] = vec![MISSING_RTT_US; 4];
        for (member, row) in rows.iter_mut().enumerate() {
            row[member] = 0;
        }
        let matrix = ObservationMatrix::new(rows.into_iter().map(Some).collect()).unwrap();
        assert_eq!(matrix.median_rtt_us(), MISSING_RTT_US);
        let coherence = matrix.coherence(&[Weight(1_000); 4]);
        assert!(coherence[..3].iter().all(|share| share.get() > 749_000), "{coherence:?}");
    }

    #[test]
    fn no_round_trips_and_no_members_are_answered_too() {
        let still = matrix(&[&[0, 0], &[0, 0]]);
        assert_eq!(still.coherence(&[Weight(1); 2]), [Micro::ONE; 2]);
        assert_eq!(still.coherence(&[Weight(0); 2]), [Micro::ZERO; 2]);
        assert!(ObservationMatrix::new(Vec::new()).unwrap().coherence(&[]).is_empty());
    }

    #[test]
    fn a_row_is_flagged_when_more_than_a_third_contradicts_it() {
        let honest = 50_000;
        let mut rows = vec![vec![honest; 4]; 4];
        rows[3] = vec![1_000; 4];
        let matrix = ObservationMatrix::new(rows.iter().cloned().map(Some).collect()).unwrap();
        assert_eq!(matrix.contradicting(&[Weight(1); 4]), [3]);
        // Differences within 20 ms, or within a quarter of a long way, are no contradiction.
        rows[3] = vec![31_000; 4];
        let matrix = ObservationMatrix::new(rows.iter().cloned().map(Some).collect()).unwrap();
        assert!(matrix.contradicting(&[Weight(1); 4]).is_empty());
    }

    #[test]
    fn two_slanderers_of_seven_flag_nobody_but_themselves() {
        let mut rows = vec![vec![40_000; 7]; 7];
        rows[5][0] = MISSING_RTT_US;
        rows[6][0] = MISSING_RTT_US;
        let matrix = ObservationMatrix::new(rows.into_iter().map(Some).collect()).unwrap();
        assert!(matrix.contradicting(&[Weight(1); 7]).is_empty());
    }

    proptest! {
        #[test]
        fn liars_move_nobodys_coherence_by_more_than_their_share_of_the_weight(
            true_rtt in prop::collection::vec(1..400_000_u32, 81),
            lies in prop::collection::vec(0..=MISSING_RTT_US, 18),
            weights in prop::collection::vec(1_000..16_000_u64, 9),
        ) {
            // Seven honest members agree on 100 ms, 21 of 36 pairs: the median stays there whatever the two others
            // say.
            let honest: Vec<Vec<u32>> = (0..9)
                .map(|a| (0..9).map(|b| if a < 7 && b < 7 { 100_000 } else { true_rtt[9 * a + b] }).collect())
                .collect();
            let mut lying = honest.clone();
            lying[7] = lies[..9].to_vec();
            lying[8] = lies[9..].to_vec();
            let weights: Vec<Weight> = weights.into_iter().map(Weight).collect();
            let before = ObservationMatrix::new(honest.into_iter().map(Some).collect()).unwrap();
            let after = ObservationMatrix::new(lying.into_iter().map(Some).collect()).unwrap();
            prop_assert_eq!(before.median_rtt_us(), after.median_rtt_us());
            let liars = u128::from(weights[7].0 + weights[8].0);
            let total: u64 = weights.iter().map(|weight| weight.0).sum();
            let bound = Micro::of(liars, u128::from(total)).get() + 1;
            for (a, b) in before.coherence(&weights).iter().zip(after.coherence(&weights)).take(7) {
                prop_assert!(a.get().abs_diff(b.get()) <= bound, "{a} {b} {bound}");
            }
        }

        #[test]
        fn coherence_does_not_depend_on_the_order_of_members(
            rtt in prop::collection::vec(0..400_000_u32, 25),
            weights in prop::collection::vec(1..16_000_u64, 5),
            order in Just(vec![0_usize, 1, 2, 3, 4]).prop_shuffle(),
        ) {
            let rows: Vec<Vec<u32>> = rtt.chunks(5).map(<[u32]>::to_vec).collect();
            let moved: Vec<Option<Vec<u32>>> =
                order.iter().map(|a| Some(order.iter().map(|b| rows[*a][*b]).collect())).collect();
            let weights: Vec<Weight> = weights.into_iter().map(Weight).collect();
            let moved_weights: Vec<Weight> = order.iter().map(|a| weights[*a]).collect();
            let plain = ObservationMatrix::new(rows.into_iter().map(Some).collect()).unwrap().coherence(&weights);
            let moved = ObservationMatrix::new(moved).unwrap().coherence(&moved_weights);
            for (position, from) in order.iter().enumerate() {
                prop_assert_eq!(moved[position], plain[*from]);
            }
        }
    }
}
