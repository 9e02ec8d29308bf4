//! The study as a table in Markdown.

use super::samples::Samples;
use super::study::{Lied, Row};

/// Means and 99th percentiles in milliseconds, and how much less than with equal weights and the best leader.
pub fn latencies(rows: &[Row]) -> String {
    let mut lines = vec![
        "| validators | arbitrary faults by count: equal, measured | weights | leader | mean | p99 | against equal, best | predicted mean |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for row in rows {
        let faults = format!("{}, {}", (row.validators - 1) / 3, row.tolerance);
        let cells = [
            ("equal", "best", &row.equal.best, Some(&row.equal.predicted)),
            ("equal", "rotating", &row.equal.rotating, None),
            ("measured", "best", &row.measured.best, Some(&row.measured.predicted)),
            ("measured", "rotating", &row.measured.rotating, None),
        ];
        for (weights, leader, samples, predicted) in cells {
            let predicted = predicted.map_or_else(String::new, |means| millis(mean_ms(means)));
            lines.push(format!(
                "| {} | {faults} | {weights} | {leader} | {} | {} | {} | {predicted} |",
                row.validators,
                millis(samples.mean_ms()),
                millis(samples.p99_ms()),
                change(samples, &row.equal.best),
            ));
        }
    }
    lines.join("\n")
}

/// Latencies when as many as may fail lie, or lie and fall silent, and what seats in the core change hands; means per deployment.
pub fn liars(rows: &[Row]) -> String {
    let mut lines = vec![
        "| validators | liars | what they do | mean | p99 | against the same without lies | liars in the core: honest, lying | honest ones that lose their seat |".to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for row in rows {
        let mut push = |what: &str, samples: &Samples, against: &Samples, seats: &str| {
            lines.push(format!(
                "| {} | {} | {what} | {} | {} | {} | {seats} |",
                row.validators,
                row.tolerance,
                millis(samples.mean_ms()),
                millis(samples.p99_ms()),
                change(samples, against),
            ));
        };
        let mean = |seats: usize| seats as f64 / row.deployments.max(1) as f64;
        for Lied { lie, samples, liars_seats: (honest, lying), honest_losses } in &row.lies {
            let seats = format!("{:.2}, {:.2} | {:.2}", mean(*honest), mean(*lying), mean(*honest_losses));
            push(lie.name(), samples, &row.measured.best, &seats);
        }
        let as_above = " | ";
        push("worst-placed claim 1 ms, then fall silent", &row.silence.1, &row.measured.best, as_above);
        push("the same fall silent, equal weights", &row.silence.0, &row.equal.best, as_above);
    }
    lines.join("\n")
}

/// Crashes survived, one per epoch, the heaviest validator each time.
pub fn crashes(rows: &[Row]) -> String {
    let mut lines =
        vec!["| validators | equal weights | measured weights |".to_owned(), "|---|---|---|".to_owned()];
    let range = |range: Option<(usize, usize)>| match range {
        Some((least, most)) if least == most => least.to_string(),
        Some((least, most)) => format!("{least} to {most}"),
        None => "not run".to_owned(),
    };
    let cells = rows.iter().map(|row| {
        let [equal, measured] = row.crashes.map(range);
        format!("| {} | {equal} | {measured} |", row.validators)
    });
    lines.extend(cells);
    lines.join("\n")
}

fn mean_ms(means_us: &[f64]) -> Option<f64> {
    (!means_us.is_empty()).then(|| means_us.iter().sum::<f64>() / means_us.len() as f64 / 1e3)
}

fn millis(value: Option<f64>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value:.1} ms"))
}

fn change(samples: &Samples, against: &Samples) -> String {
    match (samples.mean_ms(), against.mean_ms()) {
        (Some(mean), Some(base)) => format!("{:+.1} %", (mean / base - 1.0) * 100.0),
        _ => "none".to_owned(),
    }
}
