//! One listener for all surfaces.

mod connection;
mod entry;
mod operations;
mod origin;
mod pace;
mod places;
mod rate;
mod serve;
mod tls;
#[cfg(feature = "fuzzing")]
mod unconnected;

pub(crate) use entry::Caller;
pub(crate) use operations::Operations;
pub use serve::serve;
#[cfg(feature = "fuzzing")]
pub use unconnected::{Plain, Unconnected};
