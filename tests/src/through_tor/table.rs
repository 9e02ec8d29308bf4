//! The figures side by side.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Deployment, Figures};

/// What a row shows of a deployment.
type Cell = fn(&Figures) -> String;

/// A Markdown table with a column for each deployment.
pub fn render(columns: &[(Deployment, Figures)]) -> String {
    let mut text = String::from("| |");
    for (deployment, _) in columns {
        push(&mut text, &format!(" {} |", deployment.name()));
    }
    push(&mut text, &format!("\n|---|{}\n", "---|".repeat(columns.len())));
    let rows: [(&str, Cell); 9] = [
        ("bootstrap, slowest node", |figures| optional(figures.bootstrap)),
        ("onion service published, slowest node", |figures| optional(figures.published)),
        ("first connection of the second node", |figures| time(figures.first_connection)),
        ("everybody connected to everybody", |figures| time(figures.all_connected)),
        ("round trip, median of all links", |figures| time(figures.round_trip)),
        ("commit p50", |figures| time(figures.commit_p50)),
        ("commit p99", |figures| time(figures.commit_p99)),
        ("puts a second, 128 writers", |figures| format!("{:.0}", figures.puts_per_second)),
        ("view changes started meanwhile, all validators", |figures| figures.view_changes.to_string()),
    ];
    for (name, cell) in rows {
        push(&mut text, &format!("| {name} |"));
        for (_, figures) in columns {
            push(&mut text, &format!(" {} |", cell(figures)));
        }
        text.push('\n');
    }
    text
}

fn optional(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "-".to_owned(), time)
}

fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

fn push(text: &mut String, more: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{more}");
}
