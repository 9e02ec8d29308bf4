//! The task that owns the swarm: one loop over what the swarm, the handles and the tasks of the lanes report.

mod connections;
mod discovery;
mod lanes;
mod requests;
mod run;
mod state;
mod traffic;

pub(crate) use state::{Channels, Command, Publication, Service};
