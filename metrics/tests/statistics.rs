//! Stability, divergence, round synchrony and sampled quantiles: what they show and what chance alone gives.
#![cfg(feature = "sampler")]

mod draws;

use aegis_metrics::statistics::bins::{Histogram, OctileBins};
use aegis_metrics::statistics::observers::draw;
use aegis_metrics::statistics::phi::TooLittle;
use aegis_metrics::statistics::stability::Comparison;
use aegis_metrics::statistics::synchrony::{VoteArrival, debiased, phase_agreement};
use aegis_metrics::statistics::{SynchronyWindow, divergence, sample_size, sampled_quantile, stability};
use aegis_types::{Hash, ValidatorId, Weight};
use draws::Draws;

fn series(draws: &mut Draws, length: usize, mean: f64, a: f64) -> Vec<f64> {
    let mut value = 0.0;
    std::iter::repeat_with(|| {
        value = a * value + (1.0 - a * a).sqrt() * draws.normal();
        mean + value
    })
    .take(length)
    .collect()
}

#[test]
fn a_window_like_itself_is_stable_and_a_changed_one_is_not() {
    let mut draws = Draws::new(11);
    let calm = [series(&mut draws, 600, 0.0, 0.0), series(&mut draws, 600, 5.0, 0.8)];
    let steady = stability(&[&calm[0], &calm[1]]).unwrap();
    assert!(steady > 0.85, "{steady}");
    let mut changed = series(&mut draws, 300, 0.0, 0.0);
    changed.extend(series(&mut draws, 300, 3.0, 0.0));
    let moved = stability(&[&changed]).unwrap();
    assert!(moved < 0.3, "{moved}");
    let mut frozen = series(&mut draws, 300, 0.0, 0.0);
    frozen.extend(std::iter::repeat_n(0.3, 300));
    let frozen = stability(&[&frozen]).unwrap();
    assert!(frozen < 0.4, "{frozen}");
    println!("stability: calm {steady:.3}, moved {moved:.3}, frozen {frozen:.3}");
}

#[test]
fn divergence_names_the_channel_that_differs() {
    let mut draws = Draws::new(12);
    let reference = series(&mut draws, 7_200, 0.0, 0.0);
    let bins = OctileBins::of(&reference).unwrap();
    let peers = bins.histogram(&reference);
    let own = [
        series(&mut draws, 600, 0.0, 0.0),
        series(&mut draws, 600, 1.5, 0.0),
        series(&mut draws, 600, 0.3, 0.0),
    ];
    let comparisons = own.each_ref().map(|own| Comparison { own, bins: &bins, peers: &peers });
    let all = divergence(&comparisons).unwrap();
    assert_eq!(all.leading, 1);
    let like = divergence(&comparisons[..1]).unwrap();
    assert!(like.value < 0.1 && all.value > 0.3, "{like:?} {all:?}");
}

#[test]
fn comparisons_need_a_hundred_samples_on_each_side() {
    let mut draws = Draws::new(13);
    let short = series(&mut draws, 199, 0.0, 0.0);
    assert_eq!(stability(&[&short]), Err(TooLittle::Samples { samples: 199, needed: 200 }));
    assert_eq!(stability(&[]), Err(TooLittle::Channels { kept: 0, needed: 1 }));
    let bins = OctileBins::of(&short).unwrap();
    let peers = bins.histogram(&short);
    let nobody = Histogram::default();
    assert_eq!(
        divergence(&[Comparison { own: &short, bins: &bins, peers: &nobody }]),
        Err(TooLittle::Reference)
    );
    let few = Comparison { own: &short[..99], bins: &bins, peers: &peers };
    assert_eq!(divergence(&[few]), Err(TooLittle::Samples { samples: 99, needed: 100 }));
    assert_eq!(divergence(&[]), Err(TooLittle::Reference));
}

#[test]
fn independent_phases_agree_by_nothing_on_average() {
    let mut draws = Draws::new(14);
    let weights: [[f64; 13]; 2] =
        [[1.0; 13], std::array::from_fn(|member| if member < 7 { 16.0 } else { 1.0 })];
    for weights in weights {
        let runs = 20_000;
        let sum: f64 = (0..runs)
            .map(|_| {
                let phases = weights.map(|weight| (weight, std::f64::consts::TAU * draws.uniform()));
                debiased(&phases).unwrap()
            })
            .sum();
        let mean = sum / f64::from(runs);
        println!("mean agreement of 13 independent phases: {mean:.5}");
        assert!(mean.abs() < 0.01, "{mean}");
    }
}

fn arrivals(at: &[Option<u64>]) -> Vec<VoteArrival> {
    at.iter().map(|at_us| VoteArrival { weight: Weight(1_000), at_us: *at_us }).collect()
}

