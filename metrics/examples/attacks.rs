//! Prints what weights gain and what liars do to them, over random deployments.
//!
//! `cargo run --release -p aegis-metrics --example attacks [-- FILE]`: FILE is a matrix of round-trip times in
//! milliseconds, one row per line, separated by commas; without it, times are computed from coordinates of cities.

#[path = "../tests/deployment/mod.rs"]
mod deployment;

use deployment::{Attack, cities, damage, gain, read_csv};

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
    println!("\n13 members, t = 2, core of 7, 150 deployments\n");
    println!(
        "| attack by two members | latency | equal weights | seats won | honest seats lost | victim evicted | liars' weight |"
    );
    println!("|---|---|---|---|---|---|---|");
    for attack in Attack::ALL {
        let damage = damage(&regions, attack, 150);
        println!(
            "| {} | {:.1} ms | {:.1} ms | {:.2} | {:.2} | {:.0} % | {:.1} % at most |",
            attack.name(),
            damage.latency_ms,
            damage.equal_ms,
            damage.seats_won,
            damage.honest_seats_lost,
            100.0 * damage.evicted,
            100.0 * damage.liars_share_max
        );
    }
    Ok(())
}
