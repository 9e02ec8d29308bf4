//! How near to a voter's clock the timestamp of a block must be. (How far ahead it may be stands in `prepare`.)

use aegis_consensus::{Message, Output};
use aegis_types::{Header, VoteKind};

use crate::support::effects::{accused, vote_contents, voted, votes};
use crate::support::subject::Subject;
use crate::support::{DRIFT_MS, GENESIS_MS, IDLE_MS, Net, TIMEOUT_MS, content};

/// A header that was made so long before the subject's clock.
fn behind(subject: &Subject<'_>, view: u64, behind_ms: u64) -> Header {
    Header { timestamp_ms: GENESIS_MS + subject.at_ms - behind_ms, ..subject.net.header(view, None, &[]) }
}

#[test]
fn a_fresh_proposal_older_than_drift_and_timeout_gets_no_vote_and_nobody_is_accused() {
    let net = Net::equal(4);
    for (behind_ms, expected) in [(DRIFT_MS + TIMEOUT_MS, 1), (DRIFT_MS + TIMEOUT_MS + 1, 0)] {
        let mut subject = Subject::follower(&net);
        subject.at_ms = 2 * (DRIFT_MS + TIMEOUT_MS);
        let header = behind(&subject, 0, behind_ms);
        let outputs = subject.propose(0, &header);
        assert_eq!((votes(&outputs).len(), accused(&outputs)), (expected, vec![]), "{behind_ms} ms behind");
    }
}

#[test]
fn the_bound_grows_with_the_timeout() {
    let net = Net::equal(4);
    for (behind_ms, expected) in [(DRIFT_MS + 2 * TIMEOUT_MS, 1), (DRIFT_MS + 2 * TIMEOUT_MS + 1, 0)] {
        let mut subject = Subject::follower(&net);
        // Work, and no commit: it leaves its view, and gives the next one twice as long.
        subject.propose(0, &net.header(0, None, &[]));
        subject.run_until(5 * TIMEOUT_MS);
        let view = net.view_led_by(net.others(&[subject.me])[0], 0);
        subject.receive(net.leader(view), Message::NewView(net.plain_new_view(view)));
        let header = behind(&subject, view, behind_ms);
        let outputs = subject.propose(view, &header);
        assert_eq!(votes(&outputs).len(), expected, "{behind_ms} ms behind");
    }
}

#[test]
fn what_an_earlier_view_prepared_may_be_of_any_age() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let old = net.header(0, None, &[]);
    subject.at_ms = 3_600_000;
    let view = net.view_led_by(net.others(&[subject.me])[0], 0);
    let [a, b, c] = subject.others()[..] else { unreachable!() };
    let prepared = vec![net.certified(VoteKind::Prepare, 0, &old)];
    let changes = vec![
        net.plain_view_change(a, view),
        net.plain_view_change(b, view),
        net.view_change(c, view, None, prepared),
    ];
    let outputs = subject.receive(net.leader(view), Message::NewView(net.new_view(view, changes)));
    assert_eq!(vote_contents(&outputs), [content(VoteKind::Prepare, view, &old)]);
}

#[test]
fn a_leader_stamps_what_it_proposes_with_its_clock() {
    let net = Net::equal(4);
    let mut subject = Subject::leader(&net);
    let outputs = subject.tick(IDLE_MS + TIMEOUT_MS / 2);
    let proposed = outputs.iter().find_map(|output| match output {
        Output::Broadcast(Message::PrePrepare(message)) => Some(message.header.timestamp_ms),
        _ => None,
    });
    assert_eq!(proposed, Some(GENESIS_MS + IDLE_MS + TIMEOUT_MS / 2));
}

#[test]
fn what_has_come_in_time_does_not_grow_too_old_while_it_waits_for_its_parent() {
    let net = Net::equal(4);
    let mut subject = Subject::follower(&net);
    let chain = net.chain(0, 2);
    for header in &chain {
        subject.propose(0, header);
    }
    subject.at_ms = DRIFT_MS + 2 * TIMEOUT_MS;
    let mut outputs = subject.hold(chain[0].batches[0]);
    outputs.extend(subject.hold(chain[1].batches[0]));
    assert_eq!(voted(&outputs, VoteKind::Prepare), [chain[0].height, chain[1].height]);
}
