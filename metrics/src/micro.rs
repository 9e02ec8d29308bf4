//! Shares in fixed point: what stands in reports and enters the weight rule.

use std::fmt;

/// A share between 0 and 1, in millionths. Rounding is towards 0 wherever a share is computed from integers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(from = "u32", into = "u32")]
pub struct Micro(u32);

impl Micro {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The whole.
    pub const ONE: Self = Self(1_000_000);

    /// A share of `millionths`, at most the whole.
    #[must_use]
    pub const fn new(millionths: u32) -> Self {
        if millionths > Self::ONE.0 { Self::ONE } else { Self(millionths) }
    }

    /// A share of `millionths`, if there are at most a million.
    #[must_use]
    pub const fn checked(millionths: u32) -> Option<Self> {
        if millionths > Self::ONE.0 { None } else { Some(Self(millionths)) }
    }

    /// `part / whole`, at most the whole; 0 when `whole` is 0.
    #[must_use]
    pub fn of(part: u128, whole: u128) -> Self {
        let millionths =
            part.min(whole).saturating_mul(u128::from(Self::ONE.0)).checked_div(whole).unwrap_or_default();
        Self::new(u32::try_from(millionths).unwrap_or(Self::ONE.0))
    }

    /// The number of millionths, 0 to 1,000,000.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// What is missing to the whole.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(Self::ONE.0.saturating_sub(self.0))
    }

    /// The nearest share to a floating-point number, which is first brought into 0 to 1; nothing for a number that is
    /// none.
    #[cfg(feature = "sampler")]
    #[must_use]
    #[allow(
        clippy::float_arithmetic,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the one place where a measured share becomes fixed point"
    )]
    pub fn from_share(share: f64) -> Option<Self> {
        (!share.is_nan()).then(|| Self::new((share.clamp(0.0, 1.0) * 1e6 + 0.5) as u32))
    }

    /// The share as a floating-point number, for display.
    #[cfg(feature = "sampler")]
    #[must_use]
    #[allow(clippy::float_arithmetic, reason = "for display only")]
    pub fn to_share(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl From<u32> for Micro {
    fn from(millionths: u32) -> Self {
        Self::new(millionths)
    }
}

impl From<Micro> for u32 {
    fn from(share: Micro) -> Self {
        share.0
    }
}

impl fmt::Display for Micro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / Self::ONE.0, self.0 % Self::ONE.0);
        write!(f, "{whole}.{rest:06}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_between_nothing_and_the_whole() {
        assert_eq!(Micro::of(1, 3).get(), 333_333);
        assert_eq!(Micro::of(5, 3), Micro::ONE);
        assert_eq!(Micro::of(5, 0), Micro::ZERO);
        assert_eq!(Micro::of(u128::MAX, u128::MAX), Micro::of(1, 1).min(Micro::of(u128::MAX, u128::MAX)));
        assert_eq!(Micro::new(2_000_000), Micro::ONE);
        assert_eq!(Micro::checked(1_000_001), None);
        assert_eq!(Micro::new(250_000).to_string(), "0.250000");
        assert_eq!(Micro::ONE.to_string(), "1.000000");
    }
}
