//! The keyspace of agreed state: where each record lives.
//!
//! Every key is one byte that names the kind of record, then parts of fixed length, then at most one part of any length.
//! Numbers are big-endian, so the order of bytes is the order of numbers and [`StateReader::next`](crate::StateReader::next)
//! finds the earliest deadline and the oldest record by itself.
//!
//! | byte | rest of the key | record |
//! |---|---|---|
//! | `h` | | where the chain stands ([`HeadRecord`](crate::records::HeadRecord)) |
//! | `p` | | agreed parameters |
//! | `s` | `c`, `n` or `p` | the current, next or previous validator set |
//! | `w` | validator | a voted change of the set that waits for the epoch's end |
//! | `f` | validator | an offender who leaves at the epoch's end |
//! | `e` | epoch, validator | evidence on record |
//! | `k` | key | a value of the key-value state |
//! | `i` | account, idempotency key | the first result under the key |
//! | `x` | time to forget, height, number | idempotency keys to forget at that time |
//! | `v` | proposal | a voted proposal's status and tally |
//! | `b` | proposal | its body |
//! | `t` | proposal, validator | a vote on it |
//! | `d` | deadline, proposal | open ones, the earliest deadline first |
//! | `o` | !height, !position | all of them, the last opened first (numbers with their bits inverted) |
//! | `n` | account | how many of an account's are open |
//! | `c` | 1 if passed, 0 if not; time of closing; proposal | closed ones, the oldest first |
//! | `m` `c` or `n` | | what the current or next epoch with measurements begins with |
//! | `m` `h` | height modulo [`RECENT_BLOCKS`] | the digest of a recent block of an epoch with measurements |
//! | `m` `t` | | the current epoch's sampled heights |
//! | `m` `r` | validator | its report of the current epoch |
//! | `m` `o` | epoch, validator | proof that it reported two things |
//! | `m` `w` | epoch | measured weights and what they came from |

use aegis_types::{AccountId, Epoch, Height, KvRecord, ProposalId, ValidatorId};

/// Where the chain stands.
pub(crate) const HEAD: &[u8] = b"h";
/// Agreed parameters.
pub(crate) const PARAMETERS: &[u8] = b"p";
/// The current epoch's validator set.
pub(crate) const VALIDATORS_CURRENT: &[u8] = b"sc";
/// The next epoch's validator set, between a closing block and its handover.
pub(crate) const VALIDATORS_NEXT: &[u8] = b"sn";
/// The previous epoch's validator set, against which late evidence is judged.
pub(crate) const VALIDATORS_PREVIOUS: &[u8] = b"sp";
/// Pending changes of the validator set.
pub(crate) const PENDING: &[u8] = b"w";
/// Offenders.
pub(crate) const OFFENDERS: &[u8] = b"f";
/// Evidence on record.
pub(crate) const EVIDENCE: &[u8] = b"e";
/// The key-value state.
pub(crate) const KV: &[u8] = KvRecord::STATE_PREFIX;
/// Idempotency keys to forget.
pub(crate) const FORGET: &[u8] = b"x";
/// Open votes by deadline.
pub(crate) const DEADLINES: &[u8] = b"d";
/// Voted proposals, the newest first.
pub(crate) const OPENINGS: &[u8] = b"o";
/// Closed votes that did not pass.
pub(crate) const CLOSED_NOT_PASSED: &[u8] = b"c\x00";
/// Closed votes that passed.
pub(crate) const CLOSED_PASSED: &[u8] = b"c\x01";
/// What the current epoch with measurements began with.
pub(crate) const STANDING_CURRENT: &[u8] = b"mc";
/// What the next one begins with, between a closing block and its handover.
pub(crate) const STANDING_NEXT: &[u8] = b"mn";
/// The current epoch's sample.
pub(crate) const SAMPLE: &[u8] = b"mt";
/// The current epoch's reports.
pub(crate) const REPORTS: &[u8] = b"mr";
/// Contradictory reports.
pub(crate) const REPORT_OFFENCES: &[u8] = b"mo";
/// Measured weights by epoch.
pub(crate) const WEIGHTS: &[u8] = b"mw";

/// How many recent blocks have their digests kept: a sample is drawn from the last 1,000.
pub(crate) const RECENT_BLOCKS: u64 = 1_024;

pub(crate) fn recent_block(height: Height) -> Vec<u8> {
    join(b"mh", &[&(height.0 % RECENT_BLOCKS).to_be_bytes()])
}

