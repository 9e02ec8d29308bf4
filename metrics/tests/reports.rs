//! Reports: what is signed, what is refused, and what proves a liar.

use std::collections::{BTreeMap, BTreeSet};

use aegis_metrics::reports::{ChannelSummary, ReportContext, ReportedValues, agreed_octiles, latest_reports};
use aegis_metrics::{MetricsError, Micro, Report, ReportEvidence, SignedReport};
use aegis_types::{Canonical, Domain, Epoch, Hash, Height, Keypair, Member, ValidatorSet, Weight};
use proptest::prelude::*;

fn domain(name: &str) -> Domain {
    Domain::new(name.parse().unwrap(), Hash::ZERO)
}

fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

fn set() -> ValidatorSet {
    let members =
        (1..=4).map(|seed| Member { validator: keypair(seed).validator_id(), weight: Weight(1_000) });
    ValidatorSet::new(Epoch(3), members.collect()).unwrap()
}

fn report(seed: u8, sequence: u64) -> Report {
    let summary = |channel: u8| ChannelSummary {
        octiles: [-20_000, 9_000, 9_500, 10_000, 10_500, 11_000, 40_000 + i32::from(channel)],
        histogram: Some([70, 80, 75, 75, 80, 70, 75, 75]),
    };
    Report {
        epoch: Epoch(3),
        sequence,
        reporter: keypair(seed).validator_id(),
        height: Height(5_000),
        rtt_us: vec![0, 20_000, 35_000, 10_000_000],
        votes_in_time: vec![10_000, 9_990, 9_700, 0],
        channels: (0..8).map(|channel| (channel, summary(channel))).collect(),
        values: ReportedValues {
            phi: Some(Micro::new(11_000)),
            stability: Some(Micro::ZERO),
            divergence: None,
            leading_channel: Some(7),
            commit_latency_us: Some(130_000),
            p_value: Some(Micro::new(1)),
            shrinkage: Some(Micro::new(10_000)),
            cut: Some(0b0010_0000),
            samples: 600,
            channels: 0xff,
        },
        covered_weight: Weight(3_000),
    }
}

fn context(set: &ValidatorSet) -> ReportContext<'_> {
    ReportContext { set, height: Height(5_100), previous_sequence: Some(6) }
}

#[test]
fn a_report_survives_its_encoding_and_its_bytes_are_pinned() {
    let signed = report(1, 7).sign(&keypair(1), &domain("aegis-test-1"));
    let bytes = signed.encode();
    assert_eq!(SignedReport::decode(&bytes).unwrap(), signed);
    println!("a full report of four members has {} bytes", bytes.len());
    assert!(bytes.len() < 700);
    let pinned = "914bb3b3a4d197da66ec7052b6e957499b91528d60ad983bf6b8203c01a31873";
    assert_eq!(Hash::of("test", &report(1, 7).encode()).to_string(), pinned);
}

#[test]
fn a_signature_counts_for_its_reporter_content_and_chain_only() {
    let signed = report(1, 7).sign(&keypair(1), &domain("aegis-test-1"));
    assert!(signed.verify(&domain("aegis-test-1")));
    assert!(!signed.verify(&domain("aegis-test-2")));
    let mut changed = signed.clone();
    changed.report.rtt_us[1] = 1;
    assert!(!changed.verify(&domain("aegis-test-1")));
    assert!(!report(1, 7).sign(&keypair(2), &domain("aegis-test-1")).verify(&domain("aegis-test-1")));
}

#[test]
fn reports_out_of_place_or_time_are_refused() {
    let set = set();
    let check = |change: &dyn Fn(&mut Report)| {
        let mut report = report(1, 7);
        change(&mut report);
        report.check(context(&set))
    };
    assert_eq!(check(&|_| {}), Ok(()));
    assert!(matches!(
        check(&|report| report.epoch = Epoch(2)),
        Err(MetricsError::WrongEpoch { expected: 3, actual: 2 })
    ));
    assert!(matches!(
        check(&|report| report.sequence = 6),
        Err(MetricsError::OldSequence { previous: 6, .. })
    ));
    assert!(matches!(
        check(&|report| report.height = Height(3_099)),
        Err(MetricsError::StaleHeight { lowest: 3_100, .. })
    ));
    assert!(matches!(
        check(&|report| report.height = Height(7_101)),
        Err(MetricsError::StaleHeight { highest: 7_100, .. })
    ));
    assert!(matches!(
        check(&|report| report.rtt_us.truncate(3)),
        Err(MetricsError::BadRow { expected: 4, actual: 3 })
    ));
    // An observer has no row.
    let observer = |report: &mut Report| report.reporter = keypair(9).validator_id();
    assert!(matches!(check(&observer), Err(MetricsError::BadRow { expected: 0, actual: 4 })));
    assert_eq!(
        check(&|report| {
            observer(report);
            report.rtt_us.clear();
            report.votes_in_time.clear();
        }),
        Ok(())
    );
}

#[test]
fn values_outside_their_ranges_do_not_decode() {
    let refused = |change: &dyn Fn(&mut Report)| {
        let mut report = report(1, 7);
        change(&mut report);
        Report::decode(&report.encode()).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|report| report.rtt_us[0] = 10_000_001));
    assert!(refused(&|report| report.votes_in_time[0] = 10_001));
    assert!(refused(&|report| report.rtt_us = vec![0; 129]));
    assert!(refused(&|report| report.values.leading_channel = Some(8)));
    assert!(refused(&|report| {
        let summary = report.channels[&0];
        report.channels.insert(8, summary);
    }));
    assert!(refused(&|report| report.values.samples = 601), "a window has 600 samples");
    assert!(refused(&|report| report.channels.get_mut(&0).unwrap().octiles[6] = -30_000));
}

