//! The weight rule against published vectors.
//!
//! One vector a line, fields split by `|`, numbers by spaces; lines that begin with `#` are comments:
//!
//! ```text
//! n t m | n*n round-trip times in microseconds, row by row | weights before | eligible (0 or 1) | positions of the core before
//!       | median round trip | coherence of each, in millionths | weights after
//! ```
//!
//! The level is the coherence here.

use aegis_metrics::weights::{Standing, WeightPolicy, weigh};
use aegis_metrics::{Micro, ObservationMatrix};
use aegis_types::Weight;
use anyhow::{Context as _, bail, ensure};

/// Most members of a set.
const MEMBERS_MAX: usize = aegis_types::Limits::VALIDATORS;

/// Checks every vector of a file; how many there are.
///
/// # Errors
/// The first line that cannot be read or gives another result, by number.
pub fn check_all(text: &str) -> anyhow::Result<usize> {
    let mut checked = 0;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        check(line).with_context(|| format!("line {number}"))?;
        checked += 1;
    }
    ensure!(checked > 0, "there is no vector in it");
    Ok(checked)
}

fn check(line: &str) -> anyhow::Result<()> {
    let fields: Vec<&str> = line.split('|').collect();
    let [shape, rtt, before, eligible, core, median, coherence, after] = fields[..] else {
        bail!("{} fields instead of 8", fields.len());
    };
    let [members, tolerance, core_size] = numbers::<usize>(shape)?[..] else {
        bail!("the first field is `n t m`");
    };
    ensure!((1..=MEMBERS_MAX).contains(&members), "{members} members; possible are 1 to {MEMBERS_MAX}");
    let rtt = numbers::<u32>(rtt)?;
    ensure!(rtt.len() == members * members, "{} round-trip times for {members} members", rtt.len());
    let matrix = ObservationMatrix::new(rtt.chunks(members).map(|row| Some(row.to_vec())).collect())?;
    same("median round trip", vec![matrix.median_rtt_us()], numbers(median)?)?;
    let weights: Vec<Weight> = numbers(before)?.into_iter().map(Weight).collect();
    ensure!(weights.len() == members, "{} weights for {members} members", weights.len());
    let levels = matrix.coherence(&weights);
    same("coherence", levels.iter().map(|level| level.get()).collect(), numbers(coherence)?)?;
    let standings = standings(&weights, &levels, &numbers(eligible)?, &numbers(core)?)?;
    let policy = WeightPolicy::new(members, u32::try_from(tolerance)?, u32::try_from(core_size)?)?;
    same(
        "weights",
        weigh(policy, &standings).weights.iter().map(|weight| weight.0).collect(),
        numbers(after)?,
    )
}

fn standings(
    weights: &[Weight],
    levels: &[Micro],
    eligible: &[u8],
    core: &[usize],
) -> anyhow::Result<Vec<Standing>> {
    ensure!(eligible.len() == weights.len(), "{} marks for {} members", eligible.len(), weights.len());
    let standing = |(position, ((weight, level), eligible)): (usize, ((&Weight, &Micro), &u8))| Standing {
        weight: *weight,
        level: *level,
        eligible: *eligible == 1,
        was_core: core.contains(&position),
    };
    Ok(weights.iter().zip(levels).zip(eligible).enumerate().map(standing).collect())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: Vec<T>, expected: Vec<T>) -> anyhow::Result<()> {
    ensure!(found == expected, "{what}: found {found:?}, expected {expected:?}");
    Ok(())
}

fn numbers<T: std::str::FromStr>(field: &str) -> anyhow::Result<Vec<T>> {
    let read = |number: &str| number.parse().map_err(|_| anyhow::anyhow!("`{number}` is no such number"));
    field.split_whitespace().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "4 1 4|0 50000 50000 45780 50000 0 50000 1117 309144 1651 0 570 190 180531 941 0|\
        2291 10044 5803 14588|1 1 1 1|0 1 2 3|50000|142533 306912 622930 634412|4582 16000 11606 16000";

    #[test]
    fn a_vector_is_confirmed_and_any_other_number_in_it_is_not() {
        assert_eq!(check_all(&format!("# comment\n\n{FIRST}\n{FIRST}\n")).unwrap(), 2);
        for (from, to) in [
            ("|50000|", "|50001|"),
            ("142533", "142534"),
            ("4582", "4583"),
            ("4 1 4|", "4 1 3|"),
            ("4 1 4|", "5 1 4|"),
            ("|1 1 1 1|", "|1 1 1 0|"),
            ("|1 1 1 1|", "|1 1 1|"),
            ("309144", "x"),
        ] {
            let wrong = FIRST.replacen(from, to, 1);
            assert_ne!(wrong, FIRST);
            let error = check_all(&wrong).unwrap_err();
            assert!(error.to_string().contains("line 1"), "{error:#}");
        }
        assert!(check_all("# nothing\n").is_err());
    }

    #[test]
    fn the_published_file_is_confirmed_where_it_is_at_hand() {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let file = workspace.join("shared/data/weights/vectors.txt");
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let vectors = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
                assert_eq!(check_all(&text).unwrap(), vectors.count());
            }
            Err(_) => println!("skipped: there is no {}", file.display()),
        }
    }
}
