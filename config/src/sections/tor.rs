//! `[p2p.tor]`

use serde::{Deserialize, Serialize};

use crate::quantity::OptionalPath;

/// Whether a node uses Tor, and whether it uses anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TorMode {
    /// No Tor.
    Off,
    /// Tor besides the other transports.
    Also,
    /// Nothing but Tor.
    Only,
}

section! {
    /// Tor as a way to other nodes; docs/tor.md says what it hides from whom. Needs a program that was built with the feature
    /// `tor`. The node becomes an onion service with an address that lasts; its key lies in the home's folder `tor`.
    pub struct TorSection as "p2p.tor" {
        /// "off"; "also", besides the addresses in `p2p.listen`, which peers try first; or "only": nothing but onion addresses
        /// is dialled, announced, resolved or remembered, and an address in `p2p.listen` is refused.
        mode: TorMode = TorMode::Off;
        /// Bridge lines, where Tor itself is blocked or shall not be seen, as bridges.torproject.org gives them.
        bridges: Vec<String> = Vec::new();
        /// Programs for the bridges' transports, such as "obfs4=/usr/bin/lyrebird".
        pluggable_transports: Vec<String> = Vec::new();
        /// Keys of the nodes that may find this one, such as "descriptor:x25519:..."; `aegis status` shows a node's own. For a
        /// closed network: every node lists the keys of all others. Empty: whoever knows the onion address may connect.
        authorized_clients: Vec<String> = Vec::new();
        /// File with another Tor network than the public one, for tests, in arti's format; relative paths start at the home.
        network: OptionalPath = OptionalPath::default();
    }
}
