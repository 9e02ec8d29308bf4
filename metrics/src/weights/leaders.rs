//! Who leads.
//!
//! Leaders are the core, best first: the leader of an epoch's first view is the member with the highest level. A core
//! of at least `2t + 1` holds more than `t` members, so at most `t` views in a row have a faulty leader. A smaller
//! one (too few members are eligible) could be all faulty: then everybody leads, the core first. Members that the
//! last certificates do not show are skipped, as in Carousel (Cohen et al., FC 2022), as long as more than `t` others
//! are left.

use std::collections::BTreeSet;

use aegis_types::{ValidatorId, View};

use crate::weights::WeightPolicy;

/// The leaders of an epoch in the order of its views. `members` are all, `core` is in order of rank; without a policy
/// (equal weights by fallback) everybody leads in the order of `members`.
pub fn leaders(
    policy: Option<WeightPolicy>,
    core: &[ValidatorId],
    members: &[ValidatorId],
) -> Vec<ValidatorId> {
    let others = || members.iter().filter(|member| !core.contains(member));
    match policy {
        Some(policy) if core.len() > policy.fault_tolerance().saturating_mul(2) => core.to_vec(),
        Some(_) => core.iter().chain(others()).copied().collect(),
        None => members.to_vec(),
    }
}

/// The leaders without the `absent`, if more than `fault_tolerance` are left; else all of them.
pub fn present_leaders(
    leaders: &[ValidatorId],
    absent: &BTreeSet<ValidatorId>,
    fault_tolerance: usize,
) -> Vec<ValidatorId> {
    let present: Vec<ValidatorId> =
        leaders.iter().filter(|leader| !absent.contains(leader)).copied().collect();
    if present.len() > fault_tolerance { present } else { leaders.to_vec() }
}

/// The leader of a view: round-robin over the list. Nothing for an empty list.
pub fn leader_of(view: View, leaders: &[ValidatorId]) -> Option<ValidatorId> {
    let count = u64::try_from(leaders.len()).ok()?;
    let position = usize::try_from(view.0.checked_rem(count)?).ok()?;
    leaders.get(position).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(bytes: [u8; N]) -> Vec<ValidatorId> {
        bytes.map(|byte| ValidatorId([byte; 32])).to_vec()
    }

    #[test]
    fn a_whole_core_leads_best_first() {
        let policy = WeightPolicy::new(7, 1, 4).unwrap();
        let leaders = leaders(Some(policy), &ids([5, 2, 7, 1]), &ids([1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(leaders, ids([5, 2, 7, 1]));
        assert_eq!(leader_of(View(0), &leaders), Some(ids([5])[0]));
        assert_eq!(leader_of(View(6), &leaders), Some(ids([7])[0]));
        assert_eq!(leader_of(View(6), &[]), None);
    }

    #[test]
    fn a_core_that_could_be_all_faulty_does_not_lead_alone() {
        let policy = WeightPolicy::new(7, 1, 4).unwrap();
        let members = ids([1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(leaders(Some(policy), &ids([5, 2]), &members), ids([5, 2, 1, 3, 4, 6, 7]));
        assert_eq!(leaders(None, &ids([5, 2, 7]), &members), members);
    }

    #[test]
    fn the_absent_are_skipped_while_more_than_t_others_are_left() {
        let core = ids([5, 2, 7, 1]);
        let absent = |bytes: &[u8]| bytes.iter().map(|byte| ValidatorId([*byte; 32])).collect();
        assert_eq!(present_leaders(&core, &absent(&[5]), 1), ids([2, 7, 1]));
        assert_eq!(present_leaders(&core, &absent(&[5, 2]), 1), ids([7, 1]));
        assert_eq!(present_leaders(&core, &absent(&[5, 2, 7]), 1), core);
    }
}
