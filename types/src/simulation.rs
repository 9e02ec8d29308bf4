//! Signature checks for simulations: the real verdicts, each computed once (cargo feature `simulation`).
//!
//! A simulated cluster lives in one thread, and all of its nodes check the same votes. Inside [`remember`], and only there, a
//! verdict about one rule, signer, message and signature is computed once per thread. Outside of it, as in any node that
//! happens to be built with this feature, nothing is remembered and every check is made.
//!
//! What a key pair of the same thread signed is valid by construction of the signature scheme, so that verdict is
//! remembered without a check, save for one signature in [`SAMPLE`], which is checked when first asked for, as everything is
//! that was not signed here: forged signatures, altered messages, other domains.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::crypto::Signature;

/// One signature of so many that are made is checked for good all the same.
pub const SAMPLE: u8 = 32;
/// The memory starts anew when it holds so many verdicts, some 5 MB.
const VERDICTS_MAX: usize = 1 << 17;

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
    /// Signatures made.
    pub signed: u64,
    /// Checks asked for: what a node alone on its machine would have to compute.
    pub checked: u64,
    /// Checks that were computed.
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
    verdicts: HashMap<u128, bool, BuildHasherDefault<Passed>>,
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

/// Runs `run` with a fresh memory of verdicts in this thread, and drops the memory afterwards.
pub fn remember<T>(run: impl FnOnce() -> T) -> T {
    MEMORY.with_borrow_mut(|memory| *memory = Some(Memory::default()));
    let _guard = Guard;
    run()
}

/// The counts so far, inside [`remember`]; zero outside.
pub fn counts() -> SignatureCounts {
    MEMORY.with_borrow(|memory| memory.as_ref().map_or_else(SignatureCounts::default, |memory| memory.counts))
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

/// Takes note of a signature that was just made.
pub(crate) fn note_signed(rule: Rule, signer: &[u8; 32], signature: &Signature, message: &[u8]) {
    MEMORY.with_borrow_mut(|memory| {
        let Some(memory) = memory else { return };
        memory.counts.signed = memory.counts.signed.saturating_add(1);
        let is_sampled = signature.0.first().is_some_and(|byte| byte % SAMPLE == 0);
        if !is_sampled {
            memory.put(key(rule, signer, signature, message), true);
        }
    });
}

/// The verdict of `check`, remembered or computed.
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
        let key = key(rule, signer, signature, message);
        if let Some(verdict) = memory.verdicts.get(&key) {
            return *verdict;
        }
        memory.counts.computed = memory.counts.computed.saturating_add(1);
        let verdict = check();
        memory.put(key, verdict);
        verdict
    })
}

impl Memory {
    fn put(&mut self, key: u128, verdict: bool) {
        if self.verdicts.len() >= VERDICTS_MAX {
            self.verdicts.clear();
        }
        self.verdicts.insert(key, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Domain, Keypair, Purpose, verify_strict};
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
}
