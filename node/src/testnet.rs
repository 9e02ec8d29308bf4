//! Test networks: planning their homes, and running them as processes on one computer.
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | who is in the network: keys, weights, addresses; writes the homes |
//! | [`record`] | what a folder's network consists of, so that it can be resumed |
//! | [`ports`] | finds busy and free ports |
//! | [`processes`] | starts nodes as processes, watches and stops them |
//! | [`supervision`] | ties a node's life to the process that started it |

pub mod plan;
pub mod ports;
pub mod processes;
pub mod record;
pub mod supervision;
