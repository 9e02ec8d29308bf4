//! The node's programming interface: one trait, its gRPC, REST and WebSocket surfaces, and the client.
//!
//! ```text
//!             one listener (h2c, HTTP/1.1, or both in TLS)
//!                              |
//!      server::entry: rate, host, origin, token: refuses before anything is read
//!                 |                           |
//!      rest (JSON, WebSocket)          grpc (protobuf)       translate, nothing else
//!                 |                           |
//!      server::operations: rights, bounds of time and number    the same for both
//!                              |
//!                       api::NodeApi, which the node implements
//! ```
//!
//! # Who may do what
//! - On loopback, reads are open. On other addresses, which need TLS and a token, reads need the token; probes do not.
//! - A proposal that an account has signed may be submitted by anyone: the signature is the right.
//! - What the node signs with its own key (its account's proposals, votes) needs the token, everywhere.
//! - Requests that a web page of another origin makes are refused, and so are those that name a host which is not
//!   loopback when the server is (DNS rebinding). No CORS header is ever sent.
//!
//! # Invariants
//! - Every operation exists on both surfaces and gives the same errors: [`ErrorCode`] is mapped to HTTP in [`problem`] and to
//!   gRPC in `grpc::status`, and nowhere else.
//! - Nothing that a client sends can make the server hold more than a bounded amount: see [`RpcLimits`].
//! - A time that runs out while a proposal is on its way gives `outcome_unknown`, never a failure.
#![warn(missing_docs)]

pub mod api;
pub mod client;
pub mod config;
pub mod error;
mod grpc;
pub mod problem;
mod rest;
mod server;
pub mod token;

/// The messages and the gRPC client and server that `proto/aegis/v1/node.proto` generates.
#[allow(missing_docs, clippy::doc_markdown, clippy::large_enum_variant)]
pub mod proto {
    tonic::include_proto!("aegis.v1");

    /// The encoded descriptors of this service, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/node_descriptors.bin"));
}

pub use api::{
    ApiError, BlockDetail, BlockEvent, BlockProposal, CastVote, CertificateInfo, CertifiedAt, Change,
    Consistency, Direction, EncodedBytes, ErrorCode, EvidenceInfo, Handovers, HeaderInfo, Health,
    HistoryEntry, IntegrationMetrics, KvEntry, KvEvent, KvProof, Mempool, NetworkMetrics, NetworkStatus,
    NodeApi, Outcome, Page, PageRequest, ParameterInfo, Payload, Peer, PendingValidator, ProposalBodyJson,
    ProposalDetail, ProposalEvent, ProposalFilter, ProposalState, ProposalSummary, Readiness, Role, Signer,
    Status, Submission, SubmissionState, Submit, SubmitJson, Syncing, Tally, Topic, ValidatorInfo,
    Validators, VoteRequest, Wait, WatchEvent, WatchRequest, WatchStream, Weights, WeightsExplained,
};
pub use client::{Client, ClientConfig, ClientError, ClientWatch};
pub use config::{RpcConfig, RpcLimits, TlsFiles};
pub use error::RpcError;
pub use rest::openapi_document;
pub use server::serve;
#[cfg(feature = "fuzzing")]
pub use server::{Plain, Unconnected};
pub use token::Token;

#[cfg(test)]
extern crate self as aegis_rpc;

#[cfg(test)]
#[path = "../tests/surfaces/fake_node.rs"]
mod fake_node;
