//! A run beside an earlier one.

use std::fmt::Write as _;

use super::report::{Payload, Report};

/// Ratios of a run to an earlier one, payload by payload. Both are also given as shares of their own bounds, which takes out
/// what the machine itself was slower or faster.
pub fn compare(earlier: &Report, now: &Report) -> String {
    let mut text = String::from("against the saved run (now : then)\n");
    if (earlier.p99_limit_ms, earlier.seconds) != (now.p99_limit_ms, now.seconds) {
        let _ = writeln!(
            text,
            "not comparable: {} s a rate and p99 within {} ms then, {} s and {} ms now",
            earlier.seconds, earlier.p99_limit_ms, now.seconds, now.p99_limit_ms
        );
        return text;
    }
    if earlier.validators != now.validators || earlier.cores != now.cores {
        let _ = writeln!(
            text,
            "not comparable: {} validators on {} processors then, {} on {} now",
            earlier.validators, earlier.cores, now.validators, now.cores
        );
        return text;
    }
    for payload in &now.payloads {
        let Some(then) = earlier.payloads.iter().find(|then| then.payload == payload.payload) else {
            let _ = writeln!(text, "{} bytes: not in the saved run", payload.payload);
            continue;
        };
        let highest = |of: &Payload| of.highest.map_or(f64::NAN, |highest| highest as f64);
        let share = |of: &Payload| highest(of) / of.bound_per_second;
        let lowest = |of: &Payload| of.steps.first().map_or(f64::NAN, |step| step.p50_ms);
        let path = |of: &Payload| lowest(of) / of.critical_path_ms;
        let _ = writeln!(
            text,
            "{} bytes: highest rate {:.2} ({:.0} : {:.0}/s), as a share of the bound {:.2}; p50 of the lowest rate {:.2} \
             ({:.1} : {:.1} ms), in shortest paths {:.2}",
            payload.payload,
            highest(payload) / highest(then),
            highest(payload),
            highest(then),
            share(payload) / share(then),
            lowest(payload) / lowest(then),
            lowest(payload),
            lowest(then),
            path(payload) / path(then),
        );
    }
    text
}
