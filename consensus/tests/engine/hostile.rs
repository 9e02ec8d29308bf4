//! Forged, stolen and contradicting votes.

use aegis_consensus::Message;
use aegis_types::{Domain, Hash, Signature, Vote, VoteKind};

use crate::support::effects::{accused, evidence, vote_contents};
use crate::support::subject::Subject;
use crate::support::{Net, batch, content, key};

#[test]
fn two_votes_of_one_validator_in_one_round_are_evidence_that_anyone_can_check() {
    let net = Net::equal(4);
    let (one, two) = (net.header(0, None, &[]), net.header(0, None, &[batch(net.id(0), 1)]));
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        let mut subject = Subject::follower(&net);
        let liar = net.others(&[subject.me, net.leader(0)])[0];
        assert_eq!(subject.votes(&[liar], kind, 0, &one), []);
        let found = evidence(&subject.votes(&[liar], kind, 0, &two));
        let [(first, second)] = &found[..] else { panic!("{found:?}") };
        assert!(first.content.contradicts(&second.content));
        assert_eq!((first.validator, second.validator), (net.id(liar), net.id(liar)));
        assert!(first.verify(&net.domain) && second.verify(&net.domain));
    }
}

#[test]
fn a_validator_is_accused_once_however_often_it_lies() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let liar = net.others(&[subject.me, net.leader(0)])[0];
    let mut found = 0;
    for number in 0..20 {
        let header = net.header(0, None, &[batch(net.id(0), number)]);
        found += evidence(&subject.votes(&[liar], VoteKind::Prepare, 0, &header)).len();
    }
    assert_eq!(found, 1);
}

#[test]
fn votes_of_one_validator_in_different_views_or_kinds_are_no_contradiction() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let (one, two) = (net.header(0, None, &[]), net.header(1, None, &[]));
    let voter = subject.others()[0];
    let mut outputs = subject.votes(&[voter], VoteKind::Prepare, 0, &one);
    outputs.extend(subject.votes(&[voter], VoteKind::Prepare, 1, &two));
    outputs.extend(subject.votes(&[voter], VoteKind::Commit, 0, &two));
    assert_eq!(evidence(&outputs), []);
}

#[test]
fn a_forged_contradiction_accuses_its_sender_and_not_the_victim() {
    let net = Net::equal(4);
    let (one, two) = (net.header(0, None, &[]), net.header(0, None, &[batch(net.id(0), 1)]));
    let mut subject = Subject::follower(&net);
    let voter = subject.others()[0];
    subject.votes(&[voter], VoteKind::Prepare, 0, &one);
    let forged = Vote { signature: Signature([5; 64]), ..net.vote(voter, VoteKind::Prepare, 0, &two) };
    let outputs = subject.receive(voter, Message::Vote(forged.clone()));
    assert_eq!((evidence(&outputs), accused(&outputs)), (vec![], vec![net.id(voter)]));

    // The forged one comes first: the right one takes its place.
    let mut subject = Subject::follower(&net);
    subject.receive(voter, Message::Vote(forged));
    let outputs = subject.votes(&[voter], VoteKind::Prepare, 0, &one);
    assert_eq!(evidence(&outputs), []);
    assert_eq!(evidence(&subject.votes(&[voter], VoteKind::Prepare, 0, &two)).len(), 1);
}

#[test]
fn a_vote_of_somebody_else_is_reported_and_does_not_count() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    let [thief, victim] = net.others(&[subject.me, net.leader(0)])[..] else { unreachable!() };
    let outputs = subject.receive(thief, net.vote_message(victim, VoteKind::Prepare, 0, &header));
    assert_eq!((accused(&outputs), vote_contents(&outputs)), (vec![net.id(thief)], vec![]));
}

#[test]
fn a_stranger_is_not_heard() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let stranger = key(200);
    let header = net.chain(0, 1).remove(0);
    let vote = Vote::sign(content(VoteKind::Prepare, 0, &header), &stranger, &net.domain);
    let before = format!("{:?}", subject.engine);
    for message in [Message::Vote(vote), net.pre_prepare(0, &header)] {
        let input =
            aegis_consensus::Input::Message { from: stranger.validator_id(), message: Box::new(message) };
        let at_genesis = aegis_consensus::Now::default();
        assert_eq!(subject.engine.handle(at_genesis, input), []);
    }
    subject
        .engine
        .handle(crate::support::now(0), aegis_consensus::Input::BatchAvailable(batch(net.id(0), 1)));
    let mut expected = Subject::follower(&net);
    expected
        .engine
        .handle(crate::support::now(0), aegis_consensus::Input::BatchAvailable(batch(net.id(0), 1)));
    assert_eq!(format!("{:?}", subject.engine), format!("{:?}", expected.engine));
    assert_ne!(before, format!("{:?}", subject.engine));
}

#[test]
fn a_vote_of_another_chain_makes_no_certificate() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let header = net.chain(0, 1).remove(0);
    subject.hold_all(std::slice::from_ref(&header));
    subject.propose(0, &header);
    let other = net.others(&[subject.me, net.leader(0)])[0];
    let elsewhere = Domain::new("another-chain".parse().unwrap(), Hash::ZERO);
    let vote = Vote::sign(content(VoteKind::Prepare, 0, &header), &net.keys[other], &elsewhere);
    let outputs = subject.receive(other, Message::Vote(vote));
    assert_eq!((vote_contents(&outputs), accused(&outputs)), (vec![], vec![net.id(other)]));
}
