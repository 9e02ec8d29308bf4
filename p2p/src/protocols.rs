//! Protocol names that carry the chain.

use aegis_types::{ChainId, Hash};
use libp2p::StreamProtocol;

use crate::error::P2pError;
use crate::gossip::Topic;
use crate::lane::Lane;

/// The version of what nodes say to each other. A node of another version has no protocol in common with this one: it could
/// not read everything, and what a peer cannot read it takes for garbage. Raise it with every message that is new or changed.
///
/// 2: testimonies, read indices and snapshots. 3: a snapshot's manifest in parts, receipts of votes.
const VERSION: u32 = 3;

/// The names of all protocols of one chain: `/aegis/<chain>/<first 8 digits of genesis>/<protocol>/<version>`.
///
/// A node of another chain, genesis or version has none of them in common with us. Identify and ping keep libp2p's own names, so
/// that two such nodes can at least tell each other why they part; identify carries [`Protocols::identity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocols {
    prefix: String,
}

impl Protocols {
    /// The names for a chain.
    pub fn new(chain: &ChainId, genesis: &Hash) -> Self {
        Self { prefix: format!("/aegis/{chain}/{}", genesis.short()) }
    }

    /// What identify tells others; it must be the same on both sides.
    pub fn identity(&self) -> String {
        self.name("id")
    }

    /// The routing table.
    pub(crate) fn kademlia(&self) -> Result<StreamProtocol, P2pError> {
        self.protocol("kad")
    }

    /// Requests and responses.
    pub(crate) fn sync(&self) -> Result<StreamProtocol, P2pError> {
        self.protocol("sync")
    }

    /// Gossip.
    pub(crate) fn gossip(&self) -> String {
        self.name("gossip")
    }

    /// Direct streams.
    pub(crate) fn lane(&self, lane: Lane) -> Result<StreamProtocol, P2pError> {
        self.protocol(&format!("direct/{}", lane.name()))
    }

    /// A topic of gossip.
    pub(crate) fn topic(&self, topic: Topic) -> String {
        self.name(&format!("gossip/{}", topic.name()))
    }

    fn name(&self, protocol: &str) -> String {
        format!("{}/{protocol}/{VERSION}", self.prefix)
    }

    fn protocol(&self, protocol: &str) -> Result<StreamProtocol, P2pError> {
        StreamProtocol::try_from_owned(self.name(protocol))
            .map_err(|error| P2pError::Config { setting: "chain", reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_and_geneses_share_no_name() {
        let main: ChainId = "main".parse().unwrap();
        let here = Protocols::new(&main, &Hash([1; 32]));
        assert_eq!(here.identity(), "/aegis/main/01010101/id/3");
        assert_eq!(here.lane(Lane::Payload).unwrap().as_ref(), "/aegis/main/01010101/direct/payload/3");
        assert_ne!(here, Protocols::new(&main, &Hash([2; 32])));
        assert_ne!(here, Protocols::new(&"other".parse().unwrap(), &Hash([1; 32])));
    }
}
