//! Signatures for simulations: cheap where nothing is lost by it, real where it matters (cargo feature `simulation`).
//!
//! A simulated cluster lives in one thread, signs thousands of votes a second, and all of its nodes check the same ones.
//! Inside [`remember`], and only there:
//!
//! - A key pair signs with a *stand-in*, a keyed hash of the message under its secret seed. It has what agreement rests on:
//!   only the key pair's holder can make it, and another message, chain or purpose has another one. A check accepts it if it
//!   is what the signer's key pair, which has signed in this thread, makes of this message.
//! - One signature in [`SAMPLE`] is ed25519 all the same.
//! - What is no stand-in is checked for good, by the rules of [`crate::crypto`]: those samples, forged signatures, altered
//!   messages, signatures of other chains. Each such verdict, and that about a validator's key, is computed once.
//!
//! Outside of [`remember`], as in any node that happens to be built with this feature, signatures are made and checked as ever.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::crypto::{AccountSignature, Signature};

/// One signature of so many is real.
pub const SAMPLE: u8 = 32;
/// The memory of verdicts starts anew when it holds so many, some 5 MB.
const VERDICTS_MAX: usize = 1 << 17;
/// The memory of good keys starts anew when it holds so many: a set has at most 128.
const KEYS_MAX: usize = 1 << 12;

/// How signatures are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Strict ed25519, for validators.
    Strict,
    /// ZIP-215, for accounts.
    Zip215,
}

/// What was asked of signatures inside [`remember`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignatureCounts {
    /// Signatures made, stand-ins included.
    pub signed: u64,
    /// Checks asked for: what a node alone on its machine would have to compute.
    pub checked: u64,
    /// Checks of real or forged signatures that were computed.
    pub computed: u64,
}

/// The key is a hash already.
#[derive(Debug, Default)]
struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = u64::try_from(key >> 64).unwrap_or_default();
    }
}

#[derive(Debug, Default)]
struct Memory {
    /// The secret seeds of the key pairs that have signed. A run's own keys only, so it stays small.
    signers: HashMap<[u8; 32], [u8; 32]>,
    verdicts: HashMap<u128, bool, BuildHasherDefault<Passed>>,
    good_keys: HashSet<[u8; 32]>,
    counts: SignatureCounts,
}

thread_local! {
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

/// Forgets when it is dropped, also by a panic.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        MEMORY.with_borrow_mut(|memory| *memory = None);
    }
}

/// Runs `run` with a fresh memory in this thread, and drops the memory afterwards. Signatures made inside mean nothing outside.
pub fn remember<T>(run: impl FnOnce() -> T) -> T {
    MEMORY.with_borrow_mut(|memory| *memory = Some(Memory::default()));
    let _guard = Guard;
    run()
}

/// The counts so far, inside [`remember`]; zero outside.
pub fn counts() -> SignatureCounts {
    MEMORY.with_borrow(|memory| memory.as_ref().map_or_else(SignatureCounts::default, |memory| memory.counts))
}

/// The stand-in for a signature that is about to be made; none when it is to be a real one.
pub(crate) fn stand_in(signer: [u8; 32], seed: &[u8; 32], message: &[u8]) -> Option<Signature> {
    MEMORY.with_borrow_mut(|memory| {
        let memory = memory.as_mut()?;
        memory.counts.signed = memory.counts.signed.saturating_add(1);
        let signature = keyed(seed, message);
        let is_sampled = signature.0.first().is_some_and(|byte| byte % SAMPLE == 0);
        if is_sampled {
            return None;
        }
        memory.signers.entry(signer).or_insert(*seed);
        Some(signature)
    })
}

/// Leaves out the signatures that are right stand-ins, so that the rest is checked for good.
pub(crate) fn without_stand_ins(items: &[AccountSignature]) -> Cow<'_, [AccountSignature]> {
    MEMORY.with_borrow_mut(|memory| {
        let Some(memory) = memory else { return Cow::Borrowed(items) };
        let is_other =
            |item: &&AccountSignature| !memory.has_made(&item.account.0, &item.signature, &item.message);
        let others: Vec<AccountSignature> = items.iter().filter(is_other).cloned().collect();
        let stand_ins = u64::try_from(items.len().saturating_sub(others.len())).unwrap_or(u64::MAX);
        memory.counts.checked = memory.counts.checked.saturating_add(stand_ins);
        Cow::Owned(others)
    })
}

/// The verdict about a signature: that of `check`, remembered or computed, if it is no stand-in.
pub(crate) fn judge(
    rule: Rule,
    signer: &[u8; 32],
    signature: &Signature,
    message: &[u8],
    check: impl FnOnce() -> bool,
) -> bool {
    MEMORY.with_borrow_mut(|memory| {
        let Some(memory) = memory else { return check() };
        memory.counts.checked = memory.counts.checked.saturating_add(1);
        if memory.has_made(signer, signature, message) {
            return true;
        }
        let key = key(rule, signer, signature, message);
        if let Some(verdict) = memory.verdicts.get(&key) {
            return *verdict;
        }
        memory.counts.computed = memory.counts.computed.saturating_add(1);
        let verdict = check();
        if memory.verdicts.len() >= VERDICTS_MAX {
            memory.verdicts.clear();
        }
        memory.verdicts.insert(key, verdict);
        verdict
    })
}

