//! How near to a voter's clock the timestamp of a block must be. (How far ahead it may be stands in `prepare`.)

use aegis_consensus::limits::AGE_TIMEOUTS;
use aegis_consensus::{Message, Output};
use aegis_types::{Header, VoteKind};

use crate::support::effects::{accused, view_changes, vote_contents, voted, votes};
use crate::support::subject::Subject;
use crate::support::{DRIFT_MS, GENESIS_MS, IDLE_MS, Net, TIMEOUT_MS, content};

/// A header that was made so long before the subject's clock.
fn behind(subject: &Subject<'_>, view: u64, behind_ms: u64) -> Header {
    Header { timestamp_ms: GENESIS_MS + subject.at_ms - behind_ms, ..subject.net.header(view, None, &[]) }
}

#[test]
fn a_fresh_proposal_older_than_drift_and_two_timeouts_gets_no_vote_and_nobody_is_accused() {
    let net = Net::equal(4);
    let bound = DRIFT_MS + AGE_TIMEOUTS * TIMEOUT_MS;
    for (behind_ms, expected) in [(bound, 1), (bound + 1, 0)] {
        let mut subject = Subject::follower(&net);
        subject.at_ms = 2 * bound;
        let header = behind(&subject, 0, behind_ms);
        let outputs = subject.propose(0, &header);
        assert_eq!((votes(&outputs).len(), accused(&outputs)), (expected, vec![]), "{behind_ms} ms behind");
    }
}

#[test]
fn the_bound_grows_with_the_timeout() {
    let net = Net::equal(4);
    let bound = DRIFT_MS + AGE_TIMEOUTS * 2 * TIMEOUT_MS;
    for (behind_ms, expected) in [(bound, 1), (bound + 1, 0)] {
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
fn what_waits_for_its_batches_grows_too_old_and_the_view_ends() {
    let net = Net::equal(4);
    let bound = DRIFT_MS + AGE_TIMEOUTS * TIMEOUT_MS;
    for (waits_ms, expected) in [(bound, 1), (bound + 1, 0)] {
        let mut subject = Subject::follower(&net);
        let header = net.chain(0, 1).remove(0);
        subject.propose(0, &header);
        // No tick comes between, or the view would have ended long before.
        subject.at_ms = header.timestamp_ms - GENESIS_MS + waits_ms;
        let outputs = subject.hold(header.batches[0]);
        assert_eq!(voted(&outputs, VoteKind::Prepare).len(), expected, "after {waits_ms} ms");
        assert_eq!(view_changes(&subject.tick(subject.at_ms)).len(), 1);
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
