//! Tor as a transport: onion addresses are dialled and listened on like any other.
//!
//! The Tor client (arti) runs within the process; no other program is needed. A stream through Tor is upgraded with Noise and
//! Yamux as a TCP stream is, so both ends prove their keys, and Tor's own encryption is not what the network relies on.
//!
//! # What is hidden
//! With [`TorMode::Only`] no other transport exists in the process: what is no onion address cannot be dialled, and is neither
//! announced nor kept. With [`TorMode::Also`] a node has both kinds, and its peers can tell that they belong together.
//!
//! # Invariants
//! 1. Each onion address that is dialled has circuits of its own: two peers cannot tell that one node talks to both by the
//!    circuit they share.
//! 2. The remote of an incoming stream is unknown. It is given a name (`incoming_name`) that nobody can dial.
//! 3. Meetings and handshakes that others cause are bounded before anybody has proven a key, and take at most half of the room
//!    that handshakes have.
//! 4. What a dial leaves behind in the Tor client is bounded for each onion address, however often it is dialled.
//!
//! The settings and the state are here in every build; the client itself only with the feature `tor`.

#[cfg(feature = "tor")]
mod client;
#[cfg(feature = "tor")]
mod client_keys;
mod config;
#[cfg(feature = "tor")]
mod direct_first;
#[cfg(feature = "tor")]
mod isolation;
#[cfg(feature = "tor")]
mod onion_service;
mod pace;
#[cfg(feature = "tor")]
mod progress;
#[cfg(feature = "tor")]
mod service_watch;
#[cfg(feature = "tor")]
mod settings;
#[cfg(feature = "tor")]
mod start;
mod state;
#[cfg(feature = "tor")]
mod stream;
#[cfg(all(test, feature = "tor"))]
mod testing;
#[cfg(feature = "tor")]
mod threshold;
#[cfg(feature = "tor")]
mod transport;

pub use config::{TorConfig, TorMode};
#[cfg(feature = "tor")]
pub(crate) use direct_first::DirectFirst;
pub(crate) use pace::Pace;
#[cfg(feature = "tor")]
pub(crate) use start::start;
pub(crate) use state::TorState;
pub use state::{OnionServiceState, TorStatus};
#[cfg(feature = "tor")]
pub(crate) use threshold::Threshold;
#[cfg(feature = "tor")]
pub(crate) use transport::TorTransport;

/// The port of every node's onion service. An onion address is one node's alone, so that all may have the same.
#[cfg(feature = "tor")]
const ONION_PORT: u16 = 7003;
