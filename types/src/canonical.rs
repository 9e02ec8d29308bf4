//! The canonical encoding: one byte string per value.
//!
//! Protobuf allows many encodings of one message: fields out of order, repeated scalars, long varints, unknown fields.
//! Canonical is the one that this crate writes. Decoding checks that by encoding again and comparing.

use prost::Message;

use crate::error::TypesError;

/// Sizes that a decoder accepts.
///
/// All nodes must agree on what is valid, so these are constants of the protocol and not configuration.
#[derive(Debug, Clone, Copy)]
pub struct Limits;

impl Limits {
    /// Largest encoded proposal. Larger ones would crowd a batch, and every validator stores each of them durably.
    pub const PROPOSAL_BYTES: usize = 128 * 1024;
    /// Longest idempotency key, in bytes.
    pub const IDEMPOTENCY_KEY_BYTES: usize = 64;
    /// Longest key of the replicated key-value state, in bytes.
    pub const KEY_BYTES: usize = 512;
    /// Largest value of the replicated key-value state, in bytes.
    pub const VALUE_BYTES: usize = 64 * 1024;
    /// Longest title of a text proposal, in bytes.
    pub const TITLE_BYTES: usize = 256;
    /// Longest text of a text proposal, in bytes.
    pub const TEXT_BYTES: usize = 64 * 1024;
    /// Longest name or value of an agreed parameter, in bytes.
    pub const PARAM_BYTES: usize = 128;
    /// Most proposals in a batch.
    pub const BATCH_PROPOSALS: usize = 4_096;
    /// Largest encoded batch. Three of these fit a network frame.
    pub const BATCH_BYTES: usize = 1024 * 1024;
    /// Most batches in a block.
    pub const BLOCK_BATCHES: usize = 64;
    /// Most payload bytes in a block: what a lagging validator must fetch before it can vote.
    pub const BLOCK_BYTES: usize = 8 * 1024 * 1024;
    /// Largest encoded signed report of measurements: round-trip times to a full set and the distributions of all channels
    /// take under two thousand.
    pub const REPORT_BYTES: usize = 4 * 1024;
    /// Heights at which participation is counted in an epoch. Each costs every validator a signature check per member; with
    /// fewer, chance alone would take eligibility from one in a hundred of those who miss every twentieth vote.
    pub const SAMPLED_HEIGHTS: usize = 32;
    /// Most members of a validator set. Votes cost the square of it.
    pub const VALIDATORS: usize = 128;
    /// Largest encoded committed block: payload, header and certificate.
    pub const COMMITTED_BLOCK_BYTES: usize = Self::BLOCK_BYTES + 512 * 1024;
}

/// A value with exactly one encoding.
pub trait Canonical: Sized {
    /// The generated message that carries the value.
    type Proto: Message + Default;

    /// What to call the value in errors.
    const NAME: &'static str;

    /// Largest encoding that [`Canonical::decode`] looks at.
    const MAX_BYTES: usize;

    /// The value as a message.
    fn to_proto(&self) -> Self::Proto;

    /// Checks a message and takes its value.
    ///
    /// # Errors
    /// Any [`TypesError`]; `NotCanonical` only for bytes within the message that are an encoding of their own.
    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError>;

    /// Counts and measures the entries of an encoding before a decoder makes room for them.
    ///
    /// An entry of two bytes decodes to a message of a hundred: a type whose limit admits many entries must count them here.
    ///
    /// # Errors
    /// `TooLarge`, `TooMany`, `Undecodable` or `NotCanonical`.
    fn check_encoding(_bytes: &[u8]) -> Result<(), TypesError> {
        Ok(())
    }

    /// The canonical encoding.
    fn encode(&self) -> Vec<u8> {
        self.to_proto().encode_to_vec()
    }

    /// Reads a value from bytes that may be hostile.
    ///
    /// # Errors
    /// `TooLarge`, `Undecodable`, `NotCanonical`, or what [`Canonical::from_proto`] finds.
    fn decode(bytes: &[u8]) -> Result<Self, TypesError> {
        check_size(Self::NAME, Self::MAX_BYTES, bytes)?;
        Self::check_encoding(bytes)?;
        decode_proto::<Self::Proto>(Self::NAME, Self::MAX_BYTES, bytes).and_then(Self::from_proto)
    }
}

/// Reads a canonical message, without looking at its meaning.
///
/// # Errors
/// `TooLarge`, `Undecodable` or `NotCanonical`.
pub fn decode_proto<M: Message + Default>(
    what: &'static str,
    limit: usize,
    bytes: &[u8],
) -> Result<M, TypesError> {
    check_size(what, limit, bytes)?;
    let message =
        M::decode(bytes).map_err(|error| TypesError::Undecodable { what, reason: error.to_string() })?;
    // Comparing lengths first keeps the common refusal cheap.
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(TypesError::NotCanonical { what });
    }
    Ok(message)
}

/// Refuses what is larger than its limit.
pub(crate) fn check_size(what: &'static str, limit: usize, bytes: &[u8]) -> Result<(), TypesError> {
    if bytes.len() > limit { Err(TypesError::TooLarge { what, actual: bytes.len(), limit }) } else { Ok(()) }
}

/// Unwraps a sub-message that must be there.
pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, TypesError> {
    value.ok_or_else(|| TypesError::invalid(field, "it is missing"))
}
