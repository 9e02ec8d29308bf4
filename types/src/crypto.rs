//! Keys, domains and signatures.
//!
//! ed25519-dalek makes keys and signatures and checks votes *strictly*: keys and commitments of small order are refused,
//! so one key and message have essentially one meaning. Proposals come from clients by the thousand and are checked in
//! batches; there the strict rule would let a hostile signature pass at one validator and fail at another, so the
//! cofactored rule of [ZIP-215](https://zips.z.cash/zip-0215) holds, for which batch and single checks agree by
//! construction (crate `ed25519-zebra`).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::error::TypesError;
use crate::hash::{Hash, serde_as_text};
use crate::ids::{AccountId, ValidatorId};

/// Version of everything that is signed; nodes of different versions do not understand each other's signatures.
pub const PROTOCOL_VERSION: u32 = 1;

/// Names a network. Nodes, signatures and messages of different chains do not mix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(String);

impl ChainId {
    /// Longest chain id, in bytes.
    pub const MAX_BYTES: usize = 48;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ChainId {
    type Err = TypesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.chars().all(is_plain) {
            return Err(TypesError::invalid(
                "chain id",
                format!("use 1 to {} of a-z, 0-9 and `-`, such as `aegis-test-1`", Self::MAX_BYTES),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

serde_as_text!(ChainId);

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A proposal, by its account.
    Proposal,
    /// A Prepare vote, by a validator.
    Prepare,
    /// A Commit vote, by a validator.
    Commit,
    /// A ViewChange message, by a validator.
    ViewChange,
    /// A NewView message, by its leader.
    NewView,
    /// A report of measurements, by a node.
    Report,
}

impl Purpose {
    const fn tag(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Prepare => "prepare",
            Self::Commit => "commit",
            Self::ViewChange => "view-change",
            Self::NewView => "new-view",
            Self::Report => "report",
        }
    }
}

/// The chain that signatures are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    chain: ChainId,
    genesis: Hash,
}

impl Domain {
    /// The domain of a chain. The genesis hash keeps apart two networks that chose one name.
    pub fn new(chain: ChainId, genesis: Hash) -> Self {
        Self { chain, genesis }
    }

    /// The chain's name.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// The genesis's hash.
    pub fn genesis(&self) -> Hash {
        self.genesis
    }

    /// The bytes that a signature covers: `"aegis" 0 version chain 0 genesis purpose 0 content`.
    ///
    /// Neither the chain nor the purpose can contain a zero byte, so no two inputs share an output.
    pub fn message(&self, purpose: Purpose, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128_usize.saturating_add(content.len()));
        bytes.extend_from_slice(b"aegis\0");
        bytes.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
        bytes.extend_from_slice(self.chain.0.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&self.genesis.0);
        bytes.extend_from_slice(purpose.tag().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(content);
        bytes
    }
}

/// An ed25519 signature of 64 bytes, written as 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Reads a signature from a field that must have 64 bytes.
    ///
    /// # Errors
    /// `Invalid` when the length differs.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, TypesError> {
        bytes.try_into().map(Self).map_err(|_| {
            TypesError::invalid(
                "signature",
                format!("a signature has 64 bytes, this one has {}", bytes.len()),
            )
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

impl FromStr for Signature {
    type Err = TypesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|error| {
            TypesError::invalid("signature", format!("expected 128 hexadecimal digits: {error}"))
        })?;
        Ok(Self(bytes))
    }
}

serde_as_text!(Signature);

/// An ed25519 key pair of a node or an account.
#[derive(Clone)]
pub struct Keypair {
    key: SigningKey,
}

impl Keypair {
    /// The key pair of a 32-byte secret seed (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// The secret seed; wiped when dropped.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The public key as a validator's name.
    pub fn validator_id(&self) -> ValidatorId {
        ValidatorId(self.key.verifying_key().to_bytes())
    }

    /// The public key as an account's name.
    pub fn account_id(&self) -> AccountId {
        AccountId(self.key.verifying_key().to_bytes())
    }

    /// Signs `content` for one purpose on one chain.
    pub fn sign(&self, domain: &Domain, purpose: Purpose, content: &[u8]) -> Signature {
        let message = domain.message(purpose, content);
        #[cfg(feature = "simulation")]
        if let Some(signature) =
            crate::simulation::stand_in(self.validator_id().0, self.key.as_bytes(), &message)
        {
            return signature;
        }
        Signature(self.key.sign(&message).to_bytes())
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.validator_id().short())
    }
}

/// Checks that a name of a validator is a key that the strict rule can accept signatures of: the one encoding of a curve
/// point that has not small order.
///
/// No other member could ever vote; worse, anyone can make signatures that pass for a key of small order by the rule for
/// accounts, and a validator's votes on proposals come from the account of the same key.
///
/// # Errors
/// `Invalid` saying what is wrong with the key.
pub fn check_validator_key(validator: &ValidatorId) -> Result<(), TypesError> {
    #[cfg(feature = "simulation")]
    return crate::simulation::judge_key(&validator.0, || examine_validator_key(validator));
    #[cfg(not(feature = "simulation"))]
    examine_validator_key(validator)
}

fn examine_validator_key(validator: &ValidatorId) -> Result<(), TypesError> {
    let bad = |reason: &str| {
        let reason = format!("{validator} {reason}; use the id that `aegis keys show` prints on the node");
        Err(TypesError::invalid("validator id", reason))
    };
    let Ok(key) = VerifyingKey::from_bytes(&validator.0) else {
        return bad("is no ed25519 public key");
    };
    if key.is_weak() {
        return bad("is a public key of small order, for which anybody can sign");
    }
    if key.to_edwards().compress().to_bytes() != validator.0 {
        return bad("is not the canonical form of its public key");
    }
    Ok(())
}

/// Checks a validator's signature by the strict rule.
pub fn verify_strict(
    domain: &Domain,
    purpose: Purpose,
    content: &[u8],
    signer: &ValidatorId,
    signature: &Signature,
) -> bool {
    let message = domain.message(purpose, content);
    let check = || {
        let Ok(key) = VerifyingKey::from_bytes(&signer.0) else { return false };
        key.verify_strict(&message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    };
    #[cfg(feature = "simulation")]
    return crate::simulation::judge(crate::simulation::Rule::Strict, &signer.0, signature, &message, check);
    #[cfg(not(feature = "simulation"))]
    check()
}

/// One signature that [`verify_accounts`] checks.
#[derive(Debug, Clone)]
pub struct AccountSignature {
    /// Who is said to have signed.
    pub account: AccountId,
    /// The signed bytes, domain included.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

/// Checks one account's signature by the rule of ZIP-215.
pub fn verify_account(item: &AccountSignature) -> bool {
    let AccountSignature { account, message, signature } = item;
    let check = || {
        let Ok(key) = ed25519_zebra::VerificationKey::try_from(account.0) else { return false };
        key.verify(&ed25519_zebra::Signature::from(signature.0), message).is_ok()
    };
    #[cfg(feature = "simulation")]
    return crate::simulation::judge(crate::simulation::Rule::Zip215, &account.0, signature, message, check);
    #[cfg(not(feature = "simulation"))]
    check()
}

/// Checks many accounts' signatures by the rule of ZIP-215; true when all are valid.
///
/// `seed` must be fresh and unpredictable to whoever made the signatures. The verdict does not depend on it, save with a
/// chance of about 2^-128.
pub fn verify_accounts(items: &[AccountSignature], seed: [u8; 32]) -> bool {
    /// Below this many signatures a batch costs more than single checks.
    const SMALLEST_BATCH: usize = 4;
    #[cfg(feature = "simulation")]
    let items = &*crate::simulation::without_stand_ins(items);
    if items.len() < SMALLEST_BATCH {
        return items.iter().all(verify_account);
    }
    let mut verifier = ed25519_zebra::batch::Verifier::new();
    for item in items {
        let key = ed25519_zebra::VerificationKeyBytes::from(item.account.0);
        verifier.queue((key, ed25519_zebra::Signature::from(item.signature.0), &item.message));
    }
    verifier.verify(StdRng::from_seed(seed)).is_ok()
}
