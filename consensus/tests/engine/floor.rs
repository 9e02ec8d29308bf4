//! A validator that has lost votes: silent where they count, a validator again beyond.

use aegis_consensus::limits::VIEW_CHANGE_WINDOWS;
use aegis_consensus::{Engine, NextEpoch, Output, Record, VoteFloor};
use aegis_types::{BlockKind, Epoch, Executed, Header, Height, ValidatorSet, VoteKind};

use crate::support::effects::{committed, messages, view_changes, voted};
use crate::support::subject::Subject;
use crate::support::{EPOCH_MS, GENESIS_MS, Net, TIMEOUT_MS, WINDOW, root};

fn with_floor<'a>(net: &'a Net, floor: VoteFloor, records: Vec<Record>) -> Subject<'a> {
    let mut subject = Subject::follower(net);
    let mut start = net.start(subject.me, records);
    start.floor = floor;
    subject.engine = Engine::recover(start);
    subject
}

fn next_set(net: &Net) -> ValidatorSet {
    ValidatorSet::new(Epoch(1), net.set().members().to_vec()).unwrap()
}

/// A closing block and the handover above it.
fn boundary(net: &Net) -> [Header; 2] {
    let closing =
        Header { timestamp_ms: GENESIS_MS + EPOCH_MS, kind: BlockKind::Closing, ..net.header(0, None, &[]) };
    let handover = Header {
        timestamp_ms: closing.timestamp_ms + 1,
        executed: Executed { height: closing.height, state_root: root(closing.height) },
        kind: BlockKind::Handover { next_validators_hash: next_set(net).hash() },
        ..net.header(0, Some(&closing), &[])
    };
    [closing, handover]
}

fn cross(subject: &mut Subject<'_>) -> Vec<Output> {
    let [closing, handover] = boundary(subject.net);
    subject.at_ms = EPOCH_MS + 5;
    let mut outputs = subject.sync(&closing);
    let parameters = subject.net.genesis.parameters.clone();
    let next = NextEpoch { validators: next_set(subject.net), parameters };
    outputs.extend(subject.executed(Height(1), Some(next)));
    outputs.extend(subject.sync(&handover));
    outputs
}

#[test]
fn below_its_epoch_a_validator_says_nothing_and_follows_blocks() {
    let net = Net::equal(4);
    let mut subject = with_floor(&net, VoteFloor { epoch: Epoch(1), height: Height::ZERO }, Vec::new());
    assert!(!subject.engine.status().is_member);
    assert_eq!(subject.engine.deadline(), None, "it leaves no view");
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    let outputs = subject.bring_to_commit(0, &header);
    assert_eq!(messages(&outputs).len(), 0, "{outputs:?}");
    assert_eq!(committed(&subject.sync(&header)), [header]);
}

#[test]
fn it_takes_its_seat_when_it_enters_its_epoch_and_not_before() {
    let net = Net::equal(4);
    let mut voter = with_floor(&net, VoteFloor { epoch: Epoch(1), height: Height::ZERO }, Vec::new());
    cross(&mut voter);
    assert!(voter.engine.status().is_member);
    assert!(!voter.run_until(voter.at_ms + 2 * TIMEOUT_MS).is_empty(), "its timer runs");

    let mut silent = with_floor(&net, VoteFloor::UNKNOWN, Vec::new());
    cross(&mut silent);
    assert!(!silent.engine.status().is_member);
    silent.engine.set_floor(VoteFloor { epoch: Epoch(2), height: Height::ZERO });
    assert!(!silent.engine.status().is_member, "epoch 1 is still below it");
    silent.engine.set_floor(VoteFloor { epoch: Epoch(1), height: Height::ZERO });
    assert!(silent.engine.status().is_member);
}

#[test]
fn below_its_height_it_keeps_silent_and_what_it_promised_above_binds_and_counts() {
    let net = Net::equal(4);
    let chain = net.chain(0, 3);
    let mut before = Subject::follower(&net);
    before.hold_all(&chain);
    let mut records = Vec::new();
    for header in &chain {
        records.extend(before.propose(0, header).into_iter().filter_map(|output| match output {
            Output::Persist(record) => Some(record),
            _ => None,
        }));
    }
    assert_eq!(records.len(), 3);
    // A checkpoint dropped the votes for the first two blocks; then the log was lost.
    let mut subject =
        with_floor(&net, VoteFloor { epoch: Epoch::ZERO, height: Height(2) }, records.split_off(2));
    subject.hold_all(&chain);
    assert_eq!(messages(&subject.propose(0, &chain[0])).len(), 0);
    subject.sync(&chain[0]);
    assert_eq!(messages(&subject.propose(0, &chain[1])).len(), 0);
    subject.sync(&chain[1]);
    assert!(subject.engine.status().is_member);

    let others = net.others(&[subject.me, net.leader(0)]);
    subject.propose(0, &chain[2]);
    let outputs = subject.votes(&others[..1], VoteKind::Prepare, 0, &chain[2]);
    assert_eq!(voted(&outputs, VoteKind::Prepare), [], "that vote was cast before");
    assert_eq!(voted(&outputs, VoteKind::Commit), [Height(3)], "with it, the quorum is complete");
}

/// The record of an own Commit in view 0.
fn committing(net: &Net, me: usize, header: &Header) -> Record {
    let certificate = net.certified(VoteKind::Prepare, 0, header).certificate;
    Record::Committing {
        header: header.clone(),
        certificate,
        vote: net.vote(me, VoteKind::Commit, 0, header),
    }
}

#[test]
fn who_has_lost_its_blocks_and_not_its_votes_takes_its_seat_when_it_can_show_all_its_promises() {
    let net = Net::equal(4);
    let listed = WINDOW * VIEW_CHANGE_WINDOWS;
    let lost = 3;
    let chain = net.chain(0, listed + lost);
    let me = Subject::follower(&net).me;
    let records = chain.iter().map(|header| committing(&net, me, header)).collect();
    let mut subject = with_floor(&net, VoteFloor::NONE, records);
    subject.hold_all(&chain);
    for header in &chain[..lost as usize] {
        let status = subject.engine.status();
        assert_eq!((status.is_member, status.votes_from), (false, Some(Height(lost))));
        assert_eq!(messages(&subject.run_until(subject.at_ms + 100 * TIMEOUT_MS)).len(), 0);
        assert_eq!(subject.engine.committing(), Some(Height(listed + lost)), "it still knows what it did");
        assert_eq!(committed(&subject.sync(header)), std::slice::from_ref(header));
        subject.executed(header.height, None);
    }
    let status = subject.engine.status();
    assert_eq!((status.is_member, status.votes_from), (true, None));
    let wishes = view_changes(&subject.run_until(subject.at_ms + 100 * TIMEOUT_MS));
    assert!(!wishes.is_empty() && wishes.iter().all(|wish| !wish.is_overlong(WINDOW)), "{wishes:?}");
    assert_eq!(wishes[0].prepared.len() as u64, listed);
}

#[test]
fn a_journal_as_far_ahead_as_a_crash_may_leave_it_keeps_nobody_from_its_seat() {
    let net = Net::equal(4);
    let chain = net.chain(0, WINDOW * VIEW_CHANGE_WINDOWS);
    let me = Subject::follower(&net).me;
    let records = chain.iter().map(|header| committing(&net, me, header)).collect();
    let subject = with_floor(&net, VoteFloor::NONE, records);
    assert!(subject.engine.status().is_member);
}
