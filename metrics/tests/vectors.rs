//! The weight rule against published vectors, bit for bit, where the file is at hand.

use std::path::PathBuf;

use aegis_metrics::ObservationMatrix;
use aegis_metrics::weights::{Standing, WeightPolicy, weigh};
use aegis_types::Weight;

fn numbers<T: std::str::FromStr>(field: &str) -> Vec<T>
where
    T::Err: std::fmt::Debug,
{
    field.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// One line of the file: what goes in and what must come out.
fn check(line: &str) {
    let fields: Vec<&str> = line.split('|').collect();
    let shape: Vec<usize> = numbers(fields[0]);
    let [members, tolerance, core_size] = shape[..] else { panic!("a line begins with n, t and m") };
    let rtt: Vec<u32> = numbers(fields[1]);
    let weights: Vec<Weight> = numbers::<u64>(fields[2]).into_iter().map(Weight).collect();
    let eligible: Vec<u8> = numbers(fields[3]);
    let core: Vec<usize> = numbers(fields[4]);
    let matrix = ObservationMatrix::new(rtt.chunks(members).map(|row| Some(row.to_vec())).collect()).unwrap();
    assert_eq!(matrix.median_rtt_us(), fields[5].parse::<u32>().unwrap());
    let coherence = matrix.coherence(&weights);
    assert_eq!(coherence.iter().map(|share| share.get()).collect::<Vec<_>>(), numbers::<u32>(fields[6]));
    let standings: Vec<Standing> = (0..members)
        .map(|position| Standing {
            weight: weights[position],
            level: coherence[position],
            eligible: eligible[position] == 1,
            was_core: core.contains(&position),
        })
        .collect();
    let policy =
        WeightPolicy::new(members, u32::try_from(tolerance).unwrap(), u32::try_from(core_size).unwrap())
            .unwrap();
    let result: Vec<u64> = weigh(policy, &standings).weights.iter().map(|weight| weight.0).collect();
    assert_eq!(result, numbers::<u64>(fields[7]));
}

#[test]
fn every_vector_gives_the_published_weights() {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let file = workspace.parent().unwrap().join("shared/data/weights/vectors.txt");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: there is no {}", file.display());
        return;
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert!(!lines.is_empty(), "{} has no vectors", file.display());
    for line in &lines {
        check(line);
    }
    println!("{} vectors", lines.len());
}

#[test]
fn the_first_published_vector_is_always_at_hand() {
    check(
        "4 1 4|0 50000 50000 45780 50000 0 50000 1117 309144 1651 0 570 190 180531 941 0|2291 10044 5803 14588|\
         1 1 1 1|0 1 2 3|50000|142533 306912 622930 634412|4582 16000 11606 16000",
    );
}

#[test]
fn the_worked_example_over_five_epochs() {
    let rows: [[u32; 4]; 4] = [
        [0, 70_000, 14_000, 110_000],
        [68_000, 0, 60_000, 170_000],
        [15_000, 58_000, 0, 125_000],
        [112_000, 175_000, 120_000, 0],
    ];
    let matrix = ObservationMatrix::new(rows.iter().map(|row| Some(row.to_vec())).collect()).unwrap();
    let policy = WeightPolicy::new(4, 1, 3).unwrap();
    let mut weights = vec![Weight(1_000); 4];
    let mut core = Vec::new();
    for epoch in 1..=5 {
        let levels = matrix.coherence(&weights);
        let standings: Vec<Standing> = (0..4)
            .map(|position| Standing {
                weight: weights[position],
                level: levels[position],
                eligible: true,
                was_core: core.contains(&position),
            })
            .collect();
        let result = weigh(policy, &standings);
        (weights, core) = (result.weights, result.core);
        if epoch == 1 {
            assert_eq!(weights, [2_000, 2_000, 2_000, 1_000].map(Weight));
        }
    }
    assert_eq!(weights, [16_000, 16_000, 16_000, 1_000].map(Weight));
}
