//! phi against the values of its specification, its closed forms, its bounds and its null distribution.
#![cfg(feature = "sampler")]

mod draws;

use aegis_metrics::statistics::phi::{TooLittle, estimated_process};
use aegis_metrics::statistics::{Cut, GaussianProcess, phi};
use draws::Draws;

type Square = Vec<Vec<f64>>;

fn square(size: usize, entry: impl Fn(usize, usize) -> f64) -> Square {
    (0..size).map(|row| (0..size).map(|column| entry(row, column)).collect()).collect()
}

fn unit(size: usize) -> Square {
    square(size, |row, column| f64::from(u8::from(row == column)))
}

fn times(a: &Square, b: &Square) -> Square {
    square(a.len(), |row, column| (0..a.len()).map(|inner| a[row][inner] * b[inner][column]).sum())
}

fn transposed(a: &Square) -> Square {
    square(a.len(), |row, column| a[column][row])
}

/// The process `x_t = A x_(t-1) + e`, from its stationary covariance: `S = A S A' + E`, by doubling.
fn process(a: &Square, noise: &Square) -> GaussianProcess {
    let (mut power, mut stationary) = (a.clone(), noise.clone());
    for _ in 0..60 {
        let more = times(&times(&power, &stationary), &transposed(&power));
        stationary = square(a.len(), |row, column| stationary[row][column] + more[row][column]);
        power = times(&power, &power);
    }
    let across = times(&stationary, &transposed(a));
    let n = a.len();
    let joint: Square = (0..2 * n)
        .map(|row| {
            (0..2 * n)
                .map(|column| match (row < n, column < n) {
                    (true, true) => stationary[row][column],
                    (true, false) => across[row][column - n],
                    (false, true) => across[column][row - n],
                    (false, false) => stationary[row - n][column - n],
                })
                .collect()
        })
        .collect();
    GaussianProcess::from_joint(&joint).expect("a stable process has a covariance")
}

/// A cut as the specification writes it: the group, 1 or 2, of each channel.
fn cut(text: &str) -> Cut {
    let mask =
        text.bytes().enumerate().filter(|(_, group)| *group == b'2').map(|(channel, _)| 1 << channel).sum();
    Cut::new(mask, text.len()).unwrap()
}

fn system(name: &str) -> GaussianProcess {
    let common = |c: f64| square(2, |row, column| if row == column { 1.0 } else { c });
    let with = |size: usize, diagonal: f64, edges: &[(usize, usize, f64)]| {
        square(size, |row, column| {
            let edge = edges.iter().find(|edge| (edge.0, edge.1) == (row, column));
            edge.map_or(if row == column { diagonal } else { 0.0 }, |edge| edge.2)
        })
    };
    match name {
        "S1" => process(&vec![vec![0.2, 0.1], vec![0.5, 0.2]], &unit(2)),
        "S2 c=0" => process(&square(2, |_, _| 0.4), &common(0.0)),
        "S2 c=.5" => process(&square(2, |_, _| 0.4), &common(0.5)),
        "S2 c=.9" => process(&square(2, |_, _| 0.4), &common(0.9)),
        "S3" => process(&with(4, 0.2, &[(0, 1, 0.5), (1, 0, 0.5), (2, 3, 0.5), (3, 2, 0.5)]), &unit(4)),
        "S4" => process(&with(4, 0.5, &[]), &unit(4)),
        "S5" => process(&with(4, 0.5, &[]), &square(4, |row, column| if row == column { 1.0 } else { 0.8 })),
        "S6" => process(&with(3, 0.3, &[(1, 0, 0.4), (2, 1, 0.4), (0, 2, 0.4)]), &unit(3)),
        "S7" => {
            let blocks = |row: usize, column: usize| if row / 3 == column / 3 { 0.25 } else { 0.0 };
            let edges = |row: usize, column: usize| match (row, column) {
                (3, 2) => 0.1,
                (0, 5) => 0.05,
                _ => blocks(row, column),
            };
            process(&square(6, edges), &unit(6))
        }
        "S8" => {
            let chain = [(0, 0, 0.6), (1, 0, 0.5), (2, 1, 0.5), (3, 2, 0.5)];
            process(&with(4, 0.0, &chain), &unit(4))
        }
        "S9" => process(&square(8, |_, _| 0.9 / 8.0), &unit(8)),
        "S10" => process(&with(4, 0.5, &[(1, 0, 0.4)]), &unit(4)),
        other => panic!("{other} is no system"),
    }
}