pub(crate) fn report(validator: &ValidatorId) -> Vec<u8> {
    join(REPORTS, &[&validator.0])
}

pub(crate) fn report_offence(epoch: Epoch, validator: &ValidatorId) -> Vec<u8> {
    join(REPORT_OFFENCES, &[&epoch.0.to_be_bytes(), &validator.0])
}

pub(crate) fn weights(epoch: Epoch) -> Vec<u8> {
    join(WEIGHTS, &[&epoch.0.to_be_bytes()])
}

pub(crate) fn pending(validator: &ValidatorId) -> Vec<u8> {
    join(PENDING, &[&validator.0])
}

pub(crate) fn offender(validator: &ValidatorId) -> Vec<u8> {
    join(OFFENDERS, &[&validator.0])
}

pub(crate) fn evidence(epoch: Epoch, validator: &ValidatorId) -> Vec<u8> {
    join(EVIDENCE, &[&epoch.0.to_be_bytes(), &validator.0])
}

pub(crate) fn kv(key: &str) -> Vec<u8> {
    KvRecord::state_key(key)
}

pub(crate) fn first_result(account: &AccountId, idempotency_key: &str) -> Vec<u8> {
    join(b"i", &[&account.0, idempotency_key.as_bytes()])
}

pub(crate) fn forget(at_ms: u64, height: Height, number: u32) -> Vec<u8> {
    join(FORGET, &[&at_ms.to_be_bytes(), &height.0.to_be_bytes(), &number.to_be_bytes()])
}

pub(crate) fn voted(proposal: &ProposalId) -> Vec<u8> {
    join(b"v", &[&proposal.0])
}

pub(crate) fn body(proposal: &ProposalId) -> Vec<u8> {
    join(b"b", &[&proposal.0])
}

/// The prefix of all votes on a proposal.
pub(crate) fn votes(proposal: &ProposalId) -> Vec<u8> {
    join(b"t", &[&proposal.0])
}

pub(crate) fn vote(proposal: &ProposalId, validator: &ValidatorId) -> Vec<u8> {
    join(b"t", &[&proposal.0, &validator.0])
}

pub(crate) fn deadline(deadline_ms: u64, proposal: &ProposalId) -> Vec<u8> {
    join(DEADLINES, &[&deadline_ms.to_be_bytes(), &proposal.0])
}

pub(crate) fn opening(height: Height, position: u32) -> Vec<u8> {
    join(OPENINGS, &[&(!height.0).to_be_bytes(), &(!position).to_be_bytes()])
}

pub(crate) fn open_count(account: &AccountId) -> Vec<u8> {
    join(b"n", &[&account.0])
}

/// `class` is [`CLOSED_PASSED`] or [`CLOSED_NOT_PASSED`].
pub(crate) fn closed(class: &[u8], closed_ms: u64, proposal: &ProposalId) -> Vec<u8> {
    join(class, &[&closed_ms.to_be_bytes(), &proposal.0])
}

/// The number that stands `skip` bytes into a key.
pub(crate) fn number_at(key: &[u8], skip: usize) -> Option<u64> {
    key.get(skip..)?.first_chunk().copied().map(u64::from_be_bytes)
}

/// The 32 bytes that a key ends with: a proposal or a validator.
pub(crate) fn last_id(key: &[u8]) -> Option<[u8; 32]> {
    key.last_chunk().copied()
}

fn join(prefix: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_types::Hash;

    #[test]
    fn deadlines_sort_by_time_and_openings_from_newest_to_oldest() {
        let id = Hash([7; 32]);
        assert!(deadline(255, &id) < deadline(256, &id));
        assert!(opening(Height(9), 0) < opening(Height(8), 5));
        assert!(opening(Height(9), 2) < opening(Height(9), 1));
    }

    #[test]
    fn parts_of_a_key_are_read_back() {
        let id = Hash([7; 32]);
        assert_eq!(number_at(&deadline(77, &id), DEADLINES.len()), Some(77));
        assert_eq!(number_at(&closed(CLOSED_PASSED, 78, &id), CLOSED_PASSED.len()), Some(78));
        assert_eq!(last_id(&deadline(77, &id)), Some(id.0));
        assert_eq!(number_at(b"d", 1), None);
        assert_eq!(last_id(b"d"), None);
    }
}
