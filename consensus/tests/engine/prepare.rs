//! Rule 2: what a validator prepares.

use aegis_consensus::{Message, Output, PrePrepare, Record};
use aegis_types::{BlockKind, Epoch, Executed, Hash, Header, Height, Limits, VoteKind};

use crate::support::effects::{accused, evidence, fetched_batches, vote_contents, voted, votes};
use crate::support::subject::Subject;
use crate::support::{DRIFT_MS, EPOCH_MS, GENESIS_MS, Net, TIMEOUT_MS, WINDOW, batch, content, root};

#[test]
fn a_proposal_whose_batches_are_held_is_prepared_after_persisting() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));

    let outputs = subject.propose(0, &header);

    let vote = net.vote(subject.me, VoteKind::Prepare, 0, &header);
    assert_eq!(
        outputs,
        [
            Output::Persist(Record::Prepared { header, vote: vote.clone() }),
            Output::Broadcast(Message::Vote(vote)),
        ]
    );
}

#[test]
fn a_missing_batch_is_asked_for_once_and_then_the_block_is_prepared() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    let outputs = subject.propose(0, &header);
    assert_eq!(fetched_batches(&outputs), [(1, header.proposer)]);
    assert_eq!(votes(&outputs), []);
    assert_eq!(subject.propose(0, &header), [], "asked for already");
    let outputs = subject.hold(header.batches[0]);
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(1)]);
}

#[test]
fn a_missing_batch_is_asked_for_elsewhere_when_it_does_not_come() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.propose(0, &header);
    let outputs = subject.run_until(TIMEOUT_MS - 1);
    let asked: std::collections::BTreeSet<_> =
        fetched_batches(&outputs).into_iter().map(|(_, from)| from).collect();
    assert!(asked.len() >= 2, "{asked:?}");
    assert!(!asked.contains(&net.id(subject.me)));
}

#[test]
fn heights_are_prepared_in_order_whatever_order_they_come_in() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 3);
    subject.hold_all(&chain);
    assert_eq!(votes(&subject.propose(0, &chain[2])), []);
    assert_eq!(votes(&subject.propose(0, &chain[1])), []);
    let outputs = subject.propose(0, &chain[0]);
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(1), Height(2), Height(3)]);
}

#[test]
fn a_height_above_the_window_waits_for_the_tip() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, WINDOW + 1);
    subject.hold_all(&chain);
    let mut outputs = Vec::new();
    for header in &chain {
        outputs.extend(subject.propose(0, header));
    }
    assert_eq!(voted(&outputs, VoteKind::Prepare).len() as u64, WINDOW);
    let outputs = subject.sync(&chain[0]);
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(WINDOW + 1)]);
}

#[test]
fn a_second_proposal_for_a_height_is_evidence_and_gets_no_vote() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let leader = net.leader(0);
    let first = net.header(0, None, &[batch(net.id(0), 1)]);
    let second = net.header(0, None, &[batch(net.id(0), 2)]);
    subject.hold_all(&[first.clone(), second.clone()]);
    subject.propose(0, &first);

    let outputs = subject.propose(0, &second);

    let votes =
        (net.vote(leader, VoteKind::Prepare, 0, &first), net.vote(leader, VoteKind::Prepare, 0, &second));
    assert_eq!(evidence(&outputs), [votes]);
    assert_eq!(vote_contents(&outputs), []);
}

#[test]
fn a_proposal_of_somebody_who_does_not_lead_is_reported() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    let impostor = net.others(&[subject.me, net.leader(0)])[0];
    let vote = net.vote(impostor, VoteKind::Prepare, 0, &header);
    let message = Message::PrePrepare(PrePrepare { header: header.clone(), vote });
    let outputs = subject.receive(impostor, message);
    assert_eq!(accused(&outputs), [net.id(impostor)]);
    let relayed = subject.receive(impostor, net.pre_prepare(0, &header));
    assert_eq!(accused(&relayed), [net.id(impostor)], "a leader delivers its proposals itself");
}

#[test]
fn a_header_and_a_vote_that_do_not_belong_together_are_reported() {
    let net = Net::equal(4);
    let header = net.chain(0, 1).remove(0);
    let other = net.header(0, None, &[]);
    let leader = net.leader(0);
    for vote in [
        net.vote(leader, VoteKind::Prepare, 0, &other),
        net.vote(leader, VoteKind::Commit, 0, &header),
        net.vote(leader, VoteKind::Prepare, 0, &Header { height: Height(2), ..header.clone() }),
    ] {
        let mut subject = Subject::follower(&net);
        subject.hold_all(std::slice::from_ref(&header));
        let message = Message::PrePrepare(PrePrepare { header: header.clone(), vote });
        let outputs = subject.receive(leader, message);
        assert_eq!((accused(&outputs), votes(&outputs)), (vec![net.id(leader)], vec![]));
    }
}

