//! A node's own statistics over its window, and what of them goes into a report.

use std::collections::BTreeMap;

use crate::micro::Micro;
use crate::reports::{ChannelSummary, Report, ReportedValues};
use crate::sampling::baseline::Baseline;
use crate::sampling::channel::Channel;
use crate::sampling::window::{DropReason, WindowView};
use crate::statistics::bins::{BINS, Histogram, OctileBins};
use crate::statistics::phi::{PhiEstimate, TooLittle, phi};
use crate::statistics::pool::Pool;
use crate::statistics::stability::{Comparison, Divergence, divergence, stability};

/// A channel's long-run median, in the fixed point of reports: ten-thousandths.
const FIXED_POINT: f64 = 10_000.0;

/// What is known of the peers: agreed octiles per channel, and their latest histograms over them.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    bins: BTreeMap<Channel, OctileBins>,
    pools: BTreeMap<Channel, Pool>,
}

impl Peers {
    /// Peers that are compared at these agreed octiles, in ten-thousandths; see
    /// [`agreed_octiles`](crate::reports::agreed_octiles).
    pub fn new(octiles: &BTreeMap<u8, [i32; BINS - 1]>) -> Self {
        let bins = octiles.iter().filter_map(|(number, octiles)| {
            Some((Channel::from_number(*number)?, OctileBins::new(octiles.map(from_fixed_point))))
        });
        Self { bins: bins.collect(), pools: BTreeMap::new() }
    }

    /// Adds a peer's latest report. Do not add one's own: nobody is a peer of itself.
    pub fn add(&mut self, report: &Report) {
        for (number, summary) in &report.channels {
            if let (Some(channel), Some(counts)) = (Channel::from_number(*number), summary.histogram) {
                self.pools.entry(channel).or_default().add(Histogram { counts: counts.map(u64::from) });
            }
        }
    }
}

/// The statistics of one window. What could not be computed says why.
#[derive(Debug, Clone)]
pub struct LocalStatistics {
    /// Coupling; its cut is by position among the used channels, see [`LocalStatistics::cut_mask`].
    pub phi: Result<PhiEstimate, TooLittle>,
    /// Likeness of the window's halves.
    pub stability: Result<f64, TooLittle>,
    /// Distance from the peers; `leading` is a position in `compared`.
    pub divergence: Result<Divergence, TooLittle>,
    /// The channels that divergence compared: those of which a peer shows enough samples.
    pub compared: Vec<Channel>,
    /// Samples in the window.
    pub samples: usize,
    /// The channels that were used.
    pub channels: Vec<Channel>,
    /// The channels that were not, and why.
    pub dropped: Vec<(Channel, DropReason)>,
    /// Distributions for the report.
    pub summaries: BTreeMap<u8, ChannelSummary>,
}

impl LocalStatistics {
    /// Computes everything from a window.
    pub fn of(view: &WindowView, baseline: &Baseline, peers: &Peers) -> Self {
        let columns = view.columns();
        let scaled: Vec<(Channel, Vec<f64>)> = view
            .kept
            .iter()
            .map(|(channel, values)| (*channel, scale(values, baseline.scale(*channel))))
            .collect();
        let pooled: BTreeMap<Channel, Histogram> =
            peers.pools.iter().filter_map(|(channel, pool)| Some((*channel, pool.histogram()?))).collect();
        let comparisons: Vec<(Channel, Comparison<'_>)> = scaled
            .iter()
            .filter_map(|(channel, own)| {
                let (bins, peers) = (peers.bins.get(channel)?, pooled.get(channel)?);
                Some((*channel, Comparison { own, bins, peers }))
            })
            .collect();
        let (compared, comparisons): (Vec<Channel>, Vec<Comparison<'_>>) = comparisons.into_iter().unzip();
        Self {
            phi: phi(&columns),
            stability: stability(&columns),
            divergence: divergence(&comparisons),
            compared,
            samples: view.samples,
            channels: view.kept.iter().map(|(channel, _)| *channel).collect(),
            dropped: view.dropped.clone(),
            summaries: scaled
                .iter()
                .filter_map(|(channel, values)| summary(*channel, values, peers))
                .collect(),
        }
    }

    /// The channel that diverges most.
    pub fn leading_channel(&self) -> Option<Channel> {
        self.compared.get(self.divergence.as_ref().ok()?.leading).copied()
    }

    /// The channels on the masked side of the weakest cut, as a mask of channels.
    pub fn cut_mask(&self) -> Option<u8> {
        let [masked, _] = self.phi.as_ref().ok()?.cut.groups();
        let channels = masked.into_iter().filter_map(|position| self.channels.get(position));
        Some(channels.fold(0, |mask, channel| mask | channel.bit()))
    }

    /// The values in fixed point, for a report. `commit_latency_us` is the window's median.
    pub fn reported_values(&self, commit_latency_us: Option<u32>) -> ReportedValues {
        let phi = self.phi.as_ref().ok();
        ReportedValues {
            phi: phi.and_then(|phi| Micro::from_share(phi.phi)),
            stability: self.stability.as_ref().ok().and_then(|share| Micro::from_share(*share)),
            divergence: self
                .divergence
                .as_ref()
                .ok()
                .and_then(|divergence| Micro::from_share(divergence.value)),
            leading_channel: self.leading_channel().map(Channel::number),
            commit_latency_us,
            p_value: phi.and_then(|phi| Micro::from_share(phi.p_value)),
            shrinkage: phi.and_then(|phi| Micro::from_share(phi.shrinkage)),
            cut: self.cut_mask(),
            samples: u16::try_from(self.samples).unwrap_or(u16::MAX),
            channels: self.channels.iter().fold(0, |mask, channel| mask | channel.bit()),
        }
    }
}

fn summary(channel: Channel, values: &[f64], peers: &Peers) -> Option<(u8, ChannelSummary)> {
    let octiles = OctileBins::of(values)?.edges().map(to_fixed_point);
    let histogram = peers
        .bins
        .get(&channel)
        .map(|bins| bins.histogram(values).counts.map(|count| u16::try_from(count).unwrap_or(u16::MAX)));
    Some((channel.number(), ChannelSummary { octiles, histogram }))
}

#[allow(clippy::float_arithmetic, reason = "a channel is divided by its long-run median")]
fn scale(values: &[f64], scale: f64) -> Vec<f64> {
    values.iter().map(|value| value / scale).collect()
}

#[allow(clippy::float_arithmetic, clippy::cast_possible_truncation, reason = "the cast saturates")]
fn to_fixed_point(value: f64) -> i32 {
    libm::round(value * FIXED_POINT) as i32
}

#[allow(clippy::float_arithmetic, reason = "the way back")]
fn from_fixed_point(value: i32) -> f64 {
    f64::from(value) / FIXED_POINT
}
