//! The agreed bins over which nodes count their samples, so that their histograms can be added up.
//!
//! Nodes never exchange samples, only counts, and counts can be added only over common bins. The bins of an epoch are
//! the weighted lower medians, octile by octile, of what the members' agreed reports of the epoch before say: the
//! same on every node, and between honest values while liars hold less than half of the reporting weight.

use std::collections::BTreeMap;

use aegis_types::Weight;

use crate::median::weighted_lower_median;
use crate::reports::report::Report;

/// The octiles of each channel that any of the reports has, in ten-thousandths of each node's long-run median.
pub fn agreed_octiles<'a>(reports: impl IntoIterator<Item = (&'a Report, Weight)>) -> BTreeMap<u8, [i32; 7]> {
    let mut by_channel: BTreeMap<u8, Vec<([i32; 7], Weight)>> = BTreeMap::new();
    for (report, weight) in reports {
        for (channel, summary) in &report.channels {
            by_channel.entry(*channel).or_default().push((summary.octiles, weight));
        }
    }
    let agree = |entries: Vec<([i32; 7], Weight)>| {
        let octile = |index: usize| {
            let values = entries
                .iter()
                .filter_map(move |(octiles, weight)| Some((octiles.get(index).copied()?, *weight)));
            weighted_lower_median(values).unwrap_or_default()
        };
        std::array::from_fn(octile)
    };
    by_channel.into_iter().map(|(channel, entries)| (channel, agree(entries))).collect()
}
