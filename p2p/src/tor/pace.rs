//! How long things may take: through Tor, everything takes longer.

use std::time::Duration;

use super::config::TorMode;

/// Patience with a network. Through Tor a round trip takes 0.3 to 1 s as a rule, and several seconds while circuits are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// A ping that takes longer counts as lost; two lost ones in a row close the connection.
    pub(crate) ping: Duration,
    /// A walk over a large network takes a few round trips per hop.
    pub(crate) query: Duration,
    /// A peer that has not said who it is within this is disconnected.
    pub(crate) identify: Duration,
    /// Opening a stream takes two round trips; a peer that does not answer within this is as good as away.
    pub(crate) open: Duration,
    /// Least time that a request may take, from question to answer: two MiB at a tenth of a MiB per second.
    pub(crate) request: Duration,
}

impl Pace {
    /// That with TCP and QUIC.
    pub(crate) const DIRECT: Self = Self {
        ping: Duration::from_secs(10),
        query: Duration::from_secs(20),
        identify: Duration::from_secs(15),
        open: Duration::from_secs(10),
        request: Duration::ZERO,
    };
    /// That with Tor.
    pub(crate) const TOR: Self = Self {
        ping: Duration::from_secs(30),
        query: Duration::from_secs(90),
        identify: Duration::from_secs(45),
        open: Duration::from_secs(30),
        request: Duration::from_secs(20),
    };

    /// The patience that fits a mode, where it cannot be told by which way something goes.
    pub(crate) fn of(mode: TorMode) -> Self {
        match mode {
            TorMode::Off => Self::DIRECT,
            TorMode::Also | TorMode::Only => Self::TOR,
        }
    }
}
