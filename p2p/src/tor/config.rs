//! What an operator can set about Tor.

use std::fmt;
use std::path::PathBuf;

use libp2p::Multiaddr;

use crate::address::transport_of;
use crate::error::P2pError;
use crate::peers::TransportKind;

/// Keys that may be let in. Each makes the descriptor of the onion service larger; Tor takes no larger ones.
const AUTHORIZED_CLIENTS_MAX: usize = 160;

/// Bridges that are tried. A client uses a few; a long list only makes its start slower.
const BRIDGES_MAX: usize = 64;

/// Whether a node uses Tor, and whether it uses anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TorMode {
    /// No Tor.
    #[default]
    Off,
    /// Tor besides TCP and QUIC; direct addresses are tried first.
    Also,
    /// Nothing but Tor.
    Only,
}

impl fmt::Display for TorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Also => "also",
            Self::Only => "only",
        })
    }
}

/// How Tor is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TorConfig {
    /// Whether, and whether anything else.
    pub mode: TorMode,
    /// Folder for keys, state and directory of the Tor client. It and all folders above must be closed to other users.
    pub folder: PathBuf,
    /// Bridge lines, as bridge operators and Tor Browser write them. Empty: entry relays are taken from the public directory.
    pub bridges: Vec<String>,
    /// Programs for pluggable transports, each as `PROTOCOL=PROGRAM`.
    pub pluggable_transports: Vec<String>,
    /// Keys of the nodes that may find this one's onion service, each as `descriptor:x25519:...`. Empty: everybody who knows
    /// its address may.
    pub authorized_clients: Vec<String>,
    /// Another Tor network than the public one, as arti describes it in TOML: `[tor_network]`, `[path_rules]`,
    /// `[override_net_params]` and the like.
    pub network: Option<String>,
}

impl TorConfig {
    /// Whether Tor is used at all.
    pub fn is_used(&self) -> bool {
        self.mode != TorMode::Off
    }

    /// Checks what the types cannot.
    pub(crate) fn check(&self) -> Result<(), P2pError> {
        if !self.is_used() {
            return Ok(());
        }
        let lists = [
            ("p2p.tor.bridges", self.bridges.len(), BRIDGES_MAX),
            ("p2p.tor.authorized_clients", self.authorized_clients.len(), AUTHORIZED_CLIENTS_MAX),
        ];
        if let Some((setting, count, max)) = lists.into_iter().find(|(_, count, max)| count > max) {
            return Err(P2pError::Config {
                setting,
                reason: format!("{count} entries; at most {max} can be used"),
            });
        }
        #[cfg(feature = "tor")]
        return super::settings::check(self);
        #[cfg(not(feature = "tor"))]
        Err(P2pError::NoTor)
    }

    /// Refuses addresses that contradict the mode.
    pub(crate) fn check_addresses(
        &self,
        setting: &'static str,
        addresses: &[Multiaddr],
    ) -> Result<(), P2pError> {
        let is_onion = |address: &&Multiaddr| transport_of(address) == TransportKind::Tor;
        let (wrong, reason) = match self.mode {
            TorMode::Off => (
                addresses.iter().find(is_onion),
                "is an onion address, and Tor is off; set `p2p.tor.mode` to \"also\" or \"only\" (--tor)",
            ),
            TorMode::Also => return Ok(()),
            TorMode::Only => (
                addresses.iter().find(|address| !is_onion(address)),
                "is no onion address, and with `p2p.tor.mode = \"only\"` nothing else is used; remove it",
            ),
        };
        match wrong {
            Some(address) => Err(P2pError::Config { setting, reason: format!("{address} {reason}") }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONION: &str = "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:7003";

    fn refusal(mode: TorMode, address: &str) -> Option<String> {
        let config = TorConfig { mode, ..TorConfig::default() };
        let refused = config.check_addresses("bootstrap", &[address.parse().unwrap()]);
        refused.err().map(|error| error.to_string())
    }

    #[test]
    fn only_takes_onion_addresses_and_off_takes_none() {
        assert_eq!(refusal(TorMode::Only, ONION), None);
        assert!(refusal(TorMode::Only, "/ip4/192.0.2.1/tcp/7003").unwrap().contains("no onion address"));
        assert!(refusal(TorMode::Only, "/dns4/a.example.org/tcp/7003").unwrap().contains("a.example.org"));
        assert!(refusal(TorMode::Off, ONION).unwrap().contains("--tor"));
        assert_eq!(refusal(TorMode::Off, "/ip4/192.0.2.1/tcp/7003"), None);
        assert_eq!(refusal(TorMode::Also, ONION), None);
        assert_eq!(refusal(TorMode::Also, "/ip4/192.0.2.1/tcp/7003"), None);
    }
}
