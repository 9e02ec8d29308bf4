//! BLAKE3 digests.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use crate::error::TypesError;

/// Labels whose keys a thread remembers; there are fewer in all crates together.
const LABELS_MAX: usize = 32;

thread_local! {
    static KEYS: RefCell<Vec<(&'static str, ContextKey)>> = const { RefCell::new(Vec::new()) };
}

/// The key that BLAKE3 derives from a label. Labels are constants and most of what is hashed is small, so deriving the key
/// each time would be half of the work.
fn key_of(label: &'static str) -> ContextKey {
    KEYS.with_borrow_mut(|keys| {
        if let Some((_, key)) = keys.iter().find(|(known, _)| *known == label) {
            return *key;
        }
        let key = hash_derive_key_context(label);
        if keys.len() < LABELS_MAX {
            keys.push((label, key));
        }
        key
    })
}

/// A BLAKE3 digest of 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The digest that stands for "nothing": the parent of the first block.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of `bytes` under a label that keeps different uses apart (BLAKE3's key-derivation mode).
    pub fn of(label: &'static str, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new_from_context_key(&key_of(label));
        Self(hasher.update(bytes).finalize().into())
    }

    /// Reads a digest from a field that must have 32 bytes.
    ///
    /// # Errors
    /// `Invalid` when the length differs.
    pub fn from_slice(field: &'static str, bytes: &[u8]) -> Result<Self, TypesError> {
        bytes.try_into().map(Self).map_err(|_| {
            TypesError::invalid(field, format!("a digest has 32 bytes, this one has {}", bytes.len()))
        })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, for logs and tables.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Hash {
    type Err = TypesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex32("digest", text).map(Self)
    }
}

/// Reads 64 hexadecimal digits.
pub(crate) fn parse_hex32(field: &'static str, text: &str) -> Result<[u8; 32], TypesError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes)
        .map_err(|error| TypesError::invalid(field, format!("expected 64 hexadecimal digits: {error}")))?;
    Ok(bytes)
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

serde_as_text!(Hash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_key_derivation_mode_the_first_time_and_later() {
        for _ in 0..2 {
            for (label, bytes) in [("aegis test one", b"same"), ("aegis test two", b"same")] {
                assert_eq!(Hash::of(label, bytes).0, blake3::derive_key(label, bytes));
            }
        }
    }
}
