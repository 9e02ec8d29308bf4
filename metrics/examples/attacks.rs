//! Prints what weights gain and what liars do to them, over random deployments.
//!
//! `cargo run --release -p aegis-metrics --example attacks [-- FILE]`: FILE is a matrix of round-trip times in
//! milliseconds, one row per line, separated by commas; without it, times are computed from coordinates of cities.

#[path = "../tests/deployment/mod.rs"]
mod deployment;

use deployment::{Attack, cities, damage, gain, read_csv, table};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let regions = match std::env::args().nth(1) {
        Some(file) => {
            read_csv(&std::fs::read_to_string(&file)?).ok_or_else(|| format!("{file} is no matrix"))?
        }
        None => cities(),
    };
    println!("{} regions\n", regions.len());
    println!("| n | t | core | equal, best leader | weights, best leader | gain | rotating in core | wins |");
    println!("|---|---|---|---|---|---|---|---|");
    let shapes = [
        (4, 1, 4),
        (7, 2, 7),
        (7, 1, 4),
        (10, 2, 7),
        (13, 4, 13),
        (13, 3, 10),
        (13, 2, 7),
        (13, 2, 5),
        (13, 1, 4),
    ];
    for (n, t, m) in shapes {
        let gain = gain(&regions, (n, t, m), 200);
        let percent = 100.0 * (gain.weighted / gain.equal - 1.0);
        println!(
            "| {n} | {t} | {m} | {:.1} ms | {:.1} ms | {percent:.1} % | {:.1} ms | {:.0} % |",
            gain.equal,
            gain.weighted,
            gain.rotating,
            100.0 * gain.wins
        );
    }
    println!("\nt = 2, core of 7, {} deployments\n\n{}", table::DEPLOYMENTS, table::HEADER);
    for attack in Attack::ALL {
        println!("{}", table::row(attack, &damage(&regions, attack, table::DEPLOYMENTS)));
    }
    Ok(())
}
