//! Names of things: counters that must not be mixed up, and keys that name their holders.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::TypesError;
use crate::hash::{Hash, parse_hex32, serde_as_text};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The first one.
            pub const ZERO: Self = Self(0);

            /// The one after this; the largest is its own successor.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The one before this; the first is its own predecessor.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// This one moved up by `n`, at most to the largest.
            #[must_use]
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0.saturating_add(n))
            }

            /// How far this one lies above `other`; 0 when it does not.
            #[must_use]
            pub const fn distance_above(self, other: Self) -> u64 {
                self.0.saturating_sub(other.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// A period with one validator set. Epoch 0 has the set of the genesis.
    Epoch
}
counter! {
    /// A period with one leader, within an epoch. Each epoch starts at view 0.
    View
}
counter! {
    /// A block's position in the chain: PBFT's sequence number. The genesis stands at height 0, the first block at 1.
    Height
}

macro_rules! key_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Reads an id from a field that must have 32 bytes.
            ///
            /// # Errors
            /// `Invalid` when the length differs.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, TypesError> {
                bytes.try_into().map(Self).map_err(|_| {
                    TypesError::invalid($field, format!("a public key has 32 bytes, this one has {}", bytes.len()))
                })
            }

            /// The public key's bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight hexadecimal digits, for logs and tables.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = TypesError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex32($field, text).map(Self)
            }
        }

        serde_as_text!($name);
    };
}

key_id! {
    /// A node's ed25519 public key: names the node in validator sets, votes and on the network.
    ValidatorId, "validator id"
}
key_id! {
    /// An account's ed25519 public key. A validator acts on the log as the account of the same key.
    AccountId, "account id"
}

impl From<ValidatorId> for AccountId {
    fn from(validator: ValidatorId) -> Self {
        Self(validator.0)
    }
}

/// A proposal's name: the hash of its signed content, so independent of its signature.
pub type ProposalId = Hash;
