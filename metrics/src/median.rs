//! The weighted lower median, and what it withstands.
//!
//! Sorted by value and then by the order given, it is the first value at which half of the weight is reached.
//! - **Range.** While liars hold less than half of the reporting weight, it lies between two honest values: below it
//!   and above it stands half of the weight each, and neither half can be theirs alone. With reports of a quorum this
//!   holds, since the faulty weight is less than half of any quorum.
//! - **Place.** With a share `b` of liars it lies between the honest quantiles `(1/2 - b) / (1 - b)` and
//!   `(1/2) / (1 - b)`: a third of liars moves it to the quartiles of the honest at most.

use aegis_types::Weight;

/// The weighted lower median of `(value, weight)`; nothing when no weight is given.
///
/// Example: of `(3, 1)`, `(5, 1)`, `(9, 2)` it is 5, where half of the weight is first reached.
pub fn weighted_lower_median<T: Ord + Copy>(entries: impl IntoIterator<Item = (T, Weight)>) -> Option<T> {
    let mut entries: Vec<(T, Weight)> =
        entries.into_iter().filter(|(_, weight)| *weight > Weight::ZERO).collect();
    entries.sort_by_key(|(value, _)| *value);
    let total: u128 = entries.iter().map(|(_, weight)| u128::from(weight.0)).sum();
    let mut below = 0_u128;
    entries.into_iter().find_map(|(value, weight)| {
        below = below.saturating_add(u128::from(weight.0));
        (below.saturating_mul(2) >= total).then_some(value)
    })
}

/// The lower median of values that count alike.
pub fn lower_median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    weighted_lower_median(values.into_iter().map(|value| (value, Weight(1))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_of_the_weight_decides() {
        assert_eq!(weighted_lower_median([(3, Weight(1)), (5, Weight(1)), (9, Weight(2))]), Some(5));
        assert_eq!(weighted_lower_median([(9, Weight(3)), (3, Weight(1))]), Some(9));
        assert_eq!(lower_median([4, 1, 3, 2]), Some(2));
        assert_eq!(lower_median::<u32>([]), None);
        assert_eq!(weighted_lower_median([(1, Weight(0))]), None);
    }

    proptest! {
        #[test]
        fn less_than_half_of_lying_weight_never_leaves_the_honest_range(
            honest in prop::collection::vec((0..1_000_u32, 1..50_u64), 1..12),
            lies in prop::collection::vec((any::<u32>(), 1..50_u64), 0..12),
        ) {
            let weight = |entries: &[(u32, u64)]| entries.iter().map(|(_, weight)| weight).sum::<u64>();
            prop_assume!(weight(&lies) < weight(&honest));
            let all = honest.iter().chain(&lies).map(|(value, weight)| (*value, Weight(*weight)));
            let median = weighted_lower_median(all).unwrap();
            let values: Vec<u32> = honest.iter().map(|(value, _)| *value).collect();
            prop_assert!(values.iter().min().unwrap() <= &median && &median <= values.iter().max().unwrap());
        }
    }
}
