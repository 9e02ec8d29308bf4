//! The gRPC surface: the same operations, reflection and the standard health service.

mod metrics;
mod replies;
mod requests;
mod router;
mod service;
mod status;
mod weights;

pub(crate) use router::router;
pub(crate) use status::to_status;