#[track_caller]
fn close(name: &str, actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{name}: {actual:.12} is not {expected:.12}");
}

#[test]
fn every_row_of_the_reference_table() {
    // System, I, Phi_G at the weakest cut, SI there, Phi_G / I, and a weakest cut where Phi_G is above 0.
    let rows = [
        ("S1", 0.172_013_757, 0.122_717_286, 0.122_743_233, 0.713_415_531, "21"),
        ("S2 c=0", 0.510_825_624, 0.205_698_219, 0.211_309_094, 0.402_677_959, "21"),
        ("S2 c=.5", 0.510_825_624, 0.205_698_219, 0.277_372_429, 0.402_677_959, "21"),
        ("S2 c=.9", 0.510_825_624, 0.205_698_219, 0.861_287_514, 0.402_677_959, "21"),
        ("S3", 0.767_655_233, 0.0, 0.0, 0.0, ""),
        ("S4", 0.575_364_145, 0.0, 0.0, 0.0, ""),
        ("S5", 0.575_364_145, 0.0, 0.670_586_963, 0.0, ""),
        ("S6", 0.475_934_344, 0.194_835_372, 0.195_675_752, 0.409_374_475, "121"),
        ("S7", 0.836_047_017, 0.008_857_026, 0.008_857_043, 0.010_593_933, "222111"),
        ("S8", 0.621_932_779, 0.145_121_979, 0.145_121_979, 0.233_340_297, "2221"),
        ("S9", 0.830_365_603, 0.176_084_074, 0.179_795_663, 0.212_056_079, "11121111"),
        ("S10", 0.700_527_288, 0.0, 0.0, 0.0, ""),
    ];
    for (name, information, nats, interaction, ratio, weakest) in rows {
        let process = system(name);
        let (found, value) = process.weakest_cut().unwrap();
        close(name, process.information(), information, 1e-9);
        close(name, value, nats, 1e-9);
        close(name, value / process.information(), ratio, 1e-9);
        if weakest.is_empty() {
            assert!(value < 1e-12, "{name}: {value}");
        } else {
            close(name, process.phi(cut(weakest)).unwrap(), nats, 1e-9);
            close(name, process.stochastic_interaction(cut(weakest)).unwrap(), interaction, 1e-9);
            close(name, process.stochastic_interaction(found).unwrap(), interaction, 1e-9);
        }
    }
}

#[test]
fn shared_noise_alone_is_interaction_but_not_phi() {
    let process = system("S5");
    let lowest =
        Cut::all(4).map(|cut| process.stochastic_interaction(cut).unwrap()).fold(f64::INFINITY, f64::min);
    close("S5", lowest, 0.670_586_963, 1e-9);
    assert!(Cut::all(4).all(|cut| process.phi(cut).unwrap() < 1e-12));
}

#[test]
fn every_fixed_cut_of_the_reference() {
    for (name, text, nats, interaction) in [
        ("S3", "1212", 0.593_301_846, 0.603_336_629),
        ("S9", "11112222", 0.272_978_760, 0.292_920_429),
        ("S10", "1211", 0.092_052_515, 0.092_052_515),
        ("S8", "1122", 0.148_163_459, 0.148_163_459),
    ] {
        let process = system(name);
        close(name, process.phi(cut(text)).unwrap(), nats, 1e-9);
        close(name, process.stochastic_interaction(cut(text)).unwrap(), interaction, 1e-9);
    }
}

/// The minimum of a function with one valley, to the last digits of its value.
fn minimum(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..200 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if f(a) < f(b) { high = b } else { low = a }
    }
    f(low)
}

