//! The configuration as the node uses it.

use std::net::SocketAddr;

use aegis_types::{Canonical as _, Kind, Limits, proposal::Rule};

use crate::example;
use crate::section::{Section, SectionText};
use crate::sections::{
    ConsensusSection, NodeSection, P2pSection, RpcSection, StoreSection, SyncMode, SyncSection,
    TelemetrySection, TorMode, TorSection,
};

macro_rules! config {
    ($($(#[doc = $about:literal])+ $field:ident: $section:ty,)+) => {
        /// The configuration of one node.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Config {
            $($(#[doc = $about])+ pub $field: $section,)+
        }

        impl Config {
            /// The texts of all sections and keys, in the order of the example file.
            pub const SECTIONS: &'static [SectionText] = &[$(<$section as Section>::TEXT),+];

            /// A key's value as TOML; nothing when there is no such key.
            pub fn get(&self, section: &str, key: &str) -> Option<toml::Value> {
                $(if section == <$section as Section>::TEXT.name {
                    return self.$field.get(key);
                })+
                None
            }

            /// Sets a key.
            pub(crate) fn set(&mut self, section: &str, key: &str, value: toml::Value) -> Result<(), String> {
                $(if section == <$section as Section>::TEXT.name {
                    return self.$field.set(key, value);
                })+
                Err(format!("there is no section [{section}]"))
            }
        }
    };
}

config! {
    /// The node itself.
    node: NodeSection,
    /// The network between nodes.
    p2p: P2pSection,
    /// Tor.
    tor: TorSection,
    /// The interface for clients.
    rpc: RpcSection,
    /// This node's part in agreement.
    consensus: ConsensusSection,
    /// Durable state.
    store: StoreSection,
    /// Catching up.
    sync: SyncSection,
    /// What the node tells about itself.
    telemetry: TelemetrySection,
}

/// A value that is well formed and cannot be used.
pub(crate) struct Unusable {
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) reason: String,
}

/// Longest name of a node, in bytes: it stands in tables, and every peer is told it.
const NAME_BYTES_MAX: usize = 64;
/// Most addresses in one list: enough for any host, and few enough to dial in turn.
const ADDRESSES_MAX: usize = 256;
/// Longest batch delay: below the shortest useful view timeout, or a full network would look like a dead leader.
const BATCH_DELAY_MAX_MS: u128 = 1_000;
/// Smallest segment: below, files would be turned over faster than they are flushed.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

impl Config {
    /// The commented file with every key at its default.
    pub fn example() -> String {
        example::render(&[])
    }

    /// Everything that a single node can know to be unusable, across keys.
    pub(crate) fn unusable(&self) -> Vec<Unusable> {
        let mut found = Vec::new();
        self.check_names_and_addresses(&mut found);
        self.check_tor(&mut found);
        self.check_rpc(&mut found);
        self.check_consensus(&mut found);
        self.check_store(&mut found);
        found
    }

    fn check_names_and_addresses(&self, found: &mut Vec<Unusable>) {
        let name = &self.node.name;
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let reason = format!("use one line of at most {NAME_BYTES_MAX} bytes");
            found.push(Unusable { section: "node", key: "name", reason });
        }
        let lists = [
            ("listen", &self.p2p.listen),
            ("external", &self.p2p.external),
            ("bootstrap", &self.p2p.bootstrap),
        ];
        for (key, addresses) in lists {
            if addresses.len() > ADDRESSES_MAX {
                let reason = format!("{} addresses; at most {ADDRESSES_MAX} are used", addresses.len());
                found.push(Unusable { section: "p2p", key, reason });
            }
            if let Some(address) = addresses.iter().find(|address| !address.starts_with('/')) {
                let reason = format!(
                    "`{address}` is no multiaddress; write it like \"/ip4/192.0.2.1/udp/7003/quic-v1\" or \
                     \"/dns4/node.example.org/tcp/7003\""
                );
                found.push(Unusable { section: "p2p", key, reason });
            }
        }
    }

    fn check_tor(&self, found: &mut Vec<Unusable>) {
        let (section, tor) = ("p2p.tor", &self.tor);
        if tor.mode == TorMode::Only {
            let lists = [
                ("listen", &self.p2p.listen),
                ("external", &self.p2p.external),
                ("bootstrap", &self.p2p.bootstrap),
            ];
            for (key, addresses) in lists {
                if let Some(address) = addresses.iter().find(|address| !address.starts_with("/onion3/")) {
                    let reason = format!(
                        "`{address}` is no onion address, and with `p2p.tor.mode = \"only\"` nothing else is used; remove it"
                    );
                    found.push(Unusable { section: "p2p", key, reason });
                }
            }
        }
        if !tor.pluggable_transports.is_empty() && tor.bridges.is_empty() {
            let reason = "transports serve bridges alone; name bridges in `p2p.tor.bridges`".to_owned();
            found.push(Unusable { section, key: "pluggable_transports", reason });
        }
    }

    fn check_rpc(&self, found: &mut Vec<Unusable>) {
        let rpc = &self.rpc;
        let has_tls = rpc.tls_certificate.is_given() && rpc.tls_key.is_given();
        if rpc.tls_certificate.is_given() != rpc.tls_key.is_given() {
            let reason = "give both `rpc.tls_certificate` and `rpc.tls_key`, or neither".to_owned();
            found.push(Unusable { section: "rpc", key: "tls_certificate", reason });
        }
        if !(rpc.listen.ip().is_loopback() || has_tls) {
            found.push(Unusable { section: "rpc", key: "listen", reason: exposed(rpc.listen) });
        }
        // Base64 takes four bytes for three, and JSON around it takes some.
        let body_min = Limits::PROPOSAL_BYTES as u64 * 3 / 2;
        if rpc.body_max.bytes() < body_min {
            let reason = format!("a proposal in base64 needs at least {body_min} bytes");
            found.push(Unusable { section: "rpc", key: "body_max", reason });
        }
        at_least_one(found, "rpc", "connections_max", rpc.connections_max);
        at_least_one(found, "rpc", "watchers_max", rpc.watchers_max);
        at_least_one(found, "rpc", "submissions_max", rpc.submissions_max);
        at_least_one(found, "rpc", "requests_per_second", rpc.requests_per_second as usize);
        if rpc.request_timeout.get().is_zero() {
            let reason = "every request would time out; use \"60s\" or so".to_owned();
            found.push(Unusable { section: "rpc", key: "request_timeout", reason });
        }
    }

    fn check_consensus(&self, found: &mut Vec<Unusable>) {
        let consensus = &self.consensus;
        if let Some(kind) = consensus.auto_vote.iter().find(|kind| kind.rule() == Rule::Immediate) {
            let voted = Kind::ALL.into_iter().filter(|kind| kind.rule() == Rule::Voted).map(Kind::name);
            let reason =
                format!("`{kind}` is not voted on; voted kinds are {}", voted.collect::<Vec<_>>().join(", "));
            found.push(Unusable { section: "consensus", key: "auto_vote", reason });
        }
        if consensus.batch_delay.get().as_millis() > BATCH_DELAY_MAX_MS {
            let reason = format!("at most {BATCH_DELAY_MAX_MS}ms");
            found.push(Unusable { section: "consensus", key: "batch_delay", reason });
        }
        let batch_max = aegis_types::Batch::MAX_BYTES;
        if consensus.batch_bytes.as_usize() > batch_max || consensus.batch_bytes.bytes() == 0 {
            let reason =
                format!("must lie between 1 and {batch_max} bytes: other nodes refuse larger batches");
            found.push(Unusable { section: "consensus", key: "batch_bytes", reason });
        }
        if consensus.batch_proposals > Limits::BATCH_PROPOSALS {
            let reason = format!("at most {}: other nodes refuse larger batches", Limits::BATCH_PROPOSALS);
            found.push(Unusable { section: "consensus", key: "batch_proposals", reason });
        }
        at_least_one(found, "consensus", "batch_proposals", consensus.batch_proposals);
        at_least_one(found, "consensus", "pending_proposals", consensus.pending_proposals);
        if consensus.pending_bytes.as_usize() < Limits::PROPOSAL_BYTES {
            let reason = format!("must hold at least one proposal of {} bytes", Limits::PROPOSAL_BYTES);
            found.push(Unusable { section: "consensus", key: "pending_bytes", reason });
        }
    }

    fn check_store(&self, found: &mut Vec<Unusable>) {
        let segments =
            [("journal_segment", self.store.journal_segment), ("log_segment", self.store.log_segment)];
        for (key, segment) in segments {
            if segment.bytes() < SEGMENT_BYTES_MIN {
                found.push(Unusable { section: "store", key, reason: "at least 1MiB".to_owned() });
            }
        }
        at_least_one(found, "sync", "snapshot_distance", self.sync.snapshot_distance);
        if self.store.archive && self.sync.mode == SyncMode::Snapshot {
            let reason = "an archive (`store.archive`) keeps every block, and a node that takes over a snapshot has none \
                          from before it: set the mode to \"blocks\", or leave it out"
                .to_owned();
            found.push(Unusable { section: "sync", key: "mode", reason });
        }
    }
}

fn exposed(listen: SocketAddr) -> String {
    format!(
        "{listen} can be reached by others, who could read traffic and act for this node; set `rpc.tls_certificate` and \
         `rpc.tls_key`, or listen on 127.0.0.1:{}",
        listen.port()
    )
}

fn at_least_one(found: &mut Vec<Unusable>, section: &'static str, key: &'static str, value: usize) {
    if value == 0 {
        found.push(Unusable { section, key, reason: "must be at least 1".to_owned() });
    }
}
