//! Which state a read reads.

use std::convert::Infallible;

use aegis_ledger::StateReader;
use aegis_rpc::api::{ApiError, CertifiedAt, Consistency};
use aegis_types::Height;

use super::proofs::refusal;
use crate::node::clock::unix_ms;
use crate::node::context::NodeContext;
use crate::node::state::StateView;

/// What a read says of the state that it read.
#[derive(Debug, Clone, Copy)]
pub struct ReadAt {
    /// The block that the state is after; newer for what is executed while a page is read.
    pub height: Height,
    /// For certified state: how old it is.
    pub certified: Option<CertifiedAt>,
}

/// Reads agreed state. For a linearizable read, the node has been found to be up to date before.
///
/// # Errors
/// What the read finds; `not_ready` while no state is certified.
pub fn read<T>(
    node: &NodeContext,
    consistency: Consistency,
    read: impl FnOnce(&dyn StateReader, ReadAt) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    match consistency {
        Consistency::Linearizable | Consistency::Local => {
            let height = node.standing.borrow().executed.height;
            read(&StateView(node.kv.as_ref()), ReadAt { height, certified: None })
        }
        Consistency::Certified => {
            let state = node.certified.pin().map_err(refusal)?;
            let agreed_time_ms = state.point().timestamp_ms;
            let certified = CertifiedAt { agreed_time_ms, age_ms: unix_ms().saturating_sub(agreed_time_ms) };
            let at = ReadAt { height: state.point().executed.height, certified: Some(certified) };
            state.read(|state| Ok::<_, Infallible>(read(state, at))).map_err(refusal)?
        }
    }
}
