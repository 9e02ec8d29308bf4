//! Deployments over regions of the world: round-trip times, weights over epochs, liars, and commit latency by the
//! model of AWARE's `PredictLatency` (one PBFT round, one-way time is half a round trip, no cost of computing or
//! bandwidth, mean over the live replicas).

#![allow(dead_code, reason = "the test and the example use different parts")]

use aegis_metrics::weights::{Candidate, CandidateReport, WeightOutcome};
use aegis_metrics::{FaultTolerance, Micro, WeightInput};
use aegis_types::{Epoch, ValidatorId, Weight};

#[path = "../draws/mod.rs"]
pub mod draws;
pub mod table;

use draws::Draws;

/// Latitude and longitude of 21 large cities that host data centres.
const CITIES: [(f64, f64); 21] = [
    (-33.9, 18.4),
    (22.3, 114.2),
    (35.7, 139.8),
    (37.5, 127.0),
    (34.7, 135.5),
    (19.1, 72.9),
    (1.3, 103.9),
    (-33.9, 151.2),
    (45.6, -73.5),
    (50.1, 8.7),
    (59.3, 18.1),
    (45.5, 9.2),
    (53.4, -6.3),
    (51.5, -0.1),
    (48.9, 2.3),
    (26.1, 50.5),
    (-23.5, -46.6),
    (38.9, -77.5),
    (40.2, -82.7),
    (37.8, -122.4),
    (45.8, -119.3),
];

/// Round-trip times in microseconds.
pub type Matrix = Vec<Vec<u32>>;

/// Round-trip times between cities: great circles at 200 km per millisecond, half as long again for detours, and 2 ms
/// for the ends.
pub fn cities() -> Matrix {
    let radians = |(latitude, longitude): (f64, f64)| (latitude.to_radians(), longitude.to_radians());
    let rtt = |a, b| {
        let ((lat_a, lon_a), (lat_b, lon_b)) = (radians(a), radians(b));
        let half = ((lat_b - lat_a) / 2.0).sin().powi(2)
            + lat_a.cos() * lat_b.cos() * ((lon_b - lon_a) / 2.0).sin().powi(2);
        let km = 2.0 * 6_371.0 * half.sqrt().asin();
        micros(km * 0.015 + 2.0)
    };
    CITIES.iter().map(|a| CITIES.iter().map(|b| rtt(*a, *b)).collect()).collect()
}

/// Reads a matrix in milliseconds: one row per line, separated by commas.
pub fn read_csv(text: &str) -> Option<Matrix> {
    let row = |line: &str| {
        line.split(',').map(|field| field.trim().parse().ok().map(micros)).collect::<Option<Vec<u32>>>()
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "round-trip times are small and positive"
)]
fn micros(milliseconds: f64) -> u32 {
    (milliseconds * 1_000.0) as u32
}

/// A random choice of regions.
pub fn deployment(draws: &mut Draws, regions: &Matrix, members: usize) -> Matrix {
    let chosen = draws.choose(members, regions.len());
    chosen.iter().map(|a| chosen.iter().map(|b| if a == b { 0 } else { regions[*a][*b] }).collect()).collect()
}

/// What members report of themselves, by position: stability, divergence, phi.
pub type Words = Vec<(Micro, Micro, Micro)>;

/// The same good word of everybody.
pub fn equal_words(members: usize) -> Words {
    vec![(Micro::new(900_000), Micro::new(100_000), Micro::new(10_000)); members]
}

/// A network between epochs.
#[derive(Clone)]
pub struct Network {
    tolerance: FaultTolerance,
    core_size: u32,
    weights: Vec<Weight>,
    core: Vec<usize>,
}

impl Network {
    pub fn new(members: usize, tolerance: u32, core_size: u32) -> Self {
        let tolerance = FaultTolerance::Fixed(tolerance);
        Self { tolerance, core_size, weights: vec![Weight(1_000); members], core: Vec::new() }
    }

    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    pub fn core(&self) -> &[usize] {
        &self.core
    }

