//! The settings in arti's terms.
//!
//! arti reads its configuration from TOML, so a network that the operator describes is taken as it stands and ours is laid
//! over it. Sections that decide what is hidden or where files go cannot be set from outside.

use std::path::Path;

use arti_client::TorClientConfig;
use arti_client::config::TorClientConfigBuilder;
use arti_client::config::onion_service::{OnionServiceConfig, OnionServiceConfigBuilder};
use toml::{Table, Value};

use super::config::TorConfig;
use crate::error::{P2pError, chain_of};

/// Sections of arti's that a described network may have. The others decide where files go, which bridges are used, or which
/// addresses may be asked for.
const NETWORK_SECTIONS: [&str; 9] = [
    "tor_network",
    "path_rules",
    "override_net_params",
    "preemptive_circuits",
    "circuit_timing",
    "directory_tolerance",
    "download_schedule",
    "stream_timeouts",
    "vanguards",
];

/// The name of the onion service in the Tor client's folder. Its key is found by it, so it never changes.
const SERVICE_NAME: &str = "aegis";

/// Streams on one circuit. A peer needs one; a second comes while it connects anew. Each further one would let a stranger take
/// a place among the handshakes without the trouble of another meeting.
const STREAMS_PER_CIRCUIT_MAX: i64 = 2;

/// Introductions that each introduction point is asked to pass on, per second and in a burst. A flood at this rate from all
/// three, to meeting points that nobody comes to, holds 3 * (64 + 30 s * 8) = 912 of the 1,024 circuits that are served at once;
/// and a network of a hundred nodes can begin at one moment.
const INTRODUCTION_RATE: i64 = 8;
const INTRODUCTION_BURST: i64 = 64;

/// Memory of queues within the Tor client, above which it closes the circuits that fill them. Far more than a node's links
/// hold when all are full; without a bound, arti takes a share of the machine's.
const QUEUES_MAX: &str = "512 MB";

/// Checks all settings without starting anything.
pub(super) fn check(config: &TorConfig) -> Result<(), P2pError> {
    client(config)?;
    service(config).map(drop)
}

/// How the client is to be run.
pub(super) fn client(config: &TorConfig) -> Result<TorClientConfig, P2pError> {
    let mut table = network(config)?;
    table.insert("storage".to_owned(), storage(&config.folder)?.into());
    let memory = Table::from_iter([("max".to_owned(), Value::from(QUEUES_MAX))]);
    table.insert("system".to_owned(), Table::from_iter([("memory".to_owned(), memory.into())]).into());
    if !config.bridges.is_empty() {
        table.insert("bridges".to_owned(), bridges(config)?.into());
    }
    let setting = match (&config.network, config.bridges.is_empty()) {
        (Some(_), true) => "p2p.tor.network",
        (None, _) | (Some(_), false) => "p2p.tor.bridges",
    };
    let unusable = |error: &dyn std::error::Error| P2pError::Config { setting, reason: chain_of(error) };
    let builder: TorClientConfigBuilder =
        table.try_into().map_err(|error: toml::de::Error| unusable(&error))?;
    builder.build().map_err(|error| unusable(&error))
}

fn network(config: &TorConfig) -> Result<Table, P2pError> {
    let setting = "p2p.tor.network";
    let Some(text) = &config.network else { return Ok(Table::new()) };
    let table: Table = text.parse().map_err(|error: toml::de::Error| P2pError::Config {
        setting,
        reason: format!("it is no TOML: {}", error.message()),
    })?;
    match table.keys().find(|section| !NETWORK_SECTIONS.contains(&section.as_str())) {
        Some(section) => Err(P2pError::Config {
            setting,
            reason: format!("it may not have [{section}]; possible are {}", NETWORK_SECTIONS.join(", ")),
        }),
        None => Ok(table),
    }
}

fn storage(folder: &Path) -> Result<Table, P2pError> {
    let mut storage = Table::new();
    for (key, name) in [("state_dir", "state"), ("cache_dir", "cache")] {
        let path = folder.join(name);
        let text = path.to_str().ok_or_else(|| P2pError::Tor {
            reason: format!("the path {} is no UTF-8; move the home", path.display()),
        })?;
        storage.insert(key.to_owned(), Table::from_iter([("literal".to_owned(), Value::from(text))]).into());
    }
    Ok(storage)
}

