//! What attacks do, as the tables of `docs/metrics.md` show it.

use super::{Attack, Damage};

/// Random deployments that each row is the mean of.
pub const DEPLOYMENTS: u32 = 150;

/// The header of the table.
pub const HEADER: &str = "| attack by two of thirteen | latency | equal weights | seats won by liars | honest members that lost theirs | victim evicted | liars' weight |\n\
|---|---|---|---|---|---|---|";

/// One attack's row.
pub fn row(attack: Attack, damage: &Damage) -> String {
    let evicted = match attack {
        Attack::Slander => format!("{:.0} %", 100.0 * damage.evicted),
        _ => "-".to_owned(),
    };
    format!(
        "| {} | {:.1} ms | {:.1} ms | {:.2} | {:.2} | {evicted} | {:.1} % |",
        attack.name(),
        damage.latency_ms,
        damage.equal_ms,
        damage.seats_won,
        damage.honest_seats_lost,
        100.0 * damage.liars_share_max
    )
}