#[test]
fn closed_forms_of_two_equal_channels() {
    for a in [0.05, 0.1, 0.2, 0.3, 0.4, 0.45] {
        let strength: f64 = a;
        let expected = minimum(0.0, 2.0 * strength, |x| {
            ((1.0 + x * x) * (1.0 + (2.0 * strength - x).powi(2) / (1.0 - 4.0 * strength * strength))).ln()
                / 2.0
        });
        let information = -(1.0 - 4.0 * strength * strength).ln() / 2.0;
        for c in [-0.5, 0.0, 0.3, 0.9] {
            let noise = square(2, |row, column| if row == column { 1.0 } else { c });
            let process = process(&square(2, |_, _| strength), &noise);
            close("Phi_G", process.phi(cut("21")).unwrap(), expected, 1e-12);
            close("I", process.information(), information, 1e-12);
        }
    }
    close("a=.4", system("S2 c=0").phi(cut("21")).unwrap(), 0.205_698_219_461_427, 1e-12);
}

#[test]
fn closed_forms_without_influence() {
    for c in [0.0, 0.5, 0.9] {
        let correlation: f64 = c;
        let noise = square(2, |row, column| if row == column { 1.0 } else { correlation });
        let process = process(&square(2, |_, _| 0.0), &noise);
        let interaction = -(1.0 - correlation * correlation).ln() / 2.0;
        close("SI", process.stochastic_interaction(cut("21")).unwrap(), interaction, 1e-12);
        close("Phi_G", process.phi(cut("21")).unwrap(), 0.0, 1e-12);
        close("I", process.information(), 0.0, 1e-12);
    }
}

fn random_process(draws: &mut Draws, size: usize) -> (Square, Square) {
    let raw = square_of(draws, size);
    let norm = raw.iter().flatten().map(|entry| entry * entry).sum::<f64>().sqrt();
    let strength = (0.2 + 0.75 * draws.uniform()) / norm;
    let shared = 3.0 * draws.uniform();
    let factor = square_of(draws, size);
    let own = times(&factor, &transposed(&factor));
    let noise = square(size, |row, column| own[row][column] + shared + f64::from(u8::from(row == column)));
    (raw.into_iter().map(|row| row.into_iter().map(|entry| entry * strength).collect()).collect(), noise)
}

fn square_of(draws: &mut Draws, size: usize) -> Square {
    (0..size).map(|_| (0..size).map(|_| draws.normal()).collect()).collect()
}

#[test]
fn phi_lies_between_nothing_and_information_and_interaction_on_400_random_systems() {
    let mut draws = Draws::new(3);
    for run in 0..400 {
        let size = 2 + run % 5;
        let (a, noise) = random_process(&mut draws, size);
        let process = process(&a, &noise);
        for cut in Cut::all(size) {
            let value = process.phi(cut).unwrap();
            let bound = process.information().min(process.stochastic_interaction(cut).unwrap());
            assert!((0.0..=bound + 1e-9).contains(&value), "run {run}: {value} above {bound}");
        }
    }
}

#[test]
fn the_order_of_channels_does_not_matter() {
    let mut draws = Draws::new(4);
    for _ in 0..40 {
        let (a, noise) = random_process(&mut draws, 5);
        let order = [3, 0, 4, 1, 2];
        let moved = |matrix: &Square| square(5, |row, column| matrix[order[row]][order[column]]);
        let (plain, other) = (process(&a, &noise), process(&moved(&a), &moved(&noise)));
        close("Phi_G", plain.weakest_cut().unwrap().1, other.weakest_cut().unwrap().1, 1e-8);
    }
}

fn series(draws: &mut Draws, a: &Square, length: usize) -> Vec<Vec<f64>> {
    let mut state = vec![0.0; a.len()];
    let mut columns = vec![Vec::with_capacity(length); a.len()];
    for time in 0..length + 100 {
        let next: Vec<f64> = a
            .iter()
            .map(|row| row.iter().zip(&state).map(|(a, x)| a * x).sum::<f64>() + draws.normal())
            .collect();
        state = next;
        if time >= 100 {
            for (column, value) in columns.iter_mut().zip(&state) {
                column.push(*value);
            }
        }
    }
    columns
}

fn slices(columns: &[Vec<f64>]) -> Vec<&[f64]> {
    columns.iter().map(Vec::as_slice).collect()
}

#[test]
fn monotone_rescaling_of_channels_changes_nothing() {
    let mut draws = Draws::new(5);
    let columns = series(&mut draws, &square(4, |row, column| if row == column { 0.4 } else { 0.15 }), 600);
    let bent: Vec<Vec<f64>> = columns
        .iter()
        .enumerate()
        .map(|(channel, column)| {
            column.iter().map(|x| if channel % 2 == 0 { x.exp() * 1e6 } else { x.powi(3) - 4.0 }).collect()
        })
        .collect();
    assert_eq!(phi(&slices(&columns)).unwrap(), phi(&slices(&bent)).unwrap());
}

