//! A black-box check of linearizability, in the manner of Jepsen.
//!
//! Real processes of the released binary agree among themselves, in network namespaces of their own where the machine
//! allows it. Clients put, compare-and-set and read a few keys through all of the nodes, while nodes are killed, paused and
//! cut off. What they asked and were told, with the times of both, is the history; [`wgl`] decides key by key whether some
//! order of the operations explains it. The checker knows the public interface and nothing else.
//!
//! | file | what |
//! |---|---|
//! | [`operation`] | what is recorded |
//! | [`register`] | what a key may do, one operation after the other |
//! | [`wgl`] | the search for an order |
//! | [`shrink`] | the few operations that have none |
//! | [`namespaces`], [`cluster`], [`gateway`] | the network under test, and the way into it |
//! | [`client`] | the load |
//! | [`nemesis`] | faults, and the proof that each happened |
//! | [`campaign`], [`report`] | one run and what is said of it |

pub mod campaign;
pub mod client;
pub mod cluster;
pub mod gateway;
pub mod namespaces;
pub mod nemesis;
pub mod operation;
pub mod register;
pub mod report;
pub mod shrink;
pub mod wgl;