/// Headers at height 2 that a correct validator refuses, each for one reason.
fn faulty_headers(net: &Net, right: &Header, first: &Header) -> Vec<(&'static str, Header)> {
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = right.clone();
        change(&mut header);
        header
    };
    let follower = net.id(net.others(&[net.leader(0)])[0]);
    let mut huge = batch(net.id(0), 77);
    huge.bytes = u32::try_from(Limits::BLOCK_BYTES).unwrap() + 1;
    let mut misdescribed = right.batches[0];
    misdescribed.proposals += 1;
    vec![
        ("validator set", with(&|header| header.validators_hash = Hash::ZERO)),
        ("parent", with(&|header| header.parent = net.genesis.hash())),
        ("proposer", with(&|header| header.proposer = follower)),
        ("timestamp", with(&|header| header.timestamp_ms = first.timestamp_ms)),
        (
            "own execution",
            with(&|header| header.executed = Executed { height: Height(2), state_root: root(Height(2)) }),
        ),
        ("state root", with(&|header| header.executed.state_root = Hash::ZERO)),
        ("payload", with(&|header| header.batches = vec![huge])),
        ("batch named twice", with(&|header| header.batches = vec![right.batches[0]; 2])),
        ("batch of an open block", with(&|header| header.batches.clone_from(&first.batches))),
        ("description of a batch", with(&|header| header.batches = vec![misdescribed])),
        ("closing too early", with(&|header| header.kind = BlockKind::Closing)),
        (
            "handover after a normal block",
            with(&|header| header.kind = BlockKind::Handover { next_validators_hash: Hash::ZERO }),
        ),
    ]
}

#[test]
fn every_faulty_header_is_refused_and_its_leader_reported() {
    let net = Net::equal(4);
    let chain = net.chain(0, 2);
    let (first, right) = (&chain[0], &chain[1]);
    for (fault, header) in faulty_headers(&net, right, first) {
        let mut subject = Subject::follower(&net);
        subject.hold_all(&chain);
        subject.propose(0, first);
        let outputs = subject.propose(0, &header);
        assert_eq!(votes(&outputs), [], "{fault}");
        assert_eq!(accused(&outputs), [net.id(net.leader(0))], "{fault}");
    }
    let mut subject = Subject::follower(&net);
    subject.hold_all(&chain);
    subject.propose(0, first);
    assert_eq!(voted(&subject.propose(0, right), VoteKind::Prepare), [Height(2)], "the right one");
}

#[test]
fn certified_state_that_lags_too_far_or_goes_back_is_refused() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let lag = WINDOW * 3;
    let chain = net.chain(0, lag + 1);
    subject.hold_all(&chain);
    for header in &chain[..lag as usize] {
        subject.sync(header);
    }
    for height in 1..=lag {
        subject.executed(Height(height), None);
    }
    let outputs = subject.propose(0, &chain[lag as usize]);
    assert_eq!(accused(&outputs), [net.id(net.leader(0))]);
}

#[test]
fn a_header_of_another_epoch_is_refused() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = Header { epoch: Epoch(1), ..net.header(0, None, &[]) };
    let vote = net.vote(net.leader(0), VoteKind::Prepare, 0, &Header { epoch: Epoch(0), ..header.clone() });
    let outputs = subject.receive(net.leader(0), Message::PrePrepare(PrePrepare { header, vote }));
    assert_eq!((votes(&outputs), accused(&outputs).len()), (vec![], 1));
}

#[test]
fn a_timestamp_ahead_of_the_clock_waits_for_the_clock() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let ahead = 100;
    let header =
        Header { timestamp_ms: GENESIS_MS + subject.at_ms + DRIFT_MS + ahead, ..net.header(0, None, &[]) };
    let outputs = subject.propose(0, &header);
    assert_eq!((votes(&outputs), accused(&outputs)), (vec![], vec![]));
    assert_eq!(vote_contents(&subject.tick(subject.at_ms + ahead - 1)), []);
    let outputs = subject.tick(subject.at_ms + 1);
    assert_eq!(vote_contents(&outputs), [content(VoteKind::Prepare, 0, &header)]);
}

#[test]
fn a_state_that_is_not_executed_here_yet_waits_for_execution() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let first = net.header(0, None, &[]);
    let executed = Executed { height: Height(1), state_root: root(Height(1)) };
    let second = Header { executed, ..net.header(0, Some(&first), &[]) };
    subject.sync(&first);
    assert_eq!(votes(&subject.propose(0, &second)), []);
    let outputs = subject.executed(Height(1), None);
    assert_eq!(voted(&outputs, VoteKind::Prepare), [Height(2)]);
}

#[test]
fn a_block_past_the_epochs_end_must_be_the_closing_one() {
    let net = Net::equal(4);
    let at_ms = EPOCH_MS + 5;
    let late = Header { timestamp_ms: GENESIS_MS + at_ms, ..net.header(0, None, &[]) };
    let closing = Header { kind: BlockKind::Closing, ..late.clone() };
    for (header, expected) in [(late, 0), (closing, 1)] {
        let mut subject = Subject::follower(&net);
        subject.at_ms = at_ms;
        let outputs = subject.propose(0, &header);
        assert_eq!(votes(&outputs).len(), expected, "{:?}", header.kind);
        assert_eq!(accused(&outputs).len(), 1 - expected);
    }
}
