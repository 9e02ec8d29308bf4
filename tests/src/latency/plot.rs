//! The study as a picture: bars of the mean, whiskers up to the 99th percentile.

use std::fmt::Write as _;

use super::samples::Samples;
use super::study::Row;

const BAR: f64 = 26.0;
const GAP: f64 = 36.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 34.0;
const HEIGHT: f64 = 240.0;
const BOTTOM: f64 = 58.0;
/// What a bar stands for, and its colour.
const BARS: [(&str, &str); 4] = [
    ("equal weights, best leader", "#7a869a"),
    ("equal weights, rotating leader", "#b3bac5"),
    ("measured weights, best leader", "#1f6f8b"),
    ("measured weights, rotating leader", "#7fb7c9"),
];

fn samples(row: &Row) -> [&Samples; 4] {
    [&row.equal.best, &row.equal.rotating, &row.measured.best, &row.measured.rotating]
}

/// An SVG document.
pub fn svg(rows: &[Row]) -> String {
    let highest = rows.iter().flat_map(samples).filter_map(Samples::p99_ms).fold(1.0, f64::max);
    let top = (highest / 50.0).ceil() * 50.0;
    let group = BAR * BARS.len() as f64 + GAP;
    let width = LEFT + group * rows.len() as f64 + GAP;
    let y = |ms: f64| TOP + HEIGHT * (1.0 - ms / top);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <title>Commit latency by number of validators</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        TOP + HEIGHT + BOTTOM
    );
    for step in 0..=5 {
        let ms = top * f64::from(step) / 5.0;
        let (line, end) = (y(ms), width - GAP / 2.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{end:.0}\" y1=\"{line:.1}\" y2=\"{line:.1}\" stroke=\"#e3e6ea\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{ms:.0} ms</text>",
            LEFT - 6.0,
            line + 4.0
        );
    }
    for (number, row) in rows.iter().enumerate() {
        let left = LEFT + GAP / 2.0 + group * number as f64;
        for (bar, (samples, (_, colour))) in samples(row).into_iter().zip(BARS).enumerate() {
            let (Some(mean), Some(p99)) = (samples.mean_ms(), samples.p99_ms()) else { continue };
            let x = left + BAR * bar as f64;
            let middle = x + BAR / 2.0 - 2.0;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/><line x1=\"{middle:.1}\" x2=\"{middle:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#333333\"/>",
                y(mean),
                BAR - 4.0,
                HEIGHT * mean / top,
                y(mean),
                y(p99)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">n = {}, t = {}</text>",
            left + (group - GAP) / 2.0,
            TOP + HEIGHT + 16.0,
            row.validators,
            row.tolerance
        );
    }
    for (number, (name, colour)) in BARS.iter().enumerate() {
        let x = LEFT + (width - LEFT) / 2.0 * f64::from(number as u32 % 2);
        let line = TOP + HEIGHT + 34.0 + 16.0 * f64::from(number as u32 / 2);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{line:.0}\">{name}</text>",
            line - 9.0,
            x + 15.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"18\">Commit latency: mean, and up to the 99th percentile</text>\n</svg>"
    );
    svg
}