    /// Ends an epoch with these rows and words; members not in `voting` miss its certificates and report nothing.
    pub fn end_epoch(
        &mut self,
        rows: &Matrix,
        words: &Words,
        voting: &dyn Fn(usize) -> bool,
    ) -> WeightOutcome {
        let candidates = (0..self.weights.len()).map(|position| {
            let (stability, divergence, phi) = words[position];
            let report = CandidateReport {
                rtt_us: rows[position].iter().map(|rtt| (*rtt).min(10_000_000)).collect(),
                phi: Some(phi),
                stability: Some(stability),
                divergence: Some(divergence),
                commit_latency_us: None,
            };
            Candidate {
                validator: id(position),
                weight: self.weights[position],
                was_core: self.core.contains(&position),
                participation: if voting(position) { Micro::ONE } else { Micro::ZERO },
                clean_epochs: 10,
                equivocated: false,
                recently_absent: !voting(position),
                report: voting(position).then_some(report),
            }
        });
        let mut input = WeightInput::new(Epoch(0), self.tolerance, candidates.collect()).unwrap();
        input.core_size = Some(self.core_size);
        let outcome = input.outcome();
        self.weights = outcome.nodes.iter().map(|node| node.after).collect();
        self.core = outcome.core.iter().map(|core| usize::from(core.0[0])).collect();
        outcome
    }

    /// Ends epochs until weights have settled.
    pub fn settle(&mut self, rows: &Matrix, words: &Words) {
        for _ in 0..12 {
            self.end_epoch(rows, words, &|_| true);
        }
    }
}

fn id(position: usize) -> ValidatorId {
    ValidatorId([u8::try_from(position).unwrap(); 32])
}

/// Mean time to a decision in milliseconds under one leader; nothing when the live members are no quorum.
pub fn latency_ms(
    rtt: &Matrix,
    weights: &[Weight],
    leader: usize,
    is_live: &dyn Fn(usize) -> bool,
) -> Option<f64> {
    let total: u64 = weights.iter().map(|weight| weight.0).sum();
    let quorum = total - (total - 1) / 3;
    let live: Vec<usize> = (0..weights.len()).filter(|member| is_live(*member)).collect();
    let one_way = |from: usize, to: usize| if from == to { 0.0 } else { f64::from(rtt[from][to]) / 2_000.0 };
    // When `to` has heard a quorum of what each member sends at its time.
    let heard = |times: &[f64], to: usize| {
        let mut arrivals: Vec<(f64, u64)> = live
            .iter()
            .zip(times)
            .map(|(from, time)| (time + one_way(*from, to), weights[*from].0))
            .collect();
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut weight = 0;
        arrivals.into_iter().find_map(|(time, more)| {
            weight += more;
            (weight >= quorum).then_some(time)
        })
    };
    let proposed: Vec<f64> = live.iter().map(|to| one_way(leader, *to)).collect();
    let prepared: Vec<f64> = live
        .iter()
        .zip(&proposed)
        .map(|(to, received)| heard(&proposed, *to).map(|time| time.max(*received)))
        .collect::<Option<_>>()?;
    let committed: Vec<f64> = live.iter().map(|to| heard(&prepared, *to)).collect::<Option<_>>()?;
    Some(committed.iter().sum::<f64>() / f64::from(u32::try_from(live.len()).unwrap()))
}

/// The lowest latency over leaders.
pub fn best_leader_ms(
    rtt: &Matrix,
    weights: &[Weight],
    leaders: &[usize],
    is_live: &dyn Fn(usize) -> bool,
) -> f64 {
    let live = leaders.iter().filter(|leader| is_live(**leader));
    live.filter_map(|leader| latency_ms(rtt, weights, *leader, is_live)).fold(f64::INFINITY, f64::min)
}

/// The mean latency over leaders.
pub fn rotating_leader_ms(rtt: &Matrix, weights: &[Weight], leaders: &[usize]) -> f64 {
    let sum: f64 = leaders.iter().filter_map(|leader| latency_ms(rtt, weights, *leader, &|_| true)).sum();
    sum / f64::from(u32::try_from(leaders.len()).unwrap())
}

