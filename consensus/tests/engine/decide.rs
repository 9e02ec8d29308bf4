//! Rule 4: what is decided, and what is not believed.

use aegis_consensus::limits::EXECUTION_LAG_WINDOWS;
use aegis_consensus::{Input, Output};
use aegis_types::{Executed, Hash, Header, Height, Signature, VoteKind};

use crate::support::effects::{accused, committed, fetched_batches, fetched_blocks};
use crate::support::subject::Subject;
use crate::support::{Net, WINDOW, root};

#[test]
fn a_block_is_decided_with_its_certificate_when_commits_reach_a_quorum() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.bring_to_commit(0, &header);
    let [first, second] = subject.others()[..2] else { unreachable!() };

    assert_eq!(subject.votes(&[first], VoteKind::Commit, 0, &header), []);
    let outputs = subject.votes(&[second], VoteKind::Commit, 0, &header);

    let certificate = net.certificate(VoteKind::Commit, 0, &header, &[subject.me, first, second]);
    assert_eq!(outputs, [Output::Committed { header, certificate }]);
    assert_eq!(subject.engine.height(), Height(1));
}

#[test]
fn blocks_are_handed_out_in_the_order_of_heights() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 3);
    subject.hold_all(&chain);
    for header in &chain {
        subject.bring_to_commit(0, header);
    }
    let others = subject.others();
    for header in chain[1..].iter().rev() {
        assert_eq!(committed(&subject.votes(&others, VoteKind::Commit, 0, header)), []);
    }
    assert_eq!(committed(&subject.votes(&others, VoteKind::Commit, 0, &chain[0])), chain);
}

#[test]
fn commits_of_a_view_that_was_left_still_decide() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.bring_to_commit(0, &header);
    let view = net.view_led_by(subject.others()[0], 0);
    for other in subject.others().into_iter().take(2) {
        subject.receive(other, aegis_consensus::Message::ViewChange(net.plain_view_change(other, view)));
    }
    assert!(subject.engine.status().target.is_some());
    let others = subject.others();
    assert_eq!(committed(&subject.votes(&others, VoteKind::Commit, 0, &header)), [header]);
    assert!(subject.engine.status().target.is_some(), "and it stays silent in the view that it left");
}

#[test]
fn commits_for_an_unknown_header_lead_to_a_question_to_one_of_the_voters() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    let others = subject.others();
    let outputs = subject.votes(&others, VoteKind::Commit, 0, &header);
    let [(first, last, from)] = fetched_blocks(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((first, last), (Height(1), Height(1)));
    assert_ne!(from, net.id(subject.me));
    assert_eq!(committed(&outputs), []);
}

#[test]
fn a_decided_block_waits_for_its_batches() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.propose(0, &header);
    let others = subject.others();
    let outputs = subject.votes(&others, VoteKind::Commit, 0, &header);
    assert_eq!((committed(&outputs), fetched_batches(&outputs).len()), (vec![], 0), "asked for already");
    let outputs = subject.hold(header.batches[0]);
    assert_eq!(committed(&outputs), [header]);
}

#[test]
fn a_synced_block_is_worth_what_its_certificate_is_worth() {
    let net = Net::equal(4);
    let header = net.chain(0, 1).remove(0);
    let right = net.certified(VoteKind::Commit, 0, &header).certificate;
    let below = net.certificate(VoteKind::Commit, 0, &header, &[0, 1]);
    let prepared = net.certified(VoteKind::Prepare, 0, &header).certificate;
    let other = net.certified(VoteKind::Commit, 0, &net.header(0, None, &[])).certificate;
    let mut forged = right.clone();
    forged.signatures[1].1 = Signature([1; 64]);
    let mut twice = below.clone();
    twice.signatures.push(below.signatures[1]);
    let mut outside = right.clone();
    outside.signatures[2].0 = 9;
    let mut relabelled = prepared.clone();
    relabelled.content.kind = VoteKind::Commit;
    let mut other_epoch = right.clone();
    other_epoch.content.epoch = aegis_types::Epoch(1);
    for (fault, certificate) in [
        ("below the quorum", below),
        ("Prepares", prepared),
        ("of another block", other),
        ("forged", forged),
        ("one signer twice", twice),
        ("a position outside the set", outside),
        ("Prepares relabelled", relabelled),
        ("another epoch", other_epoch),
    ] {
        let mut subject = Subject::follower(&net);
        assert_eq!(subject.synced(&header, certificate), [], "{fault}");
        assert_eq!(subject.engine.height(), Height::ZERO, "{fault}");
    }
    let mut subject = Subject::follower(&net);
    assert_eq!(committed(&subject.synced(&header, right)), [header]);
}