#[test]
fn a_histogram_counts_no_more_samples_than_the_window_has() {
    let decoded = |samples: u16, histogram: [u16; 8]| {
        let mut report = report(1, 7);
        report.values.samples = samples;
        report.channels.values_mut().for_each(|summary| summary.histogram = Some(histogram));
        Report::decode(&report.encode()).map(|_| ())
    };
    assert_eq!(decoded(600, [75; 8]), Ok(()));
    assert_eq!(decoded(100, [100, 0, 0, 0, 0, 0, 0, 0]), Ok(()));
    for (samples, histogram) in [
        (600, [75, 75, 75, 75, 75, 75, 75, 76]),
        (100, [101, 0, 0, 0, 0, 0, 0, 0]),
        (600, [0, 0, 0, 0, 0, 0, 0, u16::MAX]),
        (600, [u16::MAX; 8]),
    ] {
        let error = decoded(samples, histogram).unwrap_err().to_string();
        assert!(error.contains("histogram"), "{error}");
    }
}

#[test]
fn the_largest_report_fits_its_limit() {
    let mut largest = report(1, u64::MAX);
    largest.height = Height(u64::MAX);
    largest.epoch = Epoch(u64::MAX);
    largest.rtt_us = vec![10_000_000; 128];
    largest.votes_in_time = vec![10_000; 128];
    let extreme = ChannelSummary { octiles: [i32::MIN; 7], histogram: Some([75; 8]) };
    largest.channels.values_mut().for_each(|summary| *summary = extreme);
    let bytes = largest.encode();
    println!("the largest report has {} bytes of {}", bytes.len(), Report::MAX_BYTES);
    assert_eq!(Report::decode(&bytes).unwrap(), largest);
}

#[test]
fn two_reports_with_one_number_prove_a_liar_in_one_form() {
    let domain = domain("aegis-test-1");
    let first = report(1, 7).sign(&keypair(1), &domain);
    let second = Report { covered_weight: Weight(1), ..report(1, 7) }.sign(&keypair(1), &domain);
    let evidence = ReportEvidence::new(first.clone(), second.clone()).unwrap();
    assert_eq!(evidence, ReportEvidence::new(second.clone(), first.clone()).unwrap());
    assert_eq!(evidence.reporter(), keypair(1).validator_id());
    assert!(evidence.verify(&domain).is_ok());
    assert_eq!(ReportEvidence::decode(&evidence.encode()).unwrap(), evidence);
    // The other order, another reporter, number or content, or a forged signature prove nothing.
    let [a, b] = evidence.reports().map(Clone::clone);
    let swapped =
        aegis_metrics::proto::ReportEvidence { first: Some(b.to_proto()), second: Some(a.to_proto()) };
    assert!(ReportEvidence::from_proto(swapped).is_err());
    assert!(ReportEvidence::new(first.clone(), first.clone()).is_err());
    assert!(ReportEvidence::new(first.clone(), report(2, 7).sign(&keypair(2), &domain)).is_err());
    assert!(ReportEvidence::new(first.clone(), report(1, 8).sign(&keypair(1), &domain)).is_err());
    let forged = Report { covered_weight: Weight(2), ..report(1, 7) }.sign(&keypair(2), &domain);
    assert!(ReportEvidence::new(first, forged).unwrap().verify(&domain).is_err());
}

#[test]
fn the_latest_reports_do_not_depend_on_order_and_leave_out_liars() {
    let reports = [
        report(1, 7),
        report(1, 9),
        report(1, 8),
        report(2, 5),
        report(2, 5),
        report(3, 4),
        Report { covered_weight: Weight(1), ..report(3, 4) },
        report(3, 6),
    ];
    let forwards = latest_reports(&reports);
    let backwards = latest_reports(reports.iter().rev());
    assert_eq!(forwards, backwards);
    let latest: BTreeMap<_, _> =
        forwards.by_reporter.iter().map(|(reporter, report)| (*reporter, report.sequence)).collect();
    assert_eq!(latest, BTreeMap::from([(keypair(1).validator_id(), 9), (keypair(2).validator_id(), 5)]));
    assert_eq!(forwards.contradictory, BTreeSet::from([keypair(3).validator_id()]));
}

#[test]
fn agreed_octiles_stay_in_order_and_within_the_honest() {
    let with = |seed: u8, octiles: [i32; 7]| {
        let mut report = report(seed, 7);
        report.channels = BTreeMap::from([(2, ChannelSummary { octiles, histogram: None })]);
        report
    };
    let reports = [
        with(1, [1, 2, 3, 4, 5, 6, 7]),
        with(2, [2, 3, 4, 5, 6, 7, 8]),
        with(3, [3, 4, 5, 6, 7, 8, 9]),
        with(4, [i32::MAX; 7]),
    ];
    let agreed = agreed_octiles(reports.iter().map(|report| (report, Weight(1_000))));
    assert_eq!(agreed, BTreeMap::from([(2, [2, 3, 4, 5, 6, 7, 8])]));
    assert!(agreed_octiles([]).is_empty());
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(signed) = SignedReport::decode(&bytes) {
            prop_assert_eq!(signed.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_changes_the_report(position in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let signed = report(1, 7).sign(&keypair(1), &domain("aegis-test-1"));
        let mut bytes = signed.encode();
        let position = position.index(bytes.len());
        bytes[position] ^= change;
        if let Ok(changed) = SignedReport::decode(&bytes) {
            prop_assert!(changed != signed && !changed.verify(&domain("aegis-test-1")));
        }
    }
}
