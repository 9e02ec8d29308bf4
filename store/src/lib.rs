//! Durable state: vote journal, committed log and derived indexes, safe against crashes.
//!
//! # What is the truth, and what is derived
//! | folder | type | holds | when it is lost |
//! |---|---|---|---|
//! | `wal/` | [`Journal`] | what this validator has signed or must remember before it signs | the validator must not vote again by itself |
//! | `clog/` | [`CommittedLog`] | every committed block by height | fetched again from peers |
//! | `kv/` | [`KvStore`] | replicated state, indexes, bookkeeping | rebuilt from the committed log |
//!
//! The first two are append-only [segment files](segment) with a checksum on every record. The third is sled behind a
//! narrow trait; nothing in it may be the only copy of something that safety depends on.
//!
//! # Invariants
//! 1. What a `flush` has confirmed is found again after any crash, in order and unchanged.
//! 2. What was appended and not confirmed is found again as a prefix, or not at all; never torn, never reordered.
//! 3. Damage to what was confirmed is reported with file and offset. It is never skipped over and never served.
//! 4. After a failed write or sync a writer is *poisoned*: every later call fails. What a failed sync left in the page
//!    cache looks durable and is not, so a retry on the same handle would lie.
//! 5. A folder entry counts as durable only after the folder itself was synced.
//!
//! One limit cannot be lifted by any log on one disk: a file that was cut exactly at the end of an earlier write looks
//! like one whose last write never happened.
//!
//! # Ports
//! The segment code talks to a [`Medium`], not to the file system: [`Disk`] is the real one, [`sim::SimDisk`] one in
//! memory that loses unsynced bytes at a crash, tears writes, fails flushes and runs full.

#![warn(missing_docs)]

pub mod committed_log;
pub mod data_dir;
pub mod disk;
pub mod error;
pub mod found_journal;
pub mod journal;
pub mod kv;
mod log_catalog;
pub mod log_reader;
pub mod log_repair;
pub mod medium;
pub mod segment;
pub mod sim;
pub mod space;

pub use committed_log::CommittedLog;
pub use data_dir::DataDir;
pub use disk::Disk;
pub use error::{Part, StoreError};
pub use found_journal::FoundJournal;
pub use journal::{Journal, Milestones};
pub use kv::{BufferedKv, KvStore, MemoryKv, Op, SledKv, Table, Visit};
pub use log_reader::LogReader;
pub use log_repair::{LogRepair, repair_log, set_aside, tolerate_damage};
pub use medium::{Medium, MediumFile};
pub use segment::SegmentOptions;
pub use space::Reserve;