/// Gain of metric weights over equal ones, means over random deployments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gain {
    pub equal: f64,
    pub weighted: f64,
    pub rotating: f64,
    /// Shares of deployments in which weights were not slower.
    pub wins: f64,
}

pub fn gain(regions: &Matrix, (members, tolerance, core_size): (usize, u32, u32), runs: u32) -> Gain {
    let mut draws = Draws::new(u64::from(tolerance) * 1_000 + u64::try_from(members).unwrap());
    let everybody: Vec<usize> = (0..members).collect();
    let mut sum = Gain::default();
    for _ in 0..runs {
        let rtt = deployment(&mut draws, regions, members);
        let mut network = Network::new(members, tolerance, core_size);
        network.settle(&rtt, &equal_words(members));
        let equal = best_leader_ms(&rtt, &vec![Weight(1_000); members], &everybody, &|_| true);
        let weighted = best_leader_ms(&rtt, network.weights(), network.core(), &|_| true);
        sum.equal += equal;
        sum.weighted += weighted;
        sum.rotating += rotating_leader_ms(&rtt, network.weights(), network.core());
        sum.wins += f64::from(u8::from(weighted <= equal + 1e-9));
    }
    let runs = f64::from(runs);
    Gain {
        equal: sum.equal / runs,
        weighted: sum.weighted / runs,
        rotating: sum.rotating / runs,
        wins: sum.wins / runs,
    }
}

/// What two liars of thirteen do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    None,
    /// The two worst-placed members claim 1 ms to everybody.
    ClaimNear,
    /// The same, if the word of one side were believed.
    ClaimNearBelieved,
    /// The two worst-placed claim 1 ms, then fall silent.
    ClaimNearThenSilent,
    /// Two core members report 10 s to everybody.
    LeaveCore,
    /// Two core members report 10 s to one honest core member.
    Slander,
    /// The two worst-placed claim perfect stability and divergence and a typical phi, while the honest have noisy
    /// ones.
    ClaimPerfect,
}

impl Attack {
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::ClaimNear,
        Self::ClaimNearBelieved,
        Self::ClaimNearThenSilent,
        Self::LeaveCore,
        Self::Slander,
        Self::ClaimPerfect,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClaimNear => "the worst-placed claim 1 ms to everybody",
            Self::ClaimNearBelieved => "the same, if one side were believed",
            Self::ClaimNearThenSilent => "the worst-placed claim 1 ms, then fall silent",
            Self::LeaveCore => "two of the core report 10 s to everybody",
            Self::Slander => "two of the core slander one honest member of it",
            Self::ClaimPerfect => "the worst-placed claim perfect statistics",
        }
    }
}

/// What an attack does, means over random deployments of 13 members, t = 2, core of 7.
#[derive(Debug, Clone, Copy, Default)]
pub struct Damage {
    /// Commit latency with the best leader of the core.
    pub latency_ms: f64,
    /// The same with equal weights.
    pub equal_ms: f64,
    /// Core seats of the liars, beyond what they had.
    pub seats_won: f64,
    /// Honest members that lost a seat in the core, whoever got it.
    pub honest_seats_lost: f64,
    /// Share of runs in which the slandered member left the core.
    pub evicted: f64,
    /// Largest weight share of the two liars.
    pub liars_share_max: f64,
}

pub fn damage(regions: &Matrix, attack: Attack, runs: u32) -> Damage {
    let mut draws = Draws::new(77);
    let mut sum = Damage::default();
    for _ in 0..runs {
        let one = attack_once(&mut draws, regions, attack);
        sum.latency_ms += one.latency_ms / f64::from(runs);
        sum.equal_ms += one.equal_ms / f64::from(runs);
        sum.seats_won += one.seats_won / f64::from(runs);
        sum.honest_seats_lost += one.honest_seats_lost / f64::from(runs);
        sum.evicted += one.evicted / f64::from(runs);
        sum.liars_share_max = sum.liars_share_max.max(one.liars_share_max);
    }
    sum
}

