//! The light client: from a genesis to a proved value, trusting no node.
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
//!
//! # What it checks
//! ```text
//! genesis -- validators of epoch 0 -- handover -- validators of epoch 1 -- handover -- ... -- validators of epoch e
//!                                                                                                  | commit certificate
//! key, value or absence -- Merkle proof -- state root after block c -- named by a header of epoch e
//! ```
//! [`LightClient`] starts at a genesis and follows the handover of each epoch in turn; it keeps the current epoch's validators
//! and nothing else. With them it checks that a header was decided, and so that the state root which the header names
//! was vouched for. A [`StateProof`](aegis_types::StateProof) leads from that root to a key, or shows that the key
//! does not exist. A [`ProofFile`] holds all of it, for those who check later and without a network. A [`Checkpoint`] stands
//! for the handovers before it, for those who have followed them already.
//!
//! # What that proves
//! Validators with a quorum of the epoch's weight have signed that at height `c` the key had this value, or none. If less
//! than a third of each epoch's weight is faulty, that is so: nobody can make such a proof of anything else. It does not prove
//! that the value is the newest: what was true at height `c` may have changed since.
//!
//! # Invariants
//! - No handover is skipped: epoch `e + 1` is entered only by a handover that the validators of epoch `e` have decided.
//! - Everything given may be hostile; an error changes nothing, and nothing can make the client panic.
//! - There is no I/O here, no clock, and no runtime: the crate depends on `aegis-types` and on a JSON parser.
//!
//! # Example
//! ```
//! use aegis_light::{LightClient, LightError};
//! use aegis_types::{CertifiedHeader, Genesis, Handover, KvRecord, StateProof};
//!
//! /// The value that `key` had in the state that a node's answer is about.
//! fn check(
//!     genesis: &Genesis,
//!     handovers: &[Handover],
//!     certified: &CertifiedHeader,
//!     key: &str,
//!     record: Option<&[u8]>,
//!     proof: &StateProof,
//! ) -> Result<Option<KvRecord>, LightError> {
//!     let mut client = LightClient::new(genesis);
//!     client.follow_all(handovers)?;
//!     let state = client.verify_header(certified)?;
//!     state.verify_kv(key, record, proof)
//! }
//! # let member = aegis_types::Member {
//! #     validator: aegis_types::Keypair::from_seed(&[1; 32]).validator_id(),
//! #     weight: aegis_types::Weight(1),
//! # };
//! # let genesis = Genesis {
//! #     chain: "docs".parse()?,
//! #     timestamp_ms: 0,
//! #     validators: aegis_types::ValidatorSet::new(aegis_types::Epoch(0), vec![member])?,
//! #     parameters: aegis_types::Parameters::default(),
//! # };
//! # assert_eq!(LightClient::new(&genesis).validators(), &genesis.validators);
//! # let _ = check;
//! # Ok::<(), aegis_types::TypesError>(())
//! ```

mod checkpoint;
mod client;
mod error;
mod proof_file;
mod verified;

pub use checkpoint::Checkpoint;
pub use client::LightClient;
pub use error::LightError;
pub use proof_file::ProofFile;
pub use verified::{VerifiedState, VerifiedValue};