#[test]
fn every_certificate_is_of_its_own_epoch() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    // Signed by a quorum, with valid signatures, but in another epoch.
    let mut certificate = net.certified(VoteKind::Commit, 0, &header).certificate;
    certificate.content.epoch = aegis_types::Epoch(1);
    for (index, signature) in &mut certificate.signatures {
        let key = &net.keys[*index as usize];
        *signature = aegis_types::Vote::sign(certificate.content, key, &net.domain).signature;
    }
    assert_eq!(subject.synced(&header, certificate), []);
}

#[test]
fn a_synced_block_above_the_next_height_is_not_taken() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 2);
    assert_eq!(subject.sync(&chain[1]), []);
}

#[test]
fn decisions_wait_for_execution_that_lags_too_far() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let lag = WINDOW * EXECUTION_LAG_WINDOWS;
    let chain = net.chain(0, lag + 1);
    for header in &chain {
        subject.sync(header);
    }
    assert_eq!(subject.engine.height(), Height(lag));
    subject.executed(Height(1), None);
    subject.sync(&chain[lag as usize]);
    assert_eq!(subject.engine.height(), Height(lag + 1));
}

#[test]
fn a_certified_state_root_that_differs_stops_the_engine() {
    let net = Net::equal(4);
    let first = net.header(0, None, &[]);
    let damaged = Executed { height: Height(1), state_root: Hash::ZERO };
    let second = Header { executed: damaged, ..net.header(0, Some(&first), &[]) };
    let diverged = Output::Diverged { height: Height(1), certified: Hash::ZERO, computed: root(Height(1)) };

    let mut early = Subject::follower(&net);
    early.sync(&first);
    early.executed(Height(1), None);
    assert_eq!(early.sync(&second), std::slice::from_ref(&diverged), "executed before the certificate came");

    let mut late = Subject::follower(&net);
    late.sync(&first);
    assert_eq!(committed(&late.sync(&second)).len(), 1);
    assert_eq!(late.executed(Height(1), None), [diverged], "executed afterwards");

    for mut stopped in [early, late] {
        assert_eq!(stopped.engine.deadline(), None);
        assert_eq!(stopped.input(Input::Tick), [], "a stopped engine says nothing");
        assert_eq!(stopped.propose(0, &net.header(0, Some(&second), &[])), []);
    }
}

#[test]
fn a_certified_fork_stops_the_engine() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let ours = net.chain(0, 1).remove(0);
    let theirs = net.header(0, None, &[]);
    let above = net.header(0, Some(&theirs), &[]);
    subject.sync(&ours);
    let outputs = subject.sync(&above);
    assert!(matches!(outputs[..], [Output::Diverged { height: Height(2), .. }]), "{outputs:?}");
}

#[test]
fn forged_commits_do_not_decide() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.bring_to_commit(0, &header);
    let [forger, first, second] = subject.others()[..] else { unreachable!() };
    let mut forged = net.vote(forger, VoteKind::Commit, 0, &header);
    forged.signature = Signature([9; 64]);
    subject.receive(forger, aegis_consensus::Message::Vote(forged));
    let outputs = subject.votes(&[first], VoteKind::Commit, 0, &header);
    assert_eq!((committed(&outputs), accused(&outputs)), (vec![], vec![net.id(forger)]));
    assert_eq!(committed(&subject.votes(&[second], VoteKind::Commit, 0, &header)), [header]);
}
