//! What the configuration means to the parts of a node.

use std::path::Path;

use aegis_config::{Config, Period, TorSection};
use aegis_p2p::{LinkDelays, Multiaddr, NetworkConfig, NetworkLimits, TorConfig, TorMode};
use aegis_rpc::{RpcConfig, RpcLimits, TlsFiles, Token};
use aegis_types::Genesis;
use anyhow::{Context as _, bail};
use tracing::warn;

use super::logging;
use crate::home::Home;

/// Largest file with a Tor network that is read: some thousand relays.
const TOR_NETWORK_BYTES_MAX: u64 = 1 << 20;

/// Looks for what only the parts themselves can tell to be unusable, without starting anything.
///
/// # Errors
/// The first mistake that is found.
pub fn check(config: &Config, home: &Home, genesis: &Genesis, token: String) -> anyhow::Result<()> {
    logging::filter(&config.telemetry)?;
    network_config(config, genesis, home)?.check()?;
    rpc_config(config, home, token)?;
    Ok(())
}

/// How the network is to be run.
///
/// # Errors
/// When an address or a file that is named cannot be read.
pub fn network_config(config: &Config, genesis: &Genesis, home: &Home) -> anyhow::Result<NetworkConfig> {
    let p2p = &config.p2p;
    Ok(NetworkConfig {
        listen: addresses("p2p.listen", &p2p.listen)?,
        external: addresses("p2p.external", &p2p.external)?,
        bootstrap: addresses("p2p.bootstrap", &p2p.bootstrap)?,
        agent: agent(&config.node.name),
        limits: NetworkLimits {
            connections_inbound: u32::try_from(p2p.connections_inbound_max).unwrap_or(u32::MAX),
            connections_outbound: u32::try_from(p2p.connections_outbound_max).unwrap_or(u32::MAX),
            ..NetworkLimits::default()
        },
        link_delays: link_delays(&p2p.test_link_delays)?,
        tor: tor_config(&config.tor, home)?,
        ..NetworkConfig::new(genesis.chain.clone(), genesis.hash())
    })
}

fn tor_config(tor: &TorSection, home: &Home) -> anyhow::Result<TorConfig> {
    Ok(TorConfig {
        mode: match tor.mode {
            aegis_config::TorMode::Off => TorMode::Off,
            aegis_config::TorMode::Also => TorMode::Also,
            aegis_config::TorMode::Only => TorMode::Only,
        },
        folder: home.tor_path(),
        bridges: tor.bridges.clone(),
        pluggable_transports: tor.pluggable_transports.clone(),
        authorized_clients: tor.authorized_clients.clone(),
        network: tor.network.within(home.path()).map(|path| tor_network(&path)).transpose()?,
    })
}

fn tor_network(path: &Path) -> anyhow::Result<String> {
    let about = || format!("p2p.tor.network: {}", path.display());
    let actual = std::fs::metadata(path).with_context(about)?.len();
    if actual > TOR_NETWORK_BYTES_MAX {
        bail!(
            "{} has {actual} bytes; a Tor network is described in at most {TOR_NETWORK_BYTES_MAX}",
            about()
        );
    }
    std::fs::read_to_string(path).with_context(about)
}

fn link_delays(texts: &[String]) -> anyhow::Result<LinkDelays> {
    let parse = |text: &String| {
        let (node, delay) = text.split_once('=')?;
        let delay: Period = delay.parse().ok()?;
        Some((node.parse().ok()?, delay.get()))
    };
    let parsed = texts.iter().map(|text| {
        parse(text).with_context(|| {
            format!("p2p.test_link_delays: `{text}` is no delay of a link; write it like NODE-ID=40ms")
        })
    });
    let delays: LinkDelays = parsed.collect::<anyhow::Result<_>>()?;
    if !delays.is_empty() {
        warn!(
            links = delays.len(),
            "messages of some nodes are held back on purpose: test_link_delays is set"
        );
    }
    Ok(delays)
}

fn agent(name: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if name.is_empty() { format!("aegis/{version}") } else { format!("aegis/{version} ({name})") }
}

fn addresses(key: &str, texts: &[String]) -> anyhow::Result<Vec<Multiaddr>> {
    let parse = |text: &String| {
        text.parse().with_context(|| {
            format!("{key}: `{text}` is no multiaddress; write it like /ip4/192.0.2.1/udp/7003/quic-v1")
        })
    };
    texts.iter().map(parse).collect()
}

/// How clients are to be served.
///
/// # Errors
/// When the token or the TLS files' settings cannot be used.
pub fn rpc_config(config: &Config, home: &Home, token: String) -> anyhow::Result<RpcConfig> {
    let rpc = &config.rpc;
    let tls = match (rpc.tls_certificate.within(home.path()), rpc.tls_key.within(home.path())) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            bail!("set both rpc.tls_certificate and rpc.tls_key, or neither")
        }
    };
    Ok(RpcConfig {
        bind: rpc.listen,
        token: Some(Token::new(token)?),
        tls,
        limits: RpcLimits {
            body_bytes: rpc.body_max.as_usize(),
            request_timeout: rpc.request_timeout.get(),
            connections: rpc.connections_max,
            watchers: rpc.watchers_max,
            submissions: rpc.submissions_max,
            requests_per_second: rpc.requests_per_second,
            ..RpcLimits::default()
        },
    })
}
