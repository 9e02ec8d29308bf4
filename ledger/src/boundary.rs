//! The end of an epoch: which validators, weights and parameters the next one has.
//!
//! Executing the closing block computes them. While the parameter `weights_mode` of the epoch to come is `fixed`, weights
//! come from the genesis and from `validator.add`, by the rule below. Otherwise the rule says who is a member, and the
//! module `weighing` what each weighs and who leads.
//!
//! # The rule
//! 1. Take the current members with all voted changes. They were checked when each passed, so they are a valid set; were they
//!    not, the current members stay.
//! 2. Offenders leave. When the set would be invalid without all of them, each leaves, in order of id, that can while the
//!    set stays valid. An offender that stays is not tried again: a vote can still remove it.
//! 3. Pending changes and offenders are cleared.
//!
//! Under measured weights a set is valid as soon as it has members, so all changes hold and all offenders leave, unless nobody
//! would be left.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{Canonical, Member, ValidatorId, ValidatorSet, Weight, WeightsMode};

use crate::applied::{LedgerEvent, NextEpoch};
use crate::enact::pending_changes;
use crate::error::LedgerError;
use crate::execution::Execution;
use crate::keys;
use crate::records;
use crate::state::{after, next_in};

/// The members of a set after changes: a new weight, or none for a removal. May be no valid set.
pub(crate) fn changed_members(
    current: &ValidatorSet,
    changes: &BTreeMap<ValidatorId, Option<Weight>>,
) -> Vec<Member> {
    let unchanged =
        current.members().iter().filter(|member| !changes.contains_key(&member.validator)).copied();
    let changed = changes
        .iter()
        .filter_map(|(validator, weight)| weight.map(|weight| Member { validator: *validator, weight }));
    unchanged.chain(changed).collect()
}

/// The members of the next epoch, by the rule above.
pub(crate) fn next_members(
    current: &ValidatorSet,
    changes: &BTreeMap<ValidatorId, Option<Weight>>,
    offenders: &BTreeSet<ValidatorId>,
) -> Vec<Member> {
    let is_valid = |members: &[Member]| ValidatorSet::new(current.epoch().next(), members.to_vec()).is_ok();
    let without = |members: &[Member], leaves: &dyn Fn(&ValidatorId) -> bool| -> Vec<Member> {
        members.iter().filter(|member| !leaves(&member.validator)).copied().collect()
    };
    let mut members = changed_members(current, changes);
    if !is_valid(&members) {
        members = current.members().to_vec();
    }
    let all_left = without(&members, &|validator| offenders.contains(validator));
    if is_valid(&all_left) {
        return all_left;
    }
    for offender in offenders {
        let left = without(&members, &|validator| validator == offender);
        if is_valid(&left) {
            members = left;
        }
    }
    members
}

