//! The entry of agreed state that a key of the key-value state has.

use crate::canonical::{Canonical, Limits, check_size};
use crate::error::TypesError;
use crate::ids::Height;
use crate::proto;

/// What agreed state holds under a key of the key-value state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRecord {
    /// From 1 on; rises with each change, and no key has the same version twice.
    pub version: u64,
    /// The block that set the value last.
    pub height: Height,
    /// The value.
    pub value: Vec<u8>,
}

impl KvRecord {
    /// The first byte of the keys that these records have in agreed state.
    pub const STATE_PREFIX: &'static [u8] = b"k";

    /// Where agreed state has the record of `key`.
    pub fn state_key(key: &str) -> Vec<u8> {
        [Self::STATE_PREFIX, key.as_bytes()].concat()
    }
}

impl Canonical for KvRecord {
    type Proto = proto::KvRecord;
    const NAME: &'static str = "key-value record";
    const MAX_BYTES: usize = Limits::VALUE_BYTES + 64;

    fn to_proto(&self) -> Self::Proto {
        proto::KvRecord { version: self.version, height: self.height.0, value: self.value.clone() }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        check_size("value", Limits::VALUE_BYTES, &proto.value)?;
        if proto.version == 0 {
            return Err(TypesError::invalid("version", "the first version of a key is 1"));
        }
        Ok(Self { version: proto.version, height: Height(proto.height), value: proto.value })
    }
}
