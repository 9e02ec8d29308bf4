//! Which reports and which evidence against reporters are taken.

use aegis_ledger::{Admission, LedgerEvent, Outcome, weights};
use aegis_metrics::weights::explain::Ineligible;
use aegis_types::{Canonical, Epoch, Height, ProposalBody, SampledVotes};

use super::{fast, network::Network, validator};
use crate::support::{Chain, code};

fn report_of(network: &mut Network, n: u8) -> (Vec<u8>, Vec<SampledVotes>) {
    let sample = weights::sample(&network.chain.state).unwrap().expect("it is drawn");
    (network.signed(n).encode(), network.sampled(n, &sample))
}

/// What becomes of a report that account `n` submits. The judgement before it is batched must be the same.
fn verdict(network: &mut Network, n: u8, body: ProposalBody) -> String {
    let proposal = network.chain.proposal(n, body.clone());
    let admission = network.chain.ledger.check(&network.chain.state, &proposal, network.chain.now).unwrap();
    let outcome = network.chain.submit(n, body).1;
    match (admission, outcome) {
        (Admission::Fresh, Outcome::Applied { .. }) => "applied".to_owned(),
        (Admission::Refused { code, .. }, outcome) => {
            assert_eq!(code.name(), self::code(&outcome));
            code.name().to_owned()
        }
        (admission, outcome) => panic!("{admission:?}, but {outcome:?}"),
    }
}

#[test]
fn reports_are_taken_once_from_members_after_the_draw_and_only_while_weights_are_measured() {
    let mut network = Network::of(Chain::new(&[1; 4]));
    let (report, sampled) = (network.signed(1).encode(), Vec::new());
    let body = ProposalBody::MetricsReport { report, sampled };
    assert_eq!(verdict(&mut network, 1, body.clone()), "not-measured");

    let mut network = fast(7);
    assert_eq!(verdict(&mut network, 1, body), "report-too-early");
    let sample = network.draw();
    let body = network.body(1, &sample);
    assert_eq!(verdict(&mut network, 20, body.clone()), "not-a-validator");
    assert_eq!(verdict(&mut network, 2, body.clone()), "report-invalid", "it is another's");
    assert_eq!(verdict(&mut network, 1, body.clone()), "applied");
    assert_eq!(verdict(&mut network, 1, body), "report-known");
    let on_record = weights::reports(&network.chain.state).unwrap();
    assert_eq!(on_record.into_keys().collect::<Vec<_>>(), [validator(1)]);
    assert!(weights::has_reported(&network.chain.state, &validator(1)).unwrap());
}

#[test]
fn a_report_too_early_may_come_again_under_its_key() {
    let mut network = fast(4);
    let early = network.signed(1).encode();
    let proposal =
        network.chain.proposal(1, ProposalBody::MetricsReport { report: early, sampled: Vec::new() });
    let receipt = network.chain.block(vec![proposal.clone()]).receipts.remove(0);
    assert_eq!(code(&receipt.outcome), "report-too-early");
    network.draw();
    let receipt = network.chain.block(vec![proposal]).receipts.remove(0);
    assert_eq!(receipt.outcome, Outcome::applied());
}

#[test]
fn malformed_reports_are_refused_and_can_be_corrected() {
    let mut network = fast(7);
    network.draw();
    let (report, sampled) = report_of(&mut network, 1);
    let with = |change: &dyn Fn(&mut SampledVotes)| {
        let mut sampled = sampled.clone();
        change(&mut sampled[0]);
        ProposalBody::MetricsReport { report: report.clone(), sampled }
    };
    let unknown_height = with(&|votes| votes.height = Height(0));
    let below_quorum = with(&|votes| votes.voters = [0, 1, 2, 3].into_iter().collect());
    let stranger = with(&|votes| votes.voters.insert(7));
    let no_report = ProposalBody::MetricsReport { report: vec![1, 2, 3], sampled: sampled.clone() };
    for body in [unknown_height, below_quorum, stranger, no_report] {
        assert_eq!(verdict(&mut network, 1, body), "report-invalid");
    }
    let correct = ProposalBody::MetricsReport { report, sampled };
    assert_eq!(verdict(&mut network, 1, correct), "applied");
}

