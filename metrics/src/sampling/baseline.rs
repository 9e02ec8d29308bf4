//! The long-run median of each channel, by which a channel is divided before nodes are compared.
//!
//! A remote node has longer round trips for ever; that is geography. Divided by its own long-run median, a channel
//! tells how the node differs from how it usually is. The scale is the median of medians of absolute values, one per
//! minute over a day; a channel whose usual value is 0 is not scaled.

use std::collections::{BTreeMap, VecDeque};

use crate::sampling::channel::Channel;
use crate::sampling::window::WindowView;

/// Medians kept per channel: one per minute of a day.
const MEDIANS_MAX: usize = 1_440;

/// Seconds between medians.
const STRIDE_SECONDS: usize = 60;

/// The long-run medians of a node's channels.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    medians: BTreeMap<Channel, VecDeque<f64>>,
}

impl Baseline {
    /// Takes in the last minute of a view. Call once per minute.
    pub fn observe(&mut self, view: &WindowView) {
        for (channel, values) in &view.kept {
            let recent = values.iter().rev().take(STRIDE_SECONDS).map(|value| value.abs()).collect();
            let Some(median) = middle(recent) else { continue };
            let medians = self.medians.entry(*channel).or_default();
            if medians.len() >= MEDIANS_MAX {
                medians.pop_front();
            }
            medians.push_back(median);
        }
    }

    /// What the channel is divided by: above 0; 1 when nothing else is known.
    pub fn scale(&self, channel: Channel) -> f64 {
        let medians = self.medians.get(&channel).into_iter().flatten().copied().collect();
        middle(medians).filter(|scale| *scale > 0.0).unwrap_or(1.0)
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
