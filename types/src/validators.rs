//! Validator sets and all threshold arithmetic.
//!
//! With total weight `W` and `f = (W - 1) / 3` (integer division):
//!
//! | name | weight | meaning |
//! |---|---|---|
//! | quorum | `W - f` | prepared, committed, new view |
//! | weak quorum | `f + 1` | at least one correct validator is among them |
//!
//! Two quorums share at least `W - 2f >= f + 1` of weight. No other file may compute a threshold.

use std::collections::BTreeSet;

use crate::canonical::{Canonical, Limits};
use crate::error::TypesError;
use crate::hash::Hash;
use crate::ids::{Epoch, ValidatorId};
use crate::proto;

/// A validator's voting weight: 1 to [`Weight::MAX`] in a set.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Weight(pub u64);

impl Weight {
    /// Largest weight of one validator; the sum over a full set stays far below `u64::MAX`.
    pub const MAX: Self = Self(1 << 32);
    /// No weight.
    pub const ZERO: Self = Self(0);

    /// The sum, at most `u64::MAX`.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least 0.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A validator and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The validator's public key.
    pub validator: ValidatorId,
    /// Its voting weight.
    pub weight: Weight,
}

/// The validators of one epoch, and who of them leads. Valid by construction: see [`ValidatorSet::new`] and
/// [`ValidatorSet::with_leaders`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet {
    epoch: Epoch,
    members: Vec<Member>,
    total: Weight,
    /// Positions; empty when all lead.
    leaders: Vec<u32>,
}

impl ValidatorSet {
    /// Builds a set; the order of `members` does not matter.
    ///
    /// # Errors
    /// `BadValidatorSet` when it is empty, has more than [`Limits::VALIDATORS`] members, a duplicate, a weight outside
    /// `1..=2^32`, or, with four members or more, a single weight above `f`: that one could block the network alone, and
    /// from `W - 2f` on fork it. (Of fewer members, one always has that much.)
    pub fn new(epoch: Epoch, mut members: Vec<Member>) -> Result<Self, TypesError> {
        let bad = |reason: String| Err(TypesError::BadValidatorSet { reason });
        if members.is_empty() {
            return bad("it has no members".into());
        }
        if members.len() > Limits::VALIDATORS {
            return bad(format!(
                "it has {} members; at most {} are allowed",
                members.len(),
                Limits::VALIDATORS
            ));
        }
        members.sort_by_key(|member| member.validator);
        let distinct: BTreeSet<_> = members.iter().map(|member| member.validator).collect();
        if distinct.len() != members.len() {
            return bad("it names a validator twice".into());
        }
        if let Some(member) =
            members.iter().find(|member| member.weight == Weight::ZERO || member.weight > Weight::MAX)
        {
            return bad(format!(
                "{} has weight {}; allowed are 1 to {}",
                member.validator,
                member.weight,
                Weight::MAX
            ));
        }
        let total = members.iter().fold(Weight::ZERO, |sum, member| sum.plus(member.weight));
        let set = Self { epoch, members, total, leaders: Vec::new() };
        let largest = set.members.iter().max_by_key(|member| member.weight);
        match largest {
            Some(member) if set.members.len() >= 4 && member.weight > set.max_faulty() => bad(format!(
                "{} alone has weight {} of {}; with four members or more nobody may have more than {}",
                member.validator,
                member.weight,
                set.total,
                set.max_faulty()
            )),
            _ => Ok(set),
        }
    }

    /// The same set, led by these members alone, in the order of views; by all when there are none.
    ///
    /// # Errors
    /// `BadValidatorSet` when one is no member or is named twice; when they do not hold more than `f` together, since they
    /// could all be faulty then; or for one alone beside other members, since a change of view must change the leader.
    pub fn with_leaders(mut self, leaders: &[ValidatorId]) -> Result<Self, TypesError> {
        let bad = |reason: String| Err(TypesError::BadValidatorSet { reason });
        let mut positions = Vec::with_capacity(leaders.len().min(self.len()));
        let mut weight = Weight::ZERO;
        for leader in leaders {
            let position = self.index_of(leader).and_then(|position| u32::try_from(position).ok());
            match position {
                Some(position) if !positions.contains(&position) => positions.push(position),
                Some(_) => return bad(format!("it names the leader {leader} twice")),
                None => return bad(format!("its leader {leader} is no member")),
            }
            weight = weight.plus(self.weight_of(leader));
        }
        if !positions.is_empty() && weight < self.weak_quorum() {
            let needed = self.weak_quorum();
            return bad(format!(
                "its leaders hold {weight} together and might all be faulty; {needed} are needed"
            ));
        }
        if positions.len() == 1 && self.len() > 1 {
            return bad("one member leads alone; name two or none".into());
        }
        self.leaders = positions;
        Ok(self)
    }

