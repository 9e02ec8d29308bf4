//! Authenticated bytes between nodes: transports, discovery, gossip, direct streams.
//!
//! This crate carries bytes and does not know what they mean. [`start()`] gives a [`Network`], a cheap handle to send with,
//! and an [`EventReceiver`], the one place where everything that other nodes send comes out.
//!
//! # Four ways to send
//! | way | for | delivery |
//! |---|---|---|
//! | [`Network::send`] | votes and batches between validators | in order per peer and [`Lane`]; lost when the connection breaks |
//! | [`Network::request`] | sync: one question, one answer | answered, or an error within the timeout |
//! | [`Network::publish`] | blocks and reports to everybody | gossip; most nodes, unordered |
//! | [`Reply::send`] | the answer to a request | as the request |
//!
//! # Who is connected
//! A node's name is its ed25519 key, and every connection proves it (Noise over TCP and Tor, TLS in QUIC). A peer counts as
//! connected once *identify* has shown that it belongs to our chain and genesis and speaks our version. All other protocol
//! names carry the chain and the version too (see [`Protocols`]), so networks of different chains share no routing table
//! and no gossip, even when they dial each other by mistake, and nodes of different versions do not take each other's
//! messages for garbage.
//!
//! Validators name each other as *direct peers*: these are looked up, dialled for ever, exempt from connection limits,
//! and joined by two long-lived one-way streams in each direction, one per lane, so that a batch never delays a vote.
//!
//! # Invariants
//! 1. Everything that a peer can make grow is bounded: frames, queues (in bytes), requests, routing, reputations.
//! 2. A slow consumer stops the readers of the peers that send much, and of nobody else.
//! 3. Nothing that a peer sends panics the node; garbage costs its sender reputation, and in the end a ban.
//! 4. [`EventReceiver::recv`] yields `None` only after the network has stopped; [`Network::join_error`] says whether it
//!    failed, by a panic or because its onion service ended.
//!
//! What is deliberately absent: meaning. No type of this crate is decoded further than its length.
#![warn(missing_docs)]

mod address;
mod backoff;
mod behaviour;
mod bootstrap;
mod config;
mod direct;
mod error;
mod event;
mod exchange;
mod framing;
mod gossip;
mod ids;
mod inbox;
mod incoming;
mod lane;
mod link_delay;
mod network;
mod outbox;
mod outgoing;
mod peers;
mod pings;
mod protocols;
mod reputation;
mod service;
mod shared;
mod start;
mod token_bucket;
mod tor;
mod transport;

pub use config::{DiscoveryConfig, NetworkConfig, NetworkLimits};
pub use error::{P2pError, PublishError, ReplyError, RequestError, SendError};
pub use event::{EventReceiver, NetworkEvent};
pub use exchange::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Reply};
pub use gossip::{GossipId, MAX_GOSSIP_BYTES, MESH_PEERS, Topic, Verdict};
pub use ids::{NodeId, node_id_of, peer_id_of};
pub use lane::Lane;
pub use libp2p::multiaddr::Protocol as AddressPart;
pub use libp2p::{Multiaddr, PeerId};
pub use link_delay::LinkDelays;
pub use network::Network;
pub use peers::{Direction, PeerInfo, TransportKind};
pub use protocols::Protocols;
pub use reputation::Offence;
pub use start::start;
pub use tor::{OnionServiceState, TorConfig, TorMode, TorStatus};
