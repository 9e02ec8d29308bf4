//! The vocabulary that all crates share: ids, weights, validator sets, signatures, blocks, proposals and their canonical encoding.
//!
//! # One encoding per value
//! Everything that is hashed or signed is a protobuf message (see `proto/aegis/v1/types.proto`) in *canonical* form:
//! the bytes that [`Canonical::encode`] yields. [`Canonical::decode`] refuses every other byte string, so two nodes can
//! never disagree on a digest because they spelt one value in two ways.
//!
//! # One domain per signature
//! Every signed byte string starts with a [`Domain`]: chain, protocol version and purpose. A signature made for one
//! purpose or chain is worthless for any other.
//!
//! # Which signatures count
//! Proposals are checked by the rule of ZIP-215, for which a batch of checks and single checks always agree; votes are
//! checked strictly and one by one or through certificates. See [`crypto`].

#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::float_arithmetic
    )
)]

pub mod batch;
pub mod block;
pub mod canonical;
pub mod certificate;
pub mod crypto;
pub mod entries;
pub mod error;
pub mod genesis;
pub mod handover;
pub mod hash;
pub mod ids;
pub mod kind;
pub mod kv_record;
pub mod parameters;
pub mod proposal;
pub mod sampled_votes;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod state_proof;
pub mod state_tree;
pub mod subtree;
pub mod validators;
pub mod vote;
pub mod weight_policy;

/// The messages that `proto/aegis/v1/types.proto` generates: plain data, not yet checked.
#[allow(missing_docs, clippy::doc_markdown)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/aegis.v1.rs"));
}

/// The source of the generated messages, for crates that build on them.
pub const TYPES_PROTO: &str = include_str!("../proto/aegis/v1/types.proto");

pub use batch::Batch;
pub use block::{BatchRef, BlockKind, CommittedBlock, Executed, Header};
pub use canonical::{Canonical, Limits};
pub use certificate::Certificate;
pub use crypto::{ChainId, Domain, Keypair, Purpose, Signature};
pub use error::TypesError;
pub use genesis::Genesis;
pub use handover::{CertifiedHeader, Handover};
pub use hash::Hash;
pub use ids::{AccountId, Epoch, Height, ProposalId, ValidatorId, View};
pub use kv_record::KvRecord;
pub use parameters::{Parameter, Parameters, WeightsMode};
pub use proposal::{Kind, Proposal, ProposalBody};
pub use sampled_votes::{MemberBits, SampledVotes};
pub use state_proof::StateProof;
pub use subtree::Subtree;
pub use validators::{Member, ValidatorSet, Weight};
pub use vote::{Vote, VoteContent, VoteKind};
pub use weight_policy::{FaultTolerance, WeightPolicy};
