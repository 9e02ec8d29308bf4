//! Which reports of an epoch count.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::ValidatorId;

use crate::reports::report::Report;

/// The reports that count, and who contradicted itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LatestReports<'a> {
    /// Of each reporter the report with the highest number.
    pub by_reporter: BTreeMap<ValidatorId, &'a Report>,
    /// Reporters of two different reports with one number. None of their reports count.
    pub contradictory: BTreeSet<ValidatorId>,
}

/// Of each reporter the latest of an epoch's reports. They may come in any order and with repetitions; the result is
/// the same.
pub fn latest_reports<'a>(reports: impl IntoIterator<Item = &'a Report>) -> LatestReports<'a> {
    let mut all: BTreeMap<(ValidatorId, u64), &Report> = BTreeMap::new();
    let mut result = LatestReports::default();
    for report in reports {
        let kept = all.entry((report.reporter, report.sequence)).or_insert(report);
        if *kept != report {
            result.contradictory.insert(report.reporter);
        }
    }
    for ((reporter, _), report) in all {
        if !result.contradictory.contains(&reporter) {
            result.by_reporter.insert(reporter, report);
        }
    }
    result
}
