//! A node's key and its libp2p name are the same thing in two spellings.
//!
//! An ed25519 peer id is the *identity* multihash of the protobuf-encoded public key, so the key can be read back from it.

use aegis_types::{Keypair, ValidatorId};
use libp2p::PeerId;
use libp2p::identity;

use crate::error::P2pError;

/// A node's name on the network: its ed25519 public key.
pub type NodeId = ValidatorId;

/// What stands before the 32 key bytes in an ed25519 peer id: identity multihash of 36 bytes; key type 1; 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The peer id of a node.
///
/// Every 32 bytes have one; whether they are a valid curve point only shows when somebody proves to own them.
pub fn peer_id_of(node: &NodeId) -> PeerId {
    let bytes = [PREFIX.as_slice(), node.as_bytes()].concat();
    PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
}

/// The node of a peer id; none when its key is not ed25519.
pub fn node_id_of(peer: &PeerId) -> Option<NodeId> {
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(PREFIX.as_slice())?;
    NodeId::from_slice(key).ok()
}

/// The node's key as libp2p wants it.
pub(crate) fn identity_of(keypair: &Keypair) -> Result<identity::Keypair, P2pError> {
    let mut seed = keypair.seed();
    identity::Keypair::ed25519_from_bytes(seed.as_mut())
        .map_err(|error| P2pError::Key { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_id_of_a_key_is_what_libp2p_makes_of_it_and_leads_back() {
        let keypair = Keypair::from_seed(&[7; 32]);
        let peer = identity_of(&keypair).unwrap().public().to_peer_id();
        assert_eq!(peer_id_of(&keypair.validator_id()), peer);
        assert_eq!(node_id_of(&peer), Some(keypair.validator_id()));
    }

    #[test]
    fn a_hashed_peer_id_names_no_node() {
        let hashed = PeerId::from_bytes(&[&[0x12, 0x20][..], &[9; 32]].concat()).unwrap();
        assert_eq!(node_id_of(&hashed), None);
    }
}
