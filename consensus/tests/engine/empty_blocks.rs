//! When a validator votes for a block that orders nothing. (When a leader makes one stands in `propose`.)

use aegis_consensus::limits::{CERTIFY_AFTER_MS, EMPTY_BLOCK_PART};
use aegis_types::{Header, Parameter, VoteKind};

use crate::support::effects::{accused, committed, view_changes, voted, votes};
use crate::support::subject::Subject;
use crate::support::{GENESIS_MS, Net};

/// An idle interval that is far longer than a view's timeout.
const LONG_MS: u64 = 50 * CERTIFY_AFTER_MS;
/// Such that nothing is sent again at the very moment when an empty block is due.
const UNEVEN_TIMEOUT_MS: u64 = 1_300;

fn net() -> Net {
    let mut net = Net::equal(4);
    net.genesis.parameters.set(Parameter::IdleIntervalMs, LONG_MS).unwrap();
    net.genesis.parameters.set(Parameter::ViewTimeoutMs, UNEVEN_TIMEOUT_MS).unwrap();
    net
}

/// Sees a block of the first view committed.
fn commit(subject: &mut Subject<'_>, header: &Header) {
    subject.bring_to_commit(0, header);
    let others = subject.others();
    assert_eq!(committed(&subject.votes(&others, VoteKind::Commit, 0, header)), std::slice::from_ref(header));
    subject.executed(header.height, None);
}

#[test]
fn an_empty_block_gets_its_vote_when_half_of_the_time_has_passed_and_not_before() {
    let net = net();
    let mut subject = Subject::follower(&net);
    let full = net.chain(0, 1).remove(0);
    let empty = net.header(0, Some(&full), &[]);
    subject.hold_all(std::slice::from_ref(&full));
    commit(&mut subject, &full);
    let due = subject.at_ms + CERTIFY_AFTER_MS / EMPTY_BLOCK_PART;

    let outputs = subject.propose(0, &empty);
    assert_eq!((votes(&outputs), accused(&outputs)), (vec![], vec![]));
    assert_eq!(votes(&subject.run_until(due - 1)), []);
    assert_eq!(voted(&subject.run_until(due), VoteKind::Prepare), [empty.height]);
}

#[test]
fn an_empty_block_that_came_too_early_ends_no_view() {
    let net = net();
    let mut subject = Subject::follower(&net);
    let first = net.header(0, None, &[]);
    commit(&mut subject, &first);
    let due = subject.at_ms + LONG_MS / EMPTY_BLOCK_PART;
    assert!(due > 10 * UNEVEN_TIMEOUT_MS);

    // Just before its time: made earlier, it would be too old by then.
    subject.run_until(due - 2 * UNEVEN_TIMEOUT_MS);
    let early = Header { timestamp_ms: GENESIS_MS + subject.at_ms, ..net.header(0, Some(&first), &[]) };
    subject.propose(0, &early);
    let before = subject.run_until(due - 1);
    assert_eq!((voted(&before, VoteKind::Prepare), view_changes(&before)), (vec![], vec![]));
    assert_eq!(voted(&subject.run_until(due), VoteKind::Prepare), [early.height]);
}

#[test]
fn empty_blocks_do_not_follow_one_another_before_they_are_committed() {
    let net = net();
    let mut subject = Subject::follower(&net);
    let first = net.header(0, None, &[]);
    let second = net.header(0, Some(&first), &[]);
    assert_eq!(voted(&subject.propose(0, &first), VoteKind::Prepare), [first.height]);
    assert_eq!(votes(&subject.propose(0, &second)), []);
}

#[test]
fn what_stands_on_an_empty_block_that_came_too_early_waits_and_ends_the_view() {
    let net = net();
    let mut subject = Subject::follower(&net);
    let first = net.header(0, None, &[]);
    let early = net.header(0, Some(&first), &[]);
    let full = net.header(0, Some(&early), &net.chain(0, 1)[0].batches);
    commit(&mut subject, &first);
    subject.propose(0, &early);
    assert_eq!(votes(&subject.propose(0, &full)), []);
    assert_eq!(view_changes(&subject.run_until(subject.at_ms + UNEVEN_TIMEOUT_MS)).len(), 1);
}

#[test]
fn who_does_not_know_when_the_tip_was_committed_lets_others_judge() {
    let net = net();
    let mut subject = Subject::follower(&net);
    let full = net.chain(0, 1).remove(0);
    subject.sync(&full);
    subject.executed(full.height, None);
    let empty = net.header(0, Some(&full), &[]);
    assert_eq!(voted(&subject.propose(0, &empty), VoteKind::Prepare), [empty.height]);
}

#[test]
fn a_leader_that_withholds_newer_state_makes_no_empty_block_due_sooner() {
    let net = net();
    let mut subject = Subject::follower(&net);
    let first = net.header(0, None, &[]);
    let second = net.header(0, Some(&first), &[]);
    commit(&mut subject, &first);
    let seen = subject.at_ms;
    subject.at_ms = seen + LONG_MS;
    let second = Header { timestamp_ms: GENESIS_MS + subject.at_ms, ..second };
    // It names the state before the first block, which changed nothing.
    commit(&mut subject, &second);
    let third = net.header(0, Some(&second), &[]);
    let at_ms = subject.at_ms + CERTIFY_AFTER_MS;
    subject.run_until(at_ms);
    let third = Header { timestamp_ms: GENESIS_MS + at_ms, ..third };
    assert_eq!(voted(&subject.propose(0, &third), VoteKind::Prepare), []);
}