/// Sample covariance of past and present, without shrinkage.
fn plain_process(columns: &[Vec<f64>]) -> GaussianProcess {
    let rows = columns[0].len() - 1;
    let lagged: Vec<&[f64]> = columns
        .iter()
        .map(|column| &column[..rows])
        .chain(columns.iter().map(|column| &column[1..]))
        .collect();
    let length = f64::from(u32::try_from(rows).unwrap());
    let means: Vec<f64> = lagged.iter().map(|column| column.iter().sum::<f64>() / length).collect();
    let joint = square(lagged.len(), |a, b| {
        lagged[a].iter().zip(lagged[b]).map(|(x, y)| (x - means[a]) * (y - means[b])).sum::<f64>() / length
    });
    GaussianProcess::from_joint(&joint).unwrap()
}

#[test]
fn without_influence_the_statistic_follows_its_chi_square_law() {
    const QUANTILE_95_OF_18: f64 = 28.869_299_43;
    let mut draws = Draws::new(6);
    let independent = square(6, |row, column| if row == column { 0.5 } else { 0.0 });
    let (mut plain_below, mut shrunk_below, mut sum) = (0, 0, 0.0);
    for _ in 0..600 {
        let columns = series(&mut draws, &independent, 600);
        let plain = plain_process(&columns).phi(cut("222111")).unwrap();
        let shrunk = estimated_process(&columns).unwrap().0.phi(cut("222111")).unwrap();
        sum += plain;
        plain_below += u32::from(2.0 * 599.0 * plain < QUANTILE_95_OF_18);
        shrunk_below += u32::from(2.0 * 599.0 * shrunk < QUANTILE_95_OF_18);
    }
    println!(
        "null: mean {:.4} nats (predicted 0.0150), below the 95 % quantile {:.1} %, with shrinkage {:.1} %",
        sum / 600.0,
        f64::from(plain_below) / 6.0,
        f64::from(shrunk_below) / 6.0
    );
    assert!((552..=582).contains(&plain_below), "{plain_below} of 600");
    assert!(shrunk_below >= plain_below);
}

#[test]
fn a_coupled_window_is_told_from_an_uncoupled_one() {
    let mut draws = Draws::new(7);
    let coupled = phi(&slices(&series(&mut draws, &square(6, |_, _| 0.9 / 6.0), 600))).unwrap();
    let apart = square(6, |row, column| if row == column { 0.5 } else { 0.0 });
    let uncoupled = phi(&slices(&series(&mut draws, &apart, 600))).unwrap();
    assert!(coupled.p_value < 1e-6, "{coupled:?}");
    assert!(uncoupled.phi < coupled.phi / 5.0, "{uncoupled:?} {coupled:?}");
    // The minimum over 31 cuts of a window without influence stays within what chance gives one cut.
    assert!(uncoupled.p_value > 0.05, "{uncoupled:?}");
    assert!((0.08..0.18).contains(&coupled.nats), "{coupled:?}");
}

#[test]
fn too_little_data_gives_a_reason_and_no_number() {
    let mut draws = Draws::new(8);
    let columns = series(
        &mut draws,
        &unit(4).into_iter().map(|row| row.iter().map(|x| x * 0.5).collect()).collect(),
        79,
    );
    assert_eq!(phi(&slices(&columns[..2])), Err(TooLittle::Channels { kept: 2, needed: 3 }));
    assert_eq!(phi(&slices(&columns)), Err(TooLittle::Samples { samples: 79, needed: 80 }));
    let constant = vec![vec![1.0; 100]; 3];
    assert_eq!(phi(&slices(&constant)), Err(TooLittle::Degenerate));
}

#[test]
fn repeated_channels_are_told_apart_by_shrinkage_alone() {
    let mut draws = Draws::new(9);
    let one = series(&mut draws, &vec![vec![0.6]], 300).remove(0);
    let estimate = phi(&[&one, &one, &one, &one]).unwrap();
    assert!(estimate.phi.is_finite() && estimate.shrinkage >= 0.01);
}
