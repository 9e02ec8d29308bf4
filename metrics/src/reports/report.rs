//! A report, its signature, and the checks that a hostile one must fail.

use std::collections::BTreeMap;

use aegis_types::crypto::verify_strict;
use aegis_types::{
    Canonical, Domain, Epoch, Height, Keypair, Purpose, Signature, ValidatorId, ValidatorSet, Weight,
};

use crate::error::MetricsError;
use crate::micro::Micro;

/// Number of channels that a node measures.
pub const CHANNELS: usize = 8;

/// Samples in a full window, one per second: ten minutes. No report is of more, and no histogram in it counts more.
pub const SAMPLES_MAX: u16 = 600;

/// Seconds between two reports by gossip. At 200 to 500 bytes a report, a hundred members cost each node some 15 kB
/// per second.
pub const REPORT_PERIOD_SECONDS: u64 = 3;

/// Age at which a report no longer counts for live views: two periods and one for the way.
pub const REPORT_EXPIRY_SECONDS: u64 = 3 * REPORT_PERIOD_SECONDS;

/// Heights behind the receiver's own at which a report still counts. At ten blocks a second this is some minutes:
/// enough for a report that waits in a batch, too few to replay an old one of the same epoch with profit.
const HEIGHTS_BEHIND_MAX: u64 = 2_000;

/// Heights ahead of the receiver's own that are believed: a receiver may lag behind.
const HEIGHTS_AHEAD_MAX: u64 = 2_000;

/// The distribution of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelSummary {
    /// Seven octiles of the channel divided by its own long-run median, in ten-thousandths, not falling.
    pub octiles: [i32; 7],
    /// Samples in each bin of the agreed reference, while there is one; together not more than the window has.
    pub histogram: Option<[u16; 8]>,
}

/// What a node computed over its window. A value that could not be computed is missing; it then counts as the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct ReportedValues {
    /// Coupling of its channels.
    pub phi: Option<Micro>,
    /// Likeness of the halves of its window.
    pub stability: Option<Micro>,
    /// Distance from its peers.
    pub divergence: Option<Micro>,
    /// The channel that diverges most, below [`CHANNELS`].
    pub leading_channel: Option<u8>,
    /// Its median commit latency.
    pub commit_latency_us: Option<u32>,
    /// How likely chance alone yields such a phi.
    pub p_value: Option<Micro>,
    /// How far its correlations were shrunk.
    pub shrinkage: Option<Micro>,
    /// Channels on one side of the weakest cut, as a bit mask.
    pub cut: Option<u8>,
    /// Samples in its window, at most [`SAMPLES_MAX`].
    pub samples: u16,
    /// Channels that it used, as a bit mask.
    pub channels: u8,
}

/// What one node says about itself and its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The epoch whose members it is about.
    pub epoch: Epoch,
    /// Higher than that of any earlier report of this node.
    pub sequence: u64,
    /// Who reports.
    pub reporter: ValidatorId,
    /// The highest height that it has executed.
    pub height: Height,
    /// Round-trip time to each member in order, in microseconds, at most 10 s, which stands for none. Empty in an
    /// observer's report.
    pub rtt_us: Vec<u32>,
    /// Share of each member's votes that arrived in time, in ten-thousandths. Empty in an observer's report.
    pub votes_in_time: Vec<u16>,
    /// Distributions by channel.
    pub channels: BTreeMap<u8, ChannelSummary>,
    /// What it computed.
    pub values: ReportedValues,
    /// Weight of the members whose unexpired reports it holds.
    pub covered_weight: Weight,
}

/// What a receiver knows when a report arrives.
#[derive(Debug, Clone, Copy)]
pub struct ReportContext<'a> {
    /// The members of the current epoch.
    pub set: &'a ValidatorSet,
    /// The receiver's own height; the block's height where a report is executed from a block.
    pub height: Height,
    /// The number of the reporter's last report, if there was one.
    pub previous_sequence: Option<u64>,
}

/// A report with its reporter's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReport {
    /// What is said.
    pub report: Report,
    /// The signature over the report's encoding.
    pub signature: Signature,
}

impl Report {
    /// Signs the report.
    pub fn sign(self, keypair: &Keypair, domain: &Domain) -> SignedReport {
        let signature = keypair.sign(domain, Purpose::Report, &self.encode());
        SignedReport { report: self, signature }
    }

    /// Checks that a decoded report is current: epoch, rows, height and number. Trusts nothing in it.
    ///
    /// # Errors
    /// `WrongEpoch`, `BadRow`, `StaleHeight` or `OldSequence`.
    pub fn check(&self, context: ReportContext<'_>) -> Result<(), MetricsError> {
        let (expected, actual) = (context.set.epoch().0, self.epoch.0);
        if expected != actual {
            return Err(MetricsError::WrongEpoch { expected, actual });
        }
        let rows = if context.set.contains(&self.reporter) { context.set.len() } else { 0 };
        for actual in [self.rtt_us.len(), self.votes_in_time.len()] {
            if actual != rows {
                return Err(MetricsError::BadRow { expected: rows, actual });
            }
        }
        let lowest = context.height.0.saturating_sub(HEIGHTS_BEHIND_MAX);
        let highest = context.height.0.saturating_add(HEIGHTS_AHEAD_MAX);
        if !(lowest..=highest).contains(&self.height.0) {
            return Err(MetricsError::StaleHeight { lowest, highest, actual: self.height.0 });
        }
        match context.previous_sequence {
            Some(previous) if self.sequence <= previous => {
                Err(MetricsError::OldSequence { reporter: self.reporter, previous, actual: self.sequence })
            }
            _ => Ok(()),
        }
    }
}

impl SignedReport {
    /// Whether the signature is the reporter's.
    pub fn verify(&self, domain: &Domain) -> bool {
        verify_strict(domain, Purpose::Report, &self.report.encode(), &self.report.reporter, &self.signature)
    }
}