#[test]
fn a_wrong_signature_uses_up_the_reporters_turn() {
    let mut network = fast(7);
    let sample = network.draw();
    let (report, mut sampled) = report_of(&mut network, 1);
    let (height, digest) = sample.blocks[0];
    sampled[0].own = Some((aegis_types::View::ZERO, network.commit(2, height, digest).signature));
    let forged = ProposalBody::MetricsReport { report, sampled };
    assert_eq!(verdict(&mut network, 1, forged), "report-invalid");
    let body = network.body(1, &sample);
    assert_eq!(verdict(&mut network, 1, body), "report-known");
    assert!(weights::reports(&network.chain.state).unwrap().is_empty());
}

#[test]
fn a_report_of_the_epoch_before_is_refused() {
    let mut network = fast(7);
    let sample = network.draw();
    let body = network.body(1, &sample);
    network.chain.end_epoch(Vec::new());
    network.draw();
    assert_eq!(verdict(&mut network, 1, body), "report-invalid");
}

#[test]
fn two_reports_with_one_number_cost_the_report_and_the_core_and_nothing_else() {
    let mut network = fast(7);
    network.epochs(5);
    let sample = network.draw();
    network.report(&network.up(), &sample);
    let first = network.signed(2);
    let mut second = first.report.clone();
    second.rtt_us[0] += 1;
    let second = second.sign(&crate::support::keypair(2), &network.genesis().domain());
    let evidence = ProposalBody::MetricsEvidence { first: first.encode(), second: second.encode() };
    let turned = ProposalBody::MetricsEvidence { first: second.encode(), second: first.encode() };
    assert_eq!(verdict(&mut network, 20, evidence.clone()), "applied");
    assert_eq!(verdict(&mut network, 20, turned), "evidence-known");
    network.chain.end_epoch(Vec::new());
    assert_eq!(network.weights()[1], 1_000);
    assert_eq!(network.weights().len(), 7, "it stays a member");
    let outcome = weights::explain(&network.chain.state, Epoch(6)).unwrap().unwrap();
    let node = outcome.nodes.iter().find(|node| node.validator == validator(2)).unwrap();
    assert_eq!((node.reported, node.clean_epochs_after), (false, 0));
    assert!(node.ineligible.contains(&Ineligible::Equivocated));
    assert_eq!(verdict(&mut network, 20, evidence.clone()), "evidence-known", "also in the next epoch");
    network.epochs(1);
    assert_eq!(network.weights()[1], 1_000, "its clean epochs begin anew");
    assert_eq!(verdict(&mut network, 20, evidence), "evidence-out-of-date");
}

#[test]
fn evidence_that_proves_nothing_is_refused() {
    let mut network = fast(4);
    let (first, second) = (network.signed(1), network.signed(1));
    let pair = |a: &aegis_metrics::SignedReport, b: &aegis_metrics::SignedReport| {
        ProposalBody::MetricsEvidence { first: a.encode(), second: b.encode() }
    };
    let mut forged = first.clone();
    forged.report.rtt_us[1] += 1;
    let stranger = network.signed(9);
    let mut of_stranger = stranger.report.clone();
    of_stranger.height = Height(1);
    let of_stranger = of_stranger.sign(&crate::support::keypair(9), &network.genesis().domain());
    for body in [pair(&first, &second), pair(&first, &forged), pair(&stranger, &of_stranger)] {
        assert_eq!(verdict(&mut network, 20, body), "evidence-invalid");
    }
}

#[test]
fn a_report_makes_an_event() {
    let mut network = fast(4);
    let sample = network.draw();
    let body = network.body(3, &sample);
    let proposal = network.chain.proposal(3, body);
    let applied = network.chain.block(vec![proposal]);
    let expected = LedgerEvent::ReportRecorded { validator: validator(3), epoch: Epoch(0) };
    assert_eq!(applied.events, [expected]);
}
