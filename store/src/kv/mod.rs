//! The key-value store: state that can be computed again from the committed log.
//!
//! [`SledKv`] keeps it on disk, [`MemoryKv`] in memory for simulations, and [`BufferedKv`] gathers changes before another one. All
//! keep to one contract, [`KvStore`].

mod access;
mod buffered;
pub mod compact;
mod damage_mark;
mod limits;
mod memory;
mod reentry;
mod sled_kv;
mod sled_value;
mod store;

pub use buffered::BufferedKv;
pub use limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use memory::MemoryKv;
pub use sled_kv::{CACHE_BYTES_DEFAULT, SledKv};
pub use store::{KvStore, Op, Table, Visit};
