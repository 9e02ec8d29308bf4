//! From readings to the JSON that operators see.
#![cfg(feature = "sampler")]

mod draws;

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_metrics::reports::agreed_octiles;
use aegis_metrics::sampling::view::NetworkValues;
use aegis_metrics::sampling::{
    Channel, IntegrationMetrics, LocalStatistics, NodeReadings, Peers, ProcessReadings, Sampler,
    SystemReadings,
};
use aegis_metrics::{Micro, Report};
use aegis_types::{Epoch, Height, ValidatorId, Weight};
use draws::Draws;

/// A machine whose use follows what the node does.
struct Machine {
    cpu: Duration,
    memory: u64,
    load: u64,
    draws: Draws,
}

impl SystemReadings for Machine {
    fn cpu_time(&mut self) -> Option<Duration> {
        self.load = 50 + self.draws.below(100);
        self.cpu += Duration::from_micros(2_000 * self.load + self.draws.below(20_000));
        Some(self.cpu)
    }

    fn memory_bytes(&mut self) -> Option<u64> {
        self.memory = 100_000_000 + 4_096 * self.draws.below(1_000);
        Some(self.memory)
    }
}

/// A node with a queue: arrivals fill it, and latency follows its length of the second before.
fn sampled(seed: u64, seconds: u64) -> Sampler<Machine> {
    let mut draws = Draws::new(seed);
    let machine = Machine { cpu: Duration::ZERO, memory: 0, load: 0, draws: Draws::new(seed + 1_000) };
    let mut sampler = Sampler::new(machine);
    let (mut queue, mut node) = (0_u64, NodeReadings::default());
    for second in 0..=seconds {
        let arrivals = 40 + draws.below(40);
        let latency = 20_000 + 300 * queue + draws.below(4_000);
        queue = (queue + arrivals).saturating_sub(62);
        node = NodeReadings {
            proposals_total: node.proposals_total + arrivals,
            queue_depth: queue,
            commit_latency_us: Some(latency),
            quorum_rtt_us: Some(30_000 + draws.below(5_000)),
            bytes_out_total: node.bytes_out_total + 700 * arrivals + draws.below(9_000),
            votes_in_time_total: node.votes_in_time_total + 20 + draws.below(15),
        };
        sampler.sample(Duration::from_millis(1_000 * second + 500), node);
    }
    sampler
}

fn report(seed: u8, statistics: &LocalStatistics) -> Report {
    Report {
        epoch: Epoch(1),
        sequence: 1,
        reporter: ValidatorId([seed; 32]),
        height: Height(1),
        rtt_us: Vec::new(),
        votes_in_time: Vec::new(),
        channels: statistics.summaries.clone(),
        values: statistics.reported_values(Some(21_000)),
        covered_weight: Weight(0),
    }
}

/// Reports of peers: first their octiles, then their counts over the agreed ones.
fn peers(seeds: std::ops::Range<u8>) -> Peers {
    let samplers: Vec<Sampler<Machine>> = seeds.map(|seed| sampled(u64::from(seed), 600)).collect();
    let first: Vec<Report> =
        samplers.iter().map(|sampler| report(1, &sampler.statistics(&Peers::default()))).collect();
    let octiles = agreed_octiles(first.iter().map(|report| (report, Weight(1_000))));
    let mut peers = Peers::new(&octiles);
    for sampler in &samplers {
        let counted = sampler.statistics(&Peers::new(&octiles));
        peers.add(&report(1, &counted));
    }
    peers
}

#[test]
fn a_full_window_has_every_value_and_the_names_of_the_source_document() {
    let sampler = sampled(1, 600);
    let statistics = sampler.statistics(&peers(10..16));
    let half = Some(Micro::new(500_000));
    let network = NetworkValues {
        coherence: half,
        level: half,
        network_coherence: half,
        collective_awareness: half,
        system_health: half,
        attested_by: 6,
        epoch: 9,
    };
    let json =
        serde_json::to_value(IntegrationMetrics::new(1_700_000_000_000, "ab".into(), &statistics, network))
            .unwrap();
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&json), ["consciousness_metrics", "global_state", "node_id", "quality", "timestamp"]);
    assert_eq!(
        names(&json["consciousness_metrics"]),
        ["coherence", "consciousness_level", "divergence", "phi", "stability"]
    );
    assert_eq!(names(&json["global_state"]), ["collective_awareness", "network_coherence", "system_health"]);
    for group in ["consciousness_metrics", "global_state"] {
        for (name, value) in json[group].as_object().unwrap() {
            assert!((0.0..=1.0).contains(&value.as_f64().unwrap()), "{name}: {value}");
        }
    }
    let quality = &json["quality"];
    assert_eq!(
        (quality["samples"].as_u64(), quality["attested_by"].as_u64(), quality["epoch"].as_u64()),
        (Some(600), Some(6), Some(9))
    );
    assert_eq!(quality["channels"].as_array().unwrap().len(), 8);
    assert!(quality["reasons"].as_object().unwrap().is_empty(), "{quality}");
    assert!(quality["shrinkage"].as_f64().unwrap() >= 0.01 && quality["p_value"].is_f64());
    assert!(quality["phi_measure"].as_str().unwrap().contains("Phi_G"));
}

#[test]
fn an_empty_window_is_null_with_reasons_and_never_zero() {
    let sampler = Sampler::new(ProcessReadings);
    let statistics = sampler.statistics(&Peers::default());
    let json = serde_json::to_value(IntegrationMetrics::new(
        0,
        String::new(),
        &statistics,
        NetworkValues::default(),
    ))
    .unwrap();
    for group in ["consciousness_metrics", "global_state"] {
        for (name, value) in json[group].as_object().unwrap() {
            assert!(value.is_null(), "{name}");
            assert!(json["quality"]["reasons"][name].is_string(), "{name}");
        }
    }
    assert_eq!(json["quality"]["dropped_channels"]["cpu"], "gaps");
    let values = statistics.reported_values(None);
    assert_eq!((values.phi, values.stability, values.divergence, values.samples), (None, None, None, 0));
}

