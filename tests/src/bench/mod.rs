//! Measures real processes on this machine, under a load that does not wait for them.
//!
//! [`load`] sends signed proposals at a fixed rate over gRPC streams and counts each latency from the moment at which the
//! proposal *should* have left: a network that stalls makes the ones behind wait too, and they count (an open loop, without
//! coordinated omission). [`cluster`] does so at one rate after the other, until it has found the highest that the network
//! keeps up with; [`bound`] measures in the same run what signatures, hashing, flushes and hops alone cost on this machine, so
//! that the figures can be read as ratios; [`compare`] sets a run beside a saved one.
//!
//! # Reading the figures
//! All processes and the load share the machine's processors. Absolute figures of a shared machine move by a factor of two from
//! one hour to the next: compare only what stands in one report, or ratios.

pub mod bound;
pub mod cluster;
pub mod compare;
pub mod engines;
pub mod load;
pub mod observers;
pub mod peers;
pub mod process;
pub mod report;
pub mod scale;
pub mod soak;
