//! Hours at one rate: what grows that should not.

use std::fmt::Write as _;

use super::report::{Payload, Step};

/// How much more than at the beginning counts as growth.
const GROWTH: f64 = 1.2;
/// So many bytes more are no growth: caches and logs' tails fill.
const SLACK_BYTES: u64 = 32 << 20;
/// So many more descriptors are none.
const SLACK_DESCRIPTORS: u64 = 8;

/// What a long run came to: its second quarter against its last one. (In the first one caches fill.)
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// Bytes in RAM of the largest node, then and at the end.
    pub resident: (u64, u64),
    /// Open descriptors, then and at the end.
    pub descriptors: (u64, u64),
    /// Milliseconds of the median latency, then and at the end.
    pub p50_ms: (f64, f64),
    /// Puts that failed in the whole run.
    pub failed: u64,
    /// View changes in the whole run.
    pub view_changes: u64,
}

impl Growth {
    /// None of a run of less than four steps.
    pub fn of(run: &Payload) -> Option<Self> {
        let steps = &run.steps;
        let quarter = steps.len() / 4;
        let then = steps.get(quarter..quarter * 2).filter(|steps| !steps.is_empty())?;
        let end = steps.get(steps.len() - quarter..)?;
        let most =
            |steps: &[Step], value: fn(&Step) -> u64| steps.iter().map(value).max().unwrap_or_default();
        let median = |steps: &[Step]| {
            let mut values: Vec<f64> = steps.iter().map(|step| step.p50_ms).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Some(Self {
            resident: (most(then, |step| step.resident), most(end, |step| step.resident)),
            descriptors: (most(then, |step| step.descriptors), most(end, |step| step.descriptors)),
            p50_ms: (median(then), median(end)),
            failed: steps.iter().flat_map(|step| step.errors.values()).sum(),
            view_changes: steps.iter().map(|step| step.view_changes).sum(),
        })
    }

    /// What has grown, in words; empty when nothing has.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (then, end) = self.resident;
        if end > then + SLACK_BYTES && end as f64 > then as f64 * GROWTH {
            faults.push(format!("memory grew from {} to {} MiB", then >> 20, end >> 20));
        }
        let (then, end) = self.descriptors;
        if end > then + SLACK_DESCRIPTORS {
            faults.push(format!("open descriptors grew from {then} to {end}"));
        }
        let (then, end) = self.p50_ms;
        if end > then * GROWTH {
            faults.push(format!("the median latency grew from {then:.1} to {end:.1} ms"));
        }
        if self.failed > 0 {
            faults.push(format!("{} puts failed", self.failed));
        }
        if self.view_changes > 0 {
            faults.push(format!("{} view changes without a fault", self.view_changes));
        }
        faults
    }

    /// The figures, and what is wrong with them.
    pub fn text(&self) -> String {
        let mut text = format!(
            "second quarter and last: {} and {} MiB, {} and {} descriptors, p50 {:.1} and {:.1} ms; {} failed, {} view changes\n",
            self.resident.0 >> 20,
            self.resident.1 >> 20,
            self.descriptors.0,
            self.descriptors.1,
            self.p50_ms.0,
            self.p50_ms.1,
            self.failed,
            self.view_changes
        );
        let faults = self.faults();
        if faults.is_empty() {
            text.push_str("nothing grew\n");
        }
        for fault in faults {
            let _ = writeln!(text, "fault: {fault}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_and_steadiness_is_not() {
        let steady = Growth {
            resident: (100 << 20, 110 << 20),
            descriptors: (80, 82),
            p50_ms: (5.0, 5.5),
            failed: 0,
            view_changes: 0,
        };
        assert_eq!(steady.faults(), Vec::<String>::new());
        let grown = Growth {
            resident: (100 << 20, 180 << 20),
            descriptors: (80, 200),
            p50_ms: (5.0, 9.0),
            failed: 1,
            view_changes: 1,
        };
        assert_eq!(grown.faults().len(), 5);
    }
}