/// The verdict of `check` about a validator's key; one that was good stays good.
pub(crate) fn judge_key<E>(key: &[u8; 32], check: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    MEMORY.with_borrow_mut(|memory| {
        let Some(memory) = memory else { return check() };
        if memory.good_keys.contains(key) {
            return Ok(());
        }
        check()?;
        if memory.good_keys.len() >= KEYS_MAX {
            memory.good_keys.clear();
        }
        memory.good_keys.insert(*key);
        Ok(())
    })
}

impl Memory {
    /// Whether this is the stand-in that the signer's key pair makes of the message.
    fn has_made(&self, signer: &[u8; 32], signature: &Signature, message: &[u8]) -> bool {
        self.signers.get(signer).is_some_and(|seed| keyed(seed, message) == *signature)
    }
}

fn keyed(seed: &[u8; 32], message: &[u8]) -> Signature {
    let mut bytes = [0; 64];
    blake3::Hasher::new_keyed(seed).update(message).finalize_xof().fill(&mut bytes);
    Signature(bytes)
}

fn key(rule: Rule, signer: &[u8; 32], signature: &Signature, message: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[match rule {
        Rule::Strict => 1,
        Rule::Zip215 => 2,
    }]);
    hasher.update(signer).update(&signature.0).update(message);
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Domain, Keypair, Purpose, verify_accounts, verify_strict};
    use crate::hash::Hash;

    #[test]
    fn verdicts_are_the_same_with_and_without_memory() {
        let domain = Domain::new("test".parse().unwrap(), Hash::ZERO);
        let other = Domain::new("other".parse().unwrap(), Hash::ZERO);
        let keypair = Keypair::from_seed(&[7; 32]);
        let verdicts = || -> Vec<bool> {
            let mut verdicts = Vec::new();
            for number in 0..100_u8 {
                let good = keypair.sign(&domain, Purpose::Commit, &[number]);
                let mut bad = good;
                bad.0[usize::from(number % 64)] ^= 1;
                for signature in [good, bad, good, bad] {
                    for domain in [&domain, &other] {
                        for purpose in [Purpose::Commit, Purpose::Prepare] {
                            let id = keypair.validator_id();
                            verdicts.push(verify_strict(domain, purpose, &[number], &id, &signature));
                        }
                    }
                }
            }
            verdicts
        };
        let plain = verdicts();
        assert_eq!(counts(), SignatureCounts::default(), "nothing is remembered outside");
        let (remembered, counts) = remember(|| (verdicts(), counts()));
        assert_eq!(plain, remembered);
        assert_eq!((counts.signed, counts.checked), (100, 1_600));
        assert!(counts.computed < 810, "{counts:?}: each verdict is computed once, most good ones never");
        assert!(counts.computed > 700, "{counts:?}: what was not signed is checked");
    }

    #[test]
    fn a_stand_in_is_its_makers_own_and_means_nothing_outside() {
        let domain = Domain::new("test".parse().unwrap(), Hash::ZERO);
        let (one, two) = (Keypair::from_seed(&[1; 32]), Keypair::from_seed(&[2; 32]));
        let verify = |content: &[u8], keypair: &Keypair, signature: &Signature| {
            verify_strict(&domain, Purpose::Commit, content, &keypair.validator_id(), signature)
        };
        let signatures = remember(|| {
            let sign = |number: u16| one.sign(&domain, Purpose::Commit, &number.to_be_bytes());
            let signatures: Vec<Signature> = (0..1_000).map(sign).collect();
            two.sign(&domain, Purpose::Commit, b"two is known too");
            for (number, signature) in (0..1_000_u16).zip(&signatures) {
                assert!(verify(&number.to_be_bytes(), &one, signature));
                assert!(!verify(&number.to_be_bytes(), &two, signature));
                assert!(!verify(&(number + 1).to_be_bytes(), &one, signature));
            }
            signatures
        });
        let real = (0..1_000_u16).zip(&signatures);
        let real = real.filter(|(number, signature)| verify(&number.to_be_bytes(), &one, signature)).count();
        assert!((10..80).contains(&real), "{real} of 1,000 are real: one in {SAMPLE}");
    }

    #[test]
    fn a_batch_is_refused_for_one_forged_signature_among_stand_ins() {
        let domain = Domain::new("test".parse().unwrap(), Hash::ZERO);
        let keypair = Keypair::from_seed(&[7; 32]);
        remember(|| {
            let item = |number: u8| AccountSignature {
                account: keypair.account_id(),
                message: domain.message(Purpose::Proposal, &[number]),
                signature: keypair.sign(&domain, Purpose::Proposal, &[number]),
            };
            let mut items: Vec<AccountSignature> = (0..100).map(item).collect();
            assert!(verify_accounts(&items, [0; 32]));
            items[50].signature.0[9] ^= 1;
            assert!(!verify_accounts(&items, [0; 32]));
        });
    }
}
