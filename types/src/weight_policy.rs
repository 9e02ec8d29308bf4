//! How many arbitrary faults a network must withstand, and how large the core of its members is. Both are agreed parameters.

use std::fmt;
use std::str::FromStr;

use crate::canonical::Limits;
use crate::error::TypesError;

/// How many members may fail in any way, by profile or by number.
///
/// | profile | `t` | core | effect |
/// |---|---|---|---|
/// | `safe` | `(n - 1) / 3` | all members | equal weights among eligible members; nothing is traded |
/// | `fast` | `(n - 1) / 6`, at least 1 | `3t + 1` | low latency; half as many arbitrary faults |
/// | a number | that | `3t + 1` | anything between |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FaultTolerance {
    /// As many as any protocol of this kind can withstand.
    #[default]
    Safe,
    /// Half as many.
    Fast,
    /// This many, 1 or more.
    Fixed(u32),
}

impl FaultTolerance {
    /// The largest number that any set can have: `(n - 1) / 3` of a full one.
    pub const LARGEST: u32 = ((Limits::VALIDATORS - 1) / 3) as u32;

    /// The policy for a network of `members`. `core` overrides the profile's size of the core.
    ///
    /// # Errors
    /// `TooFewMembers` below `3t + 1` members or four; `BadCore` for a core outside `2t + 1..=n`; `BadTolerance` for
    /// 0.
    pub fn policy(self, members: usize, core: Option<u32>) -> Result<WeightPolicy, TypesError> {
        let count = u32::try_from(members).unwrap_or(u32::MAX);
        let tolerance = match self {
            Self::Safe => (count.saturating_sub(1) / 3).max(1),
            Self::Fast => (count.saturating_sub(1) / 6).max(1),
            Self::Fixed(0) => return Err(TypesError::BadTolerance { text: "0".into() }),
            Self::Fixed(tolerance) => tolerance,
        };
        let everybody = match self {
            Self::Safe => Some(count),
            Self::Fast | Self::Fixed(_) => None,
        };
        let default = everybody.unwrap_or(tolerance.saturating_mul(3).saturating_add(1));
        WeightPolicy::new(members, tolerance, core.unwrap_or(default))
    }
}

impl fmt::Display for FaultTolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe => f.write_str("safe"),
            Self::Fast => f.write_str("fast"),
            Self::Fixed(tolerance) => tolerance.fmt(f),
        }
    }
}

impl FromStr for FaultTolerance {
    type Err = TypesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "safe" => Ok(Self::Safe),
            "fast" => Ok(Self::Fast),
            number => match number.parse() {
                Ok(tolerance) if tolerance > 0 => Ok(Self::Fixed(tolerance)),
                _ => Err(TypesError::BadTolerance { text: number.chars().take(32).collect() }),
            },
        }
    }
}

/// A fault tolerance and core size that fit a network: `n >= 3t + 1`, `2t + 1 <= m <= n`, `t >= 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct WeightPolicy {
    fault_tolerance: u32,
    core_size: u32,
}

impl WeightPolicy {
    /// Checks a fault tolerance and a core size against a number of members.
    ///
    /// # Errors
    /// `BadTolerance` for 0, `TooFewMembers`, `BadCore`.
    pub fn new(members: usize, fault_tolerance: u32, core_size: u32) -> Result<Self, TypesError> {
        let tolerance = u64::from(fault_tolerance);
        let needed = tolerance.saturating_mul(3).saturating_add(1);
        let smallest = tolerance.saturating_mul(2).saturating_add(1);
        let count = u64::try_from(members).unwrap_or(u64::MAX);
        if fault_tolerance == 0 {
            return Err(TypesError::BadTolerance { text: "0".into() });
        }
        if count < needed {
            return Err(TypesError::TooFewMembers { members, tolerance: fault_tolerance, needed });
        }
        if u64::from(core_size) < smallest || u64::from(core_size) > count {
            let (core, tolerance) = (core_size, fault_tolerance);
            return Err(TypesError::BadCore { core, tolerance, members, smallest });
        }
        Ok(Self { fault_tolerance, core_size })
    }

    /// `t`: how many members may fail in any way.
    pub fn fault_tolerance(self) -> usize {
        usize::try_from(self.fault_tolerance).unwrap_or(usize::MAX)
    }

    /// `m`: how many members the core has at most.
    pub fn core_size(self) -> usize {
        usize::try_from(self.core_size).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(tolerance: FaultTolerance, members: usize) -> (usize, usize) {
        let policy = tolerance.policy(members, None).unwrap();
        (policy.fault_tolerance(), policy.core_size())
    }

    #[test]
    fn the_profiles_of_the_documented_sizes() {
        assert_eq!(
            [4, 7, 13, 51].map(|n| shape(FaultTolerance::Safe, n)),
            [(1, 4), (2, 7), (4, 13), (16, 51)]
        );
        assert_eq!([4, 7, 13, 51].map(|n| shape(FaultTolerance::Fast, n)), [(1, 4), (1, 4), (2, 7), (8, 25)]);
        assert_eq!(shape(FaultTolerance::Fixed(3), 13), (3, 10));
    }

    #[test]
    fn impossible_shapes_are_refused_with_what_would_do() {
        assert!(matches!(
            FaultTolerance::Safe.policy(3, None),
            Err(TypesError::TooFewMembers { needed: 4, .. })
        ));
        assert!(matches!(
            FaultTolerance::Fixed(2).policy(6, None),
            Err(TypesError::TooFewMembers { needed: 7, .. })
        ));
        assert!(matches!(
            FaultTolerance::Fixed(2).policy(9, Some(4)),
            Err(TypesError::BadCore { smallest: 5, .. })
        ));
        assert!(FaultTolerance::Fixed(2).policy(9, Some(10)).is_err());
        assert!(FaultTolerance::Fixed(0).policy(9, None).is_err());
        assert!(FaultTolerance::Fixed(u32::MAX).policy(9, None).is_err());
    }

    #[test]
    fn names_and_numbers_are_read_and_written_alike() {
        for text in ["safe", "fast", "3"] {
            assert_eq!(text.parse::<FaultTolerance>().unwrap().to_string(), text);
        }
        assert!("0".parse::<FaultTolerance>().is_err());
        assert!("slow".parse::<FaultTolerance>().unwrap_err().to_string().contains("`safe`"));
    }
}
