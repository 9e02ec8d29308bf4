//! Small instances of the real engine, explored by system rather than by chance.
//!
//! | file | responsibility |
//! |---|---|
//! | [`instance`] | keys, batches and state roots of a small network with equal weights |
//! | [`judge`] | what must hold: agreement, order, one vote, no accusation of the correct |
//! | [`partitions`] | all ways to divide a few nodes |
//! | [`twins`] | a validator that runs twice under one key, through every sequence of partitions |
//! | [`state`] | a state of the model: correct engines, and everything that was ever said |
//! | [`byzantine`] | everything that the Byzantine member could say in a state |
//! | [`actions`] | what can happen next |
//! | [`explore`] | the search through all states |
//! | [`planted`] | known bugs, and what must find each |
//! | [`scratch`], [`hunt`] | a copy of the workspace with one of them, and the search for it |
//!
//! The engines are the real ones, and so are all messages and certificates; signatures are those of
//! [`aegis_types::simulation`].

pub mod actions;
pub mod byzantine;
pub mod explore;
pub mod hunt;
pub mod instance;
pub mod judge;
pub mod partitions;
pub mod planted;
pub mod scratch;
pub mod state;
pub mod twins;
