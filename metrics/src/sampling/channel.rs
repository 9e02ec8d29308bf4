//! The channels that a node measures.

use std::fmt;

use crate::reports::CHANNELS;

/// One channel. The order is that of reports and masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Proposals that arrived, per second.
    Arrivals,
    /// Processor time used, as a share of one processor.
    Cpu,
    /// Proposals that wait.
    QueueDepth,
    /// Median commit latency of the second, in microseconds.
    CommitLatency,
    /// Round-trip time to the weighted median of the peers, in microseconds.
    QuorumRtt,
    /// Change of resident memory, in bytes per second. The change, because memory itself drifts.
    Memory,
    /// Bytes sent, per second.
    BytesOut,
    /// Votes cast in time, per second.
    VotesInTime,
}

impl Channel {
    /// All channels in order.
    pub const ALL: [Self; CHANNELS] = [
        Self::Arrivals,
        Self::Cpu,
        Self::QueueDepth,
        Self::CommitLatency,
        Self::QuorumRtt,
        Self::Memory,
        Self::BytesOut,
        Self::VotesInTime,
    ];

    /// The name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrivals => "arrivals",
            Self::Cpu => "cpu",
            Self::QueueDepth => "queue_depth",
            Self::CommitLatency => "commit_latency",
            Self::QuorumRtt => "quorum_rtt",
            Self::Memory => "memory",
            Self::BytesOut => "bytes_out",
            Self::VotesInTime => "votes_in_time",
        }
    }

    /// The channel's number in reports.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The channel of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The channel's bit in masks.
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
