//! End to end through Tor: real processes in a private Tor network on loopback, which `scripts/tor-network` makes from Debian's
//! package `tor`.
//!
//! One Tor network serves all scenarios; one scenario runs at a time, so that each finds the relays alive.
#![allow(
    clippy::await_holding_lock,
    reason = "each scenario has a runtime of its own, and no other task waits for it"
)]

mod agreement;
mod closed;
#[path = "../e2e/cluster.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod cluster;
mod failures;
mod interruptions;
mod mixed;
mod secrecy;
mod settings;
mod sockets;
mod tor_network;
mod vacated;
