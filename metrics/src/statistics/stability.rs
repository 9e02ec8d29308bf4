//! Stability and divergence: how a node's channels compare with its own past and with its peers.
//!
//! - `S = 1 - sqrt(mean over channels of JSD(first half of the window, second half))`, binned at the octiles of the
//!   window itself. "Does this node behave now as it did five minutes ago?" Not whether that was good.
//! - `D = sqrt(mean over channels of JSD(own window, pooled peers))`, binned at the agreed octiles. Each channel is
//!   divided by its own long-run median first, or geography alone would make remote nodes different. "Does this node
//!   behave unlike the others?" Not who is right: when everyone goes wrong together it is 0.
//!
//! Both need a hundred samples on each side; below that chance alone passes for a change.

use crate::statistics::bins::{Histogram, OctileBins, inflation, jensen_shannon};
use crate::statistics::phi::TooLittle;

/// Samples needed on each side of a comparison.
pub const SAMPLES_MIN: usize = 100;

/// The same as a total of counts.
const SAMPLES_NEEDED: u64 = SAMPLES_MIN as u64;

/// Stability of channels of equal length: 0 to 1, 1 for no change.
///
/// # Errors
/// `TooLittle::Channels` without any channel, `TooLittle::Samples` below two hundred samples.
pub fn stability(channels: &[&[f64]]) -> Result<f64, TooLittle> {
    if channels.is_empty() {
        return Err(TooLittle::Channels { kept: 0, needed: 1 });
    }
    let mut distances = Vec::with_capacity(channels.len());
    for channel in channels {
        let (samples, needed) = (channel.len(), 2 * SAMPLES_MIN);
        if samples < needed {
            return Err(TooLittle::Samples { samples, needed });
        }
        let bins = OctileBins::of(channel).ok_or(TooLittle::Degenerate)?;
        let (early, late) = channel.split_at(samples / 2);
        // Each half by itself: a jump between them must not pass for autocorrelation and excuse itself.
        let inflation = (inflation(&bins, early) + inflation(&bins, late)) / 2.0;
        distances.push(jensen_shannon(&bins.histogram(early), &bins.histogram(late), inflation));
    }
    Ok(1.0 - libm::sqrt(mean(&distances)))
}

/// A divergence and the channel that contributes most.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// 0 to 1; 0 for no difference.
    pub value: f64,
    /// Position in the list given, of the channel with the largest distance.
    pub leading: usize,
    /// Distance of each channel, 0 to 1: the root of its JSD.
    pub by_channel: Vec<f64>,
}

/// A channel to compare: own values and the peers' histogram over the same bins.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// Own values, divided by their long-run median.
    pub own: &'a [f64],
    /// The agreed bins.
    pub bins: &'a OctileBins,
    /// The peers' samples, pooled with equal mass, without one's own: see [`Pool`](crate::statistics::pool::Pool).
    pub peers: &'a Histogram,
}

/// Divergence over channels.
///
/// # Errors
/// `TooLittle::Reference` without channels, or when the peers have fewer than a hundred samples of one, `TooLittle::Samples`
/// below a hundred of one's own.
pub fn divergence(channels: &[Comparison<'_>]) -> Result<Divergence, TooLittle> {
    if channels.is_empty() || channels.iter().any(|channel| channel.peers.total() < SAMPLES_NEEDED) {
        return Err(TooLittle::Reference);
    }
    let mut distances = Vec::with_capacity(channels.len());
    for Comparison { own, bins, peers } in channels {
        if own.len() < SAMPLES_MIN {
            return Err(TooLittle::Samples { samples: own.len(), needed: SAMPLES_MIN });
        }
        distances.push(jensen_shannon(&bins.histogram(own), peers, inflation(bins, own)));
    }
    let by_channel: Vec<f64> = distances.iter().map(|distance| libm::sqrt(*distance)).collect();
    // Of several, the first.
    let leading = (0..by_channel.len())
        .rev()
        .max_by(|a, b| by_channel[*a].total_cmp(&by_channel[*b]))
        .unwrap_or_default();
    Ok(Divergence { value: libm::sqrt(mean(&distances)), leading, by_channel })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / crate::statistics::distribution::as_f64(values.len())
}