#[test]
fn a_young_window_says_how_many_samples_are_missing() {
    let statistics = sampled(2, 100).statistics(&Peers::default());
    let reason = statistics.phi.unwrap_err().to_string();
    assert_eq!(reason, "only 100 samples so far; 160 are needed");
    assert_eq!(statistics.stability.unwrap_err().to_string(), "only 100 samples so far; 200 are needed");
}

#[test]
fn the_queue_and_its_latency_are_coupled_and_the_cut_names_channels() {
    let statistics = sampled(3, 600).statistics(&Peers::default());
    let phi = statistics.phi.as_ref().unwrap();
    assert!(phi.information > 0.3, "{phi:?}");
    let mask = statistics.cut_mask().unwrap();
    assert!(mask != 0 && mask != 0xff);
    // What is cut off first is a channel that nothing drives, never the queue from its latency.
    let cut_apart = (mask & Channel::QueueDepth.bit() == 0) != (mask & Channel::CommitLatency.bit() == 0);
    assert!(!cut_apart, "{mask:08b}");
    assert_eq!(statistics.reported_values(None).cut, Some(mask));
}

#[test]
fn a_node_unlike_its_peers_diverges_and_names_its_channel() {
    let peers = peers(20..26);
    let like = sampled(4, 600).statistics(&peers);
    // Its own long-run medians take the level out; what is left is how it varies.
    let mut halting = sampled(5, 300);
    let mut node = NodeReadings {
        proposals_total: 1_000_000,
        bytes_out_total: 1 << 40,
        votes_in_time_total: 1 << 20,
        ..NodeReadings::default()
    };
    let mut draws = Draws::new(6);
    for second in 301..=900_u64 {
        let arrivals = 40 + draws.below(40);
        node.proposals_total += arrivals;
        node.bytes_out_total += 700 * arrivals + draws.below(9_000);
        node.votes_in_time_total += 20 + draws.below(15);
        // Every other ten seconds it stands still.
        let stalls = second / 10 % 2 == 0;
        node.queue_depth = draws.below(50) + if stalls { 500 } else { 0 };
        node.commit_latency_us = Some(20_000 + draws.below(4_000) + if stalls { 300_000 } else { 0 });
        node.quorum_rtt_us = Some(30_000 + draws.below(5_000));
        halting.sample(Duration::from_millis(1_000 * second + 500), node);
    }
    let unlike = halting.statistics(&peers);
    let (like, value) = (like.divergence.unwrap().value, unlike.divergence.as_ref().unwrap().value);
    println!(
        "divergence: like its peers {like:.3}, unlike {value:.3}, led by {:?}",
        unlike.leading_channel()
    );
    assert!(like < 0.25 && value > like + 0.1, "{like} {value}");
    assert!(matches!(unlike.leading_channel(), Some(Channel::QueueDepth | Channel::CommitLatency)));
}

/// A report that has a window's samples of every channel in the last bin.
fn of_last_bin(samples: u16) -> Report {
    let mut report = report(9, &sampled(9, 600).statistics(&Peers::default()));
    report.channels.values_mut().for_each(|summary| summary.histogram = Some([0, 0, 0, 0, 0, 0, 0, samples]));
    report
}

#[test]
fn one_peer_of_seven_moves_the_divergence_of_others_by_its_share_however_much_it_boasts() {
    let sampler = sampled(4, 600);
    let with = |samples: u16| {
        let mut peers = peers(20..26);
        peers.add(&of_last_bin(samples));
        sampler.statistics(&peers).divergence.unwrap().value
    };
    let (modest, boastful) = (with(600), with(u16::MAX));
    let without = sampler.statistics(&peers(20..26)).divergence.unwrap().value;
    println!("divergence {without:.3}, with a liar {modest:.3}, with a boastful liar {boastful:.3}");
    assert!((modest - boastful).abs() < 0.01 && boastful < 0.4, "{modest} {boastful}");
}

#[test]
fn a_channel_of_which_peers_show_little_is_left_out_and_the_others_compared() {
    let sampler = sampled(4, 600);
    let octiles = agreed_octiles([(&of_last_bin(600), Weight(1_000))]);
    let mut peers = Peers::new(&octiles);
    let mut report = of_last_bin(600);
    report.channels.get_mut(&Channel::Cpu.number()).unwrap().histogram = Some([12; 8]);
    peers.add(&report);
    let statistics = sampler.statistics(&peers);
    assert!(statistics.divergence.is_ok());
    assert_eq!(statistics.compared.len(), 7);
    assert!(!statistics.compared.contains(&Channel::Cpu));
}

#[test]
fn this_process_is_measured_for_real() {
    let mut sampler = Sampler::new(ProcessReadings);
    for second in 0..12_u64 {
        let block = std::hint::black_box(vec![1_u8; 1 << 20]);
        assert_eq!(block.len(), 1 << 20);
        sampler.sample(
            Duration::from_secs(second),
            NodeReadings { proposals_total: second, ..NodeReadings::default() },
        );
    }
    let view = sampler.window().view();
    assert_eq!(view.samples, 11);
    let dropped: BTreeMap<_, _> = view.dropped.iter().copied().collect();
    assert!(dropped.contains_key(&Channel::CommitLatency), "nothing was committed: {dropped:?}");
    assert!(view.kept.iter().any(|(channel, _)| *channel == Channel::Cpu), "{dropped:?}");
}