fn attack_once(draws: &mut Draws, regions: &Matrix, attack: Attack) -> Damage {
    let members = 13;
    let rtt = deployment(draws, regions, members);
    let mut seeds = Draws::new(draws.next());
    let words =
        if attack == Attack::ClaimPerfect { noisy_words(&mut seeds, members) } else { equal_words(members) };
    let mut network = Network::new(members, 2, 7);
    network.settle(&rtt, &words);
    let honest_core = network.core().to_vec();
    let worst = worst_placed(&rtt);
    let liars: [usize; 2] = match attack {
        Attack::LeaveCore | Attack::Slander => {
            let picked = seeds.choose(2, honest_core.len());
            [honest_core[picked[0]], honest_core[picked[1]]]
        }
        _ => [worst[0], worst[1]],
    };
    let honest: Vec<usize> = honest_core.iter().copied().filter(|member| !liars.contains(member)).collect();
    let victim = honest[seeds.choose(1, honest.len())[0]];
    let (mut rows, mut lied_words) = (rtt.clone(), words.clone());
    for liar in liars {
        match attack {
            Attack::None => {}
            Attack::ClaimNear | Attack::ClaimNearThenSilent => rows[liar] = vec![1_000; members],
            Attack::ClaimNearBelieved => {
                rows[liar] = vec![1_000; members];
                rows.iter_mut().for_each(|row| row[liar] = 1_000);
            }
            Attack::LeaveCore => rows[liar] = vec![10_000_000; members],
            Attack::Slander => rows[liar][victim] = 10_000_000,
            Attack::ClaimPerfect => lied_words[liar] = (Micro::ONE, Micro::ZERO, Micro::new(10_000)),
        }
    }
    for _ in 0..12 {
        let mut epoch_words =
            if attack == Attack::ClaimPerfect { noisy_words(&mut seeds, members) } else { words.clone() };
        liars.iter().for_each(|liar| epoch_words[*liar] = lied_words[*liar]);
        network.end_epoch(&rows, &epoch_words, &|_| true);
    }
    let is_live = |member: usize| attack != Attack::ClaimNearThenSilent || !liars.contains(&member);
    let count = |members: &[usize], is_counted: &dyn Fn(usize) -> bool| {
        let number = members.iter().filter(|member| is_counted(**member)).count();
        f64::from(u32::try_from(number).unwrap())
    };
    let is_liar = |member: usize| liars.contains(&member);
    let total: u64 = network.weights().iter().map(|weight| weight.0).sum();
    let share =
        |weight: u64| f64::from(u32::try_from(weight).unwrap()) / f64::from(u32::try_from(total).unwrap());
    let everybody: Vec<usize> = (0..members).collect();
    Damage {
        latency_ms: best_leader_ms(&rtt, network.weights(), network.core(), &is_live),
        equal_ms: best_leader_ms(&rtt, &vec![Weight(1_000); members], &everybody, &is_live),
        seats_won: count(network.core(), &is_liar) - count(&honest_core, &is_liar),
        honest_seats_lost: count(&honest, &|member| !network.core().contains(&member)),
        evicted: f64::from(u8::from(attack == Attack::Slander && !network.core().contains(&victim))),
        liars_share_max: share(liars.iter().map(|liar| network.weights()[*liar].0).sum()),
    }
}

/// Members by their summed round-trip times, the slowest first.
fn worst_placed(rtt: &Matrix) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rtt.len()).collect();
    order
        .sort_by_key(|member| std::cmp::Reverse(rtt[*member].iter().map(|rtt| u64::from(*rtt)).sum::<u64>()));
    order
}

/// Words as healthy members say them: stability 0.855, divergence 0.123, phi 0.011, each with its scatter.
fn noisy_words(draws: &mut Draws, members: usize) -> Words {
    let mut noisy = |mean: f64, scatter: f64| Micro::from_share(mean + scatter * draws.normal()).unwrap();
    (0..members).map(|_| (noisy(0.855, 0.038), noisy(0.123, 0.033), noisy(0.011, 0.004))).collect()
}