fn bridges(config: &TorConfig) -> Result<Table, P2pError> {
    let transport = |text: &String| {
        let (protocol, program) = text.split_once('=').ok_or_else(|| P2pError::Config {
            setting: "p2p.tor.pluggable_transports",
            reason: format!(
                "`{text}` names no program; write PROTOCOL=PROGRAM, such as obfs4=/usr/bin/lyrebird"
            ),
        })?;
        let program = Table::from_iter([("literal".to_owned(), Value::from(program.trim()))]);
        Ok(Value::Table(Table::from_iter([
            ("protocols".to_owned(), vec![protocol.trim()].into()),
            ("path".to_owned(), program.into()),
            ("run_on_startup".to_owned(), true.into()),
        ])))
    };
    let transports =
        config.pluggable_transports.iter().map(transport).collect::<Result<Vec<_>, P2pError>>()?;
    let mut bridges = Table::from_iter([
        ("enabled".to_owned(), true.into()),
        ("bridges".to_owned(), config.bridges.clone().into()),
    ]);
    if !transports.is_empty() {
        bridges.insert("transports".to_owned(), transports.into());
    }
    Ok(bridges)
}

/// How the onion service is to be run.
pub(super) fn service(config: &TorConfig) -> Result<OnionServiceConfig, P2pError> {
    let mut table = Table::from_iter([
        ("nickname".to_owned(), Value::from(SERVICE_NAME)),
        ("max_concurrent_streams_per_circuit".to_owned(), STREAMS_PER_CIRCUIT_MAX.into()),
    ]);
    let rate = [("rate", INTRODUCTION_RATE), ("burst", INTRODUCTION_BURST)];
    let rate = rate.map(|(key, value)| (key.to_owned(), Value::from(value)));
    table.insert("rate_limit_at_intro".to_owned(), Table::from_iter(rate).into());
    if !config.authorized_clients.is_empty() {
        let named = |(index, key): (usize, &String)| (format!("client{index}"), Value::from(key.trim()));
        let keys: Table = config.authorized_clients.iter().enumerate().map(named).collect();
        let restricted = [("enabled".to_owned(), true.into()), ("static_keys".to_owned(), keys.into())];
        table.insert("restricted_discovery".to_owned(), Table::from_iter(restricted).into());
    }
    let unusable = |error: &dyn std::error::Error| P2pError::Config {
        setting: "p2p.tor.authorized_clients",
        reason: format!("{}; write each as `aegis status` shows it: descriptor:x25519:...", chain_of(error)),
    };
    let builder: OnionServiceConfigBuilder =
        table.try_into().map_err(|error: toml::de::Error| unusable(&error))?;
    builder.build().map_err(|error| unusable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tor::TorMode;

    fn config() -> TorConfig {
        TorConfig { mode: TorMode::Only, folder: "/home/of/node/tor".into(), ..TorConfig::default() }
    }

    fn reason(config: &TorConfig) -> String {
        check(config).unwrap_err().to_string()
    }

    #[test]
    fn the_public_network_needs_no_settings() {
        check(&config()).unwrap();
    }

    #[test]
    fn a_described_network_cannot_move_files_or_open_addresses() {
        for section in ["storage", "bridges", "address_filter"] {
            let described = TorConfig { network: Some(format!("[{section}]\n")), ..config() };
            assert!(reason(&described).contains(section));
        }
        let broken = TorConfig { network: Some("[tor_network".to_owned()), ..config() };
        assert!(reason(&broken).contains("p2p.tor.network"));
    }

    #[test]
    fn keys_and_bridges_that_cannot_be_read_are_named() {
        let key = "descriptor:x25519:zprrmiv6dv6sjfl7sfbsvlj5vunpgcdfevz7m23ltlvtccxjqbka".to_owned();
        check(&TorConfig { authorized_clients: vec![key], ..config() }).unwrap();
        let wrong = TorConfig { authorized_clients: vec!["descriptor:x25519:abc".to_owned()], ..config() };
        assert!(reason(&wrong).contains("p2p.tor.authorized_clients"));
        let bridge = "192.0.2.66:443 8c00000dff7ea6f6e2da2ea4b3a4ad6ee2ee3cff".to_owned();
        check(&TorConfig { bridges: vec![bridge], ..config() }).unwrap();
        let wrong = TorConfig { bridges: vec!["a bridge".to_owned()], ..config() };
        assert!(reason(&wrong).contains("p2p.tor.bridges"));
    }
}
