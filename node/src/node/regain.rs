//! How a validator whose votes are lost finds out from when on it may vote again.
//!
//! # The rule
//! The node signs a proposal that nobody can have seen before, and waits until a block with it is committed. If that block
//! is of epoch `e`, the node may vote from epoch `e + 1` on.
//!
//! # Why that is safe
//! Let the lost votes have been cast before a moment `t`, and let the proposal be signed after `t`. A correct validator votes
//! in an epoch only when it has decided the handover block that starts it. So if a lost vote was cast in epoch `m > 0`, the
//! handover block into `m` was decided before `t`, and with it, as a digest fixes the whole prefix, every block below it. The
//! block with the fresh proposal was made after `t`, so it is none of these: by agreement it lies above the handover, and its
//! epoch is at least `m`. No lost vote is of a later epoch than `e`, and votes of different epochs never contradict each
//! other. No clock is trusted, nor what any peer says; what is trusted is a certificate, as everywhere.
//!
//! Until then the node counts among those that have stopped. A network that cannot decide without it does not decide, and
//! then this never ends: such a network has lost more than it was made to bear.

use std::sync::Arc;
use std::time::Duration;

use aegis_types::{Canonical, CommittedBlock, Epoch, Height, ProposalBody};
use anyhow::Context as _;
use tracing::{info, warn};

use super::admission::Submitted;
use super::context::NodeContext;
use super::driver::DriverInput;
use super::mempool::Resolution;

/// How long to wait after a try that came to nothing: the node may not be connected yet, or still be catching up.
const PAUSE: Duration = Duration::from_secs(2);
/// Bytes of randomness in the fresh proposal's key.
const FRESH_BYTES: usize = 16;

/// Finds the epoch, tells the driver, and ends; at once when nothing is lost.
pub async fn find_vote_floor(node: Arc<NodeContext>) {
    if !node.agreement.borrow().floor.is_unknown() {
        return std::future::pending().await;
    }
    info!(
        "votes of this node may be lost: it does not vote before it has found out from which epoch on it may"
    );
    loop {
        match order_something_fresh(&node).await {
            Ok(epoch) => {
                info!(epoch = %epoch.next(), "this node may vote again from this epoch on");
                // A driver that has stopped stops the node.
                let _ = node.inputs.send(DriverInput::VoteFrom(epoch.next())).await;
                return std::future::pending().await;
            }
            Err(error) => warn!(error = format!("{error:#}"), "nothing of this node was ordered yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Has a proposal ordered that did not exist before, and returns the epoch of its block.
async fn order_something_fresh(node: &Arc<NodeContext>) -> anyhow::Result<Epoch> {
    let fresh = hex::encode(rand::random::<[u8; FRESH_BYTES]>());
    // It removes a key that does not exist: it is ordered and changes nothing.
    let body = ProposalBody::KvDelete { key: format!("fresh/{fresh}") };
    let lifetime = None;
    let proposal = node.sign(&node.node_key, body, fresh, lifetime).await?;
    let height = match node.admit(proposal).await? {
        Submitted::Known(resolved) => resolved.height,
        Submitted::Waiting(_, outcome) => match outcome.await.context("the node stops")? {
            Resolution::Executed(resolved) => resolved.height,
            Resolution::Refused(error) => return Err((*error).into()),
            Resolution::Expired => anyhow::bail!("it expired before a block had it"),
            Resolution::Conflict => anyhow::bail!("its key was used before"),
        },
    };
    epoch_of(node.clone(), height).await
}

async fn epoch_of(node: Arc<NodeContext>, height: Height) -> anyhow::Result<Epoch> {
    let read = move || {
        let block = node.log.read(height)?.context("its block is gone")?;
        Ok(CommittedBlock::decode(&block)?.header.epoch)
    };
    tokio::task::spawn_blocking(read).await?
}
