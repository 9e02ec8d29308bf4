//! What measured weights buy in commit latency, and what they cost in crashes survived: the real engine and the real weight
//! rule over simulated round trips.
//!
//! A *deployment* puts validators into places of a table of round-trip times. [`weighing`] lets the rule decide their weights
//! from the matrix that they would measure, liars included; [`engine`] lets the engine commit blocks under these weights and
//! takes the time from the leader's PrePrepare to each validator's decision. [`prediction`] is the same by arithmetic alone, and
//! serves to choose the best leader; it is shown beside the measurement. [`study`] does this for many deployments, [`table`] and
//! [`plot`] show what came of it.
//!
//! What is in the time: delays of the network with jitter, waits for votes, flushes of the vote journal. What is not: the
//! processor, bandwidth, the way from a client to the leader.

pub mod crashes;
pub mod deployment;
pub mod engine;
pub mod lies;
pub mod plot;
pub mod prediction;
pub mod samples;
pub mod study;
pub mod table;
pub mod weighing;
