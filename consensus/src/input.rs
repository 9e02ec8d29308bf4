//! What the engine is told.

use aegis_types::{BatchRef, Certificate, Hash, Header, Height, ValidatorId};

use crate::epoch::NextEpoch;
use crate::message::Message;

/// The time, as the driver reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back; its origin does not matter. For timers.
    pub monotonic_ms: u64,
    /// Milliseconds of the Unix epoch. For block timestamps only.
    pub unix_ms: u64,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message; `from` is authenticated by the transport, everything else may be hostile.
    Message {
        /// Who delivered it.
        from: ValidatorId,
        /// The message.
        message: Box<Message>,
    },
    /// A batch whose proposals are all valid is held, and is durable no later than the next flush.
    BatchAvailable(BatchRef),
    /// A block was executed.
    Executed {
        /// Its height.
        height: Height,
        /// Root of the state after it.
        state_root: Hash,
        /// For a closing block: the next epoch.
        next_epoch: Option<Box<NextEpoch>>,
    },
    /// A decided block from elsewhere; its batches are held. May be hostile.
    Synced {
        /// The header.
        header: Box<Header>,
        /// Its commit certificate.
        certificate: Box<Certificate>,
    },
    /// The time that [`crate::Engine::deadline`] named has come.
    Tick,
}