#[test]
fn votes_in_step_agree_and_late_or_missing_ones_do_not() {
    let in_step =
        phase_agreement(&arrivals(&[Some(1_000), Some(1_010), Some(990), Some(1_000)]), 100_000).unwrap();
    assert!(in_step > 0.999, "{in_step}");
    // One a whole period late counts as half a period, not as in step.
    let late =
        phase_agreement(&arrivals(&[Some(1_000), Some(1_000), Some(1_000), Some(101_000)]), 100_000).unwrap();
    let missing =
        phase_agreement(&arrivals(&[Some(1_000), Some(1_000), Some(1_000), None]), 100_000).unwrap();
    assert!(late < 0.01 && (late - missing).abs() < 1e-12, "{late} {missing}");
    assert_eq!(phase_agreement(&arrivals(&[Some(1), None]), 100), None);
    assert_eq!(phase_agreement(&arrivals(&[Some(1), Some(2)]), 0), None);
    assert_eq!(phase_agreement(&[], 100), None);
}

#[test]
fn the_synchrony_window_is_bounded_and_empty_at_first() {
    let mut window = SynchronyWindow::default();
    assert_eq!(window.network_coherence(), None);
    for _ in 0..700 {
        window.push(&arrivals(&[Some(5), Some(5), Some(5)]), 1_000);
    }
    assert_eq!(window.heights(), 600);
    assert!((window.network_coherence().unwrap() - 1.0).abs() < 1e-12);
    // Votes that avoid each other are no less than unrelated.
    let mut apart = SynchronyWindow::default();
    apart.push(&arrivals(&[Some(0), Some(500)]), 1_000);
    assert_eq!(apart.network_coherence(), Some(0.0));
}

#[test]
fn a_sample_of_738_shows_the_network_within_its_error() {
    assert_eq!(sample_size(0.05, 0.05), 738);
    let mut draws = Draws::new(15);
    let population: Vec<f64> = (0..10_000).map(|_| draws.uniform().powi(2)).collect();
    let mut sorted = population.clone();
    sorted.sort_by(f64::total_cmp);
    let truth = sorted[4_999];
    let mut held = 0;
    for _ in 0..400 {
        let sample: Vec<f64> =
            draws.choose(738, population.len()).into_iter().map(|node| population[node]).collect();
        let shown = sampled_quantile(&sample, population.len(), 0.5, 0.05, 0.0).unwrap();
        held += u32::from(shown.lower.unwrap() <= truth && truth <= shown.upper.unwrap());
    }
    println!("bounds held in {held} of 400");
    assert!(held >= 380, "{held}");
}

#[test]
fn bounds_hold_against_the_liars_they_allow_for() {
    let mut draws = Draws::new(16);
    for liars in [0.1, 0.2, 1.0 / 3.0] {
        let mut held = 0;
        for run in 0..200 {
            let lie = if run % 2 == 0 { 1e9 } else { -1e9 };
            let sample: Vec<f64> =
                (0..1_000).map(|_| if draws.uniform() < liars { lie } else { draws.uniform() }).collect();
            let shown = sampled_quantile(&sample, 10_000, 0.5, 0.05, liars).unwrap();
            held += u32::from(
                shown.lower.is_none_or(|low| low <= 0.5) && shown.upper.is_none_or(|high| high >= 0.5),
            );
        }
        assert!(held >= 190, "{liars}: {held}");
    }
}

#[test]
fn bounds_beyond_the_sample_are_open_and_nonsense_is_refused() {
    let shown = sampled_quantile(&[1.0, 2.0, 3.0], 10_000, 0.5, 0.05, 0.0).unwrap();
    assert_eq!((shown.estimate, shown.lower, shown.upper), (2.0, None, None));
    let everybody = sampled_quantile(&[1.0, 2.0, 3.0], 3, 0.5, 0.05, 0.0).unwrap();
    assert_eq!((everybody.epsilon, everybody.lower, everybody.upper), (0.0, Some(2.0), Some(2.0)));
    assert_eq!(sampled_quantile(&[], 3, 0.5, 0.05, 0.0), None);
    assert_eq!(sampled_quantile(&[f64::NAN], 3, 0.5, 0.05, 0.0), None);
    assert_eq!(sampled_quantile(&[1.0], 3, 1.5, 0.05, 0.0), None);
    assert_eq!(sampled_quantile(&[1.0], 3, 0.5, 0.0, 0.0), None);
    assert_eq!(sampled_quantile(&[1.0], 3, 0.5, 0.05, 1.0), None);
}

#[test]
fn the_beacon_draws_everybody_alike() {
    let population: Vec<ValidatorId> = (0..100).map(|byte| ValidatorId([byte; 32])).collect();
    let mut drawn = [0_u32; 100];
    for round in 0..2_000_u64 {
        let beacon = Hash::of("test", &round.to_le_bytes());
        let sample = draw(&beacon, &population, 10);
        assert_eq!(sample.len(), 10);
        sample.iter().for_each(|node| drawn[usize::from(node.0[0])] += 1);
    }
    // 200 each on average, with a deviation of 13.4.
    assert!(drawn.iter().all(|count| (140..260).contains(count)), "{drawn:?}");
    let mut reversed = population.clone();
    reversed.reverse();
    assert_eq!(draw(&Hash::ZERO, &population, 7), draw(&Hash::ZERO, &reversed, 7));
}
