//! A disk in memory that fails as real ones do, for tests and simulations.
//!
//! [`SimDisk`] is a [`Medium`](crate::Medium): the journal and the committed log run over it unchanged. It keeps apart
//! what can be read and what is durable, and a [`crash`](SimDisk::crash) lets a [`Fate`] decide over the difference.
//! Everything is deterministic: the same calls give the same bytes.

mod fate;
mod sim_disk;
mod sim_file;

pub use fate::Fate;
pub use sim_disk::SimDisk;
