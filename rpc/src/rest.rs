//! The REST surface: the operations under `/v1/...`, probes, telemetry and the OpenAPI document.

mod agreed;
mod blocks;
mod extract;
mod kv;
mod metrics;
mod node;
mod openapi;
mod probes;
mod proofs;
mod proposals;
mod router;
mod watch;
mod weights;

pub use openapi::openapi_document;
pub(crate) use router::router;
pub(crate) use watch::ErrorFrame;