impl Execution<'_> {
    /// Computes the next epoch, after all proposals of the closing block.
    pub(crate) fn close_epoch(&mut self) -> Result<NextEpoch, LedgerError> {
        let current = self.setting.validators;
        let changes = pending_changes(&self.state)?;
        let offenders = self.take_offenders()?;
        for validator in changes.keys() {
            self.state.delete(keys::pending(validator));
        }
        let validators = match self.agreed.next().weights_mode() {
            WeightsMode::Fixed => None,
            WeightsMode::Measured | WeightsMode::Equal => self.weigh_members(&changes, &offenders)?,
        };
        let validators = match validators {
            Some(validators) => validators,
            None => {
                let members = next_members(current, &changes, &offenders);
                ValidatorSet::new(current.epoch().next(), members)
                    .map_err(|error| LedgerError::damaged(keys::VALIDATORS_CURRENT, error.to_string()))?
            }
        };
        if self.is_measured() {
            self.forget_reports()?;
        }
        self.state.put(keys::VALIDATORS_NEXT.to_vec(), validators.encode());
        self.head.closing = true;
        if validators.members() != current.members() {
            self.events.push(LedgerEvent::ValidatorsChanged { validators: validators.clone() });
        }
        Ok(NextEpoch { validators, parameters: self.agreed.next() })
    }

    fn weigh_members(
        &mut self,
        changes: &BTreeMap<ValidatorId, Option<Weight>>,
        offenders: &BTreeSet<ValidatorId>,
    ) -> Result<Option<ValidatorSet>, LedgerError> {
        let changed: BTreeSet<ValidatorId> = changed_members(self.setting.validators, changes)
            .into_iter()
            .map(|member| member.validator)
            .collect();
        let left: BTreeSet<ValidatorId> = changed.difference(offenders).copied().collect();
        let members = if left.is_empty() { changed } else { left };
        self.weigh(&members, offenders)
    }

    fn take_offenders(&mut self) -> Result<BTreeSet<ValidatorId>, LedgerError> {
        let mut offenders = BTreeSet::new();
        let mut from = keys::OFFENDERS.to_vec();
        while let Some((key, _)) = next_in(&self.state, keys::OFFENDERS, &from)? {
            offenders.insert(records::validator_of(&key)?);
            from = after(&key);
            self.state.delete(key);
        }
        Ok(offenders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_types::Epoch;

    fn id(n: u8) -> ValidatorId {
        ValidatorId([n; 32])
    }

    fn set(weights: &[(u8, u64)]) -> ValidatorSet {
        let members = weights.iter().map(|(n, weight)| Member { validator: id(*n), weight: Weight(*weight) });
        ValidatorSet::new(Epoch(3), members.collect()).expect("the test's set is valid")
    }

    fn next(current: &[(u8, u64)], changes: &[(u8, Option<u64>)], offenders: &[u8]) -> Vec<(u8, u64)> {
        let changes = changes.iter().map(|(n, weight)| (id(*n), weight.map(Weight))).collect();
        let offenders = offenders.iter().map(|n| id(*n)).collect();
        let mut members = next_members(&set(current), &changes, &offenders);
        members.sort_by_key(|member| member.validator);
        members.into_iter().map(|member| (member.validator.0[0], member.weight.0)).collect()
    }

    const FOUR: [(u8, u64); 4] = [(1, 10), (2, 10), (3, 10), (4, 10)];

    #[test]
    fn voted_changes_and_offences_take_effect_together() {
        let members = next(&FOUR, &[(4, None), (5, Some(10)), (6, Some(7))], &[1]);
        assert_eq!(members, [(2, 10), (3, 10), (5, 10), (6, 7)]);
    }

    #[test]
    fn changes_that_make_no_valid_set_leave_the_members_as_they_are() {
        assert_eq!(next(&FOUR, &[(4, Some(1_000))], &[]), FOUR);
        assert_eq!(next(&[(1, 1)], &[(1, None)], &[]), [(1, 1)]);
    }

    #[test]
    fn an_offender_stays_when_the_set_would_be_invalid_without_it() {
        assert_eq!(next(&[(1, 1)], &[], &[1]), [(1, 1)]);
        // Without 1, the four others are 10, 10, 10 and 14 of 44: 14 is within f = 14. Without 2 as well three are left.
        let five = [(1, 4), (2, 10), (3, 10), (4, 10), (5, 14)];
        assert_eq!(next(&five, &[], &[1]), [(2, 10), (3, 10), (4, 10), (5, 14)]);
        // Five of 10 and one of 16 (f = 21): without two of them the 16 exceeds f = 15, without one it is within 18.
        let six = [(1, 10), (2, 10), (3, 10), (4, 10), (5, 10), (6, 16)];
        assert_eq!(next(&six, &[], &[1, 2]), [(2, 10), (3, 10), (4, 10), (5, 10), (6, 16)]);
    }

    #[test]
    fn offenders_that_can_only_leave_together_do() {
        // 5 and 6 weigh 20 each of 80 (f = 26); with one gone the other is 20 of 60 and above f = 19; with both gone all is even.
        let six = [(1, 10), (2, 10), (3, 10), (4, 10), (5, 20), (6, 20)];
        assert_eq!(next(&six, &[], &[5]), six);
        assert_eq!(next(&six, &[], &[5, 6]), FOUR);
    }
}
