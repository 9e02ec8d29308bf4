//! Proofs that a key has a value, or none, in the state with a given root.
//!
//! A proof is the key's bucket, as pairs of key hash and value hash, and the 16 siblings on the way from the bucket to the
//! root (see [`state_tree`](crate::state_tree)). Both answers have this one form: the key's hash is among the bucket's
//! leaves, or it is not, and no other leaf can be hidden from a bucket whose hash is in the root.
//!
//! # Canonical encoding
//! Field 1: the leaves in ascending order of key hash, 64 bytes each, key hash first. Field 2: the siblings from the bucket
//! upwards, 32 bytes each. At most [`StateProof::LEAVES_MAX`] leaves.

use crate::canonical::Canonical;
use crate::error::TypesError;
use crate::hash::Hash;
use crate::proto;
use crate::state_tree::{Leaf, TREE_DEPTH, bucket_hash, bucket_of, key_hash, node_hash, value_hash};

const HASH_BYTES: usize = 32;
const LEAF_BYTES: usize = 2 * HASH_BYTES;

/// The way from a key to the state root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateProof {
    /// All leaves of the key's bucket, in ascending order of key hash.
    pub leaves: Vec<Leaf>,
    /// The siblings on the way up, the bucket's own first.
    pub siblings: [Hash; TREE_DEPTH],
}

impl StateProof {
    /// Most leaves of a bucket that is proved: a megabyte. An honest bucket of a state of ten million keys has some 150;
    /// whoever wants to fill one to this limit must try a billion keys, and has then made the keys of that one bucket
    /// unprovable, not wrong.
    pub const LEAVES_MAX: usize = 16_384;

    /// The hash of `key`'s value in the state with this root; none when the state has no such key.
    ///
    /// # Errors
    /// `Invalid` when the proof is not for this key or not for this root.
    pub fn verify(&self, root: &Hash, key: &[u8]) -> Result<Option<Hash>, TypesError> {
        let key = key_hash(key);
        let bucket = bucket_of(&key);
        check_leaves(&self.leaves)?;
        if self.leaves.iter().any(|leaf| bucket_of(&leaf.key) != bucket) {
            return Err(TypesError::invalid("state proof", "it is for another key"));
        }
        let mut digest = bucket_hash(&self.leaves);
        let mut position = bucket;
        for sibling in &self.siblings {
            digest = match position % 2 {
                0 => node_hash(&digest, sibling),
                _ => node_hash(sibling, &digest),
            };
            position /= 2;
        }
        if digest != *root {
            return Err(TypesError::invalid(
                "state proof",
                format!("it leads to the state root {digest}, but the certified one is {root}"),
            ));
        }
        let found = self.leaves.binary_search_by_key(&key, |leaf| leaf.key).ok();
        Ok(found.and_then(|index| self.leaves.get(index)).map(|leaf| leaf.value))
    }

    /// Checks that `key` has this value, or none, in the state with this root.
    ///
    /// # Errors
    /// `Invalid` when it has another, or when the proof does not hold.
    pub fn verify_value(&self, root: &Hash, key: &[u8], value: Option<&[u8]>) -> Result<(), TypesError> {
        let (proved, claimed) = (self.verify(root, key)?, value.map(value_hash));
        if proved == claimed {
            return Ok(());
        }
        let reason = match (proved, claimed) {
            (None, _) => "the proof says that the key does not exist, but a value is given",
            (Some(_), None) => "the proof says that the key exists, but no value is given",
            (Some(_), Some(_)) => "the proof is for another value than the one given",
        };
        Err(TypesError::invalid("value", reason))
    }
}

fn check_leaves(leaves: &[Leaf]) -> Result<(), TypesError> {
    if leaves.is_sorted_by(|a, b| a.key < b.key) {
        Ok(())
    } else {
        Err(TypesError::invalid("state proof", "its leaves are not in order, or one is there twice"))
    }
}

fn read_hash(bytes: &[u8]) -> Result<Hash, TypesError> {
    Hash::from_slice("state proof", bytes)
}

impl Canonical for StateProof {
    type Proto = proto::StateProof;
    const NAME: &'static str = "state proof";
    const MAX_BYTES: usize = 64 + TREE_DEPTH * HASH_BYTES + Self::LEAVES_MAX * LEAF_BYTES;

    fn to_proto(&self) -> Self::Proto {
        let leaf = |leaf: &Leaf| [leaf.key.0, leaf.value.0].concat();
        proto::StateProof {
            leaves: self.leaves.iter().flat_map(leaf).collect(),
            siblings: self.siblings.iter().flat_map(|sibling| sibling.0).collect(),
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let (actual, limit) = (proto.leaves.len() / LEAF_BYTES, Self::LEAVES_MAX);
        if actual > limit {
            return Err(TypesError::TooMany { what: "state proof", actual, limit });
        }
        let mut leaves = Vec::with_capacity(actual);
        for bytes in proto.leaves.chunks(LEAF_BYTES) {
            let (key, value) = bytes.split_at_checked(HASH_BYTES).unwrap_or_default();
            leaves.push(Leaf { key: read_hash(key)?, value: read_hash(value)? });
        }
        check_leaves(&leaves)?;
        let siblings =
            proto.siblings.chunks(HASH_BYTES).map(read_hash).collect::<Result<Vec<_>, TypesError>>()?;
        let siblings = siblings.try_into().map_err(|siblings: Vec<Hash>| {
            let reason = format!("it has {} siblings instead of {TREE_DEPTH}", siblings.len());
            TypesError::invalid("state proof", reason)
        })?;
        Ok(Self { leaves, siblings })
    }
}