    /// The members that lead, in the order of views; none when all lead in proportion to their weights.
    pub fn leaders(&self) -> impl ExactSizeIterator<Item = ValidatorId> + '_ {
        // `with_leaders` has found every position.
        let member = |position: &u32| usize::try_from(*position).ok().and_then(|position| self.get(position));
        self.leaders
            .iter()
            .map(move |position| member(position).map_or(ValidatorId([0; 32]), |member| member.validator))
    }

    /// The epoch that this set votes in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The members in ascending order of validator.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// A set is never empty; here because clippy expects it beside `len`.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// `W`: the sum of all weights.
    pub fn total(&self) -> Weight {
        self.total
    }

    /// `f = (W - 1) / 3`: the weight that may fail in any way.
    pub fn max_faulty(&self) -> Weight {
        Weight(self.total.0.saturating_sub(1) / 3)
    }

    /// `W - f`: the weight that decides.
    pub fn quorum(&self) -> Weight {
        self.total.minus(self.max_faulty())
    }

    /// `f + 1`: the weight that contains a correct validator.
    pub fn weak_quorum(&self) -> Weight {
        self.max_faulty().plus(Weight(1))
    }

    /// Whether `weight` is more than two thirds of the total: the bar of voted proposals.
    ///
    /// For whole weights this is the same bar as the quorum (`3w > 2W` exactly when `w >= W - (W - 1) / 3`); it has a name of
    /// its own because the rule of voting is stated in these words.
    pub fn is_two_thirds_majority(&self, weight: Weight) -> bool {
        u128::from(weight.0).saturating_mul(3) > u128::from(self.total.0).saturating_mul(2)
    }

    /// The smallest weight that [is more than two thirds](Self::is_two_thirds_majority) of the total.
    pub fn two_thirds_majority(&self) -> Weight {
        self.quorum()
    }

    /// A validator's position, if it is a member.
    pub fn index_of(&self, validator: &ValidatorId) -> Option<usize> {
        self.members.binary_search_by_key(validator, |member| member.validator).ok()
    }

    /// The member at a position.
    pub fn get(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    /// A validator's weight; 0 when it is not a member.
    pub fn weight_of(&self, validator: &ValidatorId) -> Weight {
        self.index_of(validator)
            .and_then(|index| self.get(index))
            .map_or(Weight::ZERO, |member| member.weight)
    }

    /// Whether the validator is a member.
    pub fn contains(&self, validator: &ValidatorId) -> bool {
        self.index_of(validator).is_some()
    }

    /// The hash that headers name the set by.
    pub fn hash(&self) -> Hash {
        Hash::of("aegis v1 validator set", &self.encode())
    }
}

impl Canonical for ValidatorSet {
    type Proto = proto::ValidatorSet;
    const NAME: &'static str = "validator set";
    const MAX_BYTES: usize = 64 * Limits::VALIDATORS;

    fn to_proto(&self) -> Self::Proto {
        let members = self
            .members
            .iter()
            .map(|member| proto::Member { validator: member.validator.0.to_vec(), weight: member.weight.0 });
        proto::ValidatorSet { epoch: self.epoch.0, members: members.collect(), leaders: self.leaders.clone() }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let mut members = Vec::with_capacity(proto.members.len().min(Limits::VALIDATORS));
        for member in proto.members {
            members.push(Member {
                validator: ValidatorId::from_slice(&member.validator)?,
                weight: Weight(member.weight),
            });
        }
        if !members.is_sorted_by_key(|member| member.validator) {
            return Err(TypesError::BadValidatorSet { reason: "its members are not in order".into() });
        }
        let (actual, limit) = (proto.leaders.len(), members.len());
        if actual > limit {
            return Err(TypesError::TooMany { what: "leaders", actual, limit });
        }
        let leader = |position: &u32| {
            let member = usize::try_from(*position).ok().and_then(|position| members.get(position));
            member.map(|member| member.validator)
        };
        let leaders: Option<Vec<ValidatorId>> = proto.leaders.iter().map(leader).collect();
        let leaders = leaders.ok_or_else(|| TypesError::BadValidatorSet {
            reason: "a leader's position is outside the set".into(),
        })?;
        Self::new(Epoch(proto.epoch), members)?.with_leaders(&leaders)
    }
}
