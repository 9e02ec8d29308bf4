//! Who leads a view.
//!
//! A validator set may name its leaders, best first; then they lead in this order, round and round, from view 0 of the epoch
//! on. They hold more than `f` together, so a correct one is among them, and every view is led by another than the one before.
//!
//! A set that names none is led by all: smooth weighted round-robin (the scheme of nginx's upstream balancing): at each step every member's credit grows by its
//! weight, the richest leads and pays the total. Members lead in proportion to their weights, well mixed. The epoch turns
//! the start, and nobody leads twice in a row, so a view change always changes the leader.

use aegis_types::{ValidatorId, ValidatorSet, View};

/// Length of the table that repeats. Longer: closer to the weights' exact ratios; shorter: cheaper to make per epoch.
const ROUNDS: usize = 256;

/// The leaders of an epoch's views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderSchedule {
    leaders: Vec<ValidatorId>,
}

impl LeaderSchedule {
    /// The schedule of a set in its epoch.
    pub fn new(set: &ValidatorSet) -> Self {
        if set.leaders().len() > 0 {
            return Self { leaders: set.leaders().collect() };
        }
        let total = i128::from(set.total().0);
        let mut credits: Vec<(ValidatorId, i128, i128)> =
            set.members().iter().map(|member| (member.validator, i128::from(member.weight.0), 0)).collect();
        let members = u64::try_from(set.len()).unwrap_or(u64::MAX);
        let skipped = usize::try_from(set.epoch().0.checked_rem(members).unwrap_or(0)).unwrap_or(0);
        let mut leaders = Vec::with_capacity(ROUNDS);
        let mut previous = None;
        for round in 0..ROUNDS.saturating_add(skipped) {
            let Some(leader) = step(&mut credits, total, previous) else { break };
            previous = Some(leader);
            if round >= skipped {
                leaders.push(leader);
            }
        }
        // The table repeats: its end must differ from its start too.
        while leaders.len() > 1 && leaders.first() == leaders.last() {
            leaders.pop();
        }
        Self { leaders }
    }

    /// The leader of a view.
    pub fn leader(&self, view: View) -> ValidatorId {
        let rounds = u64::try_from(self.leaders.len()).unwrap_or(u64::MAX);
        let index = view.0.checked_rem(rounds).and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
        // A set is never empty, so neither is the table; an all-zero key leads nothing.
        self.leaders.get(index).copied().unwrap_or(ValidatorId([0; 32]))
    }
}

fn step(
    credits: &mut [(ValidatorId, i128, i128)],
    total: i128,
    previous: Option<ValidatorId>,
) -> Option<ValidatorId> {
    for (_, weight, credit) in credits.iter_mut() {
        *credit = credit.saturating_add(*weight);
    }
    let alone = credits.len() == 1;
    let richest = credits
        .iter_mut()
        .filter(|(validator, _, _)| alone || Some(*validator) != previous)
        .max_by(|a, b| a.2.cmp(&b.2).then(b.0.cmp(&a.0)))?;
    richest.2 = richest.2.saturating_sub(total);
    Some(richest.0)
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member, Weight};

    use super::*;

    fn set(epoch: u64, weights: &[u64]) -> ValidatorSet {
        let members = weights
            .iter()
            .zip(1..)
            .map(|(weight, id)| Member { validator: ValidatorId([id; 32]), weight: Weight(*weight) });
        ValidatorSet::new(Epoch(epoch), members.collect()).unwrap()
    }

    #[test]
    fn consecutive_views_have_different_leaders() {
        for weights in [&[1, 1, 1, 1][..], &[3, 3, 3, 1, 1], &[5, 1], &[100, 90, 80, 70, 60, 50, 1]] {
            for epoch in 0..5 {
                let schedule = LeaderSchedule::new(&set(epoch, weights));
                for view in 0..1000 {
                    assert_ne!(
                        schedule.leader(View(view)),
                        schedule.leader(View(view + 1)),
                        "{weights:?} {view}"
                    );
                }
            }
        }
    }

    #[test]
    fn members_lead_in_proportion_to_their_weights() {
        let set = set(0, &[4, 3, 2, 2, 2]);
        let schedule = LeaderSchedule::new(&set);
        for member in set.members() {
            let led = (0..260).filter(|view| schedule.leader(View(*view)) == member.validator).count() as i64;
            let share = 260 * member.weight.0 as i64 / 13;
            assert!((led - share).abs() <= 3, "{led} of 260 for weight {}", member.weight);
        }
    }

    #[test]
    fn epochs_start_with_different_leaders() {
        let first: std::collections::BTreeSet<_> =
            (0..4).map(|epoch| LeaderSchedule::new(&set(epoch, &[1; 4])).leader(View(0))).collect();
        assert_eq!(first.len(), 4);
    }

    #[test]
    fn named_leaders_lead_in_their_order_from_the_first_view_of_every_epoch() {
        for epoch in [0, 7] {
            let named = [6, 2, 5].map(|id| ValidatorId([id; 32]));
            let set = set(epoch, &[1; 6]).with_leaders(&named).unwrap();
            let schedule = LeaderSchedule::new(&set);
            let led: Vec<_> = (0..7).map(|view| schedule.leader(View(view)).0[0]).collect();
            assert_eq!(led, [6, 2, 5, 6, 2, 5, 6]);
        }
    }

    #[test]
    fn a_single_member_always_leads() {
        let schedule = LeaderSchedule::new(&set(9, &[7]));
        assert_eq!(schedule.leader(View(u64::MAX)), ValidatorId([1; 32]));
    }
}
