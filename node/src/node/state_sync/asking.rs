//! Questions to peers, and what their answers are worth.

use std::time::Duration;

use aegis_p2p::{Network, Offence, RequestError};
use aegis_types::ValidatorId;
use tracing::debug;

use crate::node::snapshot::question::{SnapshotAnswer, SnapshotQuestion};
use crate::node::wire::{Answer, Question};

/// When our own limits are reached, a question is put again after this long.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// ... this often, which is longer than a request may take.
const BUSY_TRIES: usize = 150;

/// Why there is no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// None came in time: the peer is silent, or a line is slow, which may be our own.
    Timeout,
    /// The peer asks for it later, being busy, or this node has too many questions open. It says nothing about the peer.
    Later,
    /// There is no connection.
    Gone,
    /// Something else than was asked for came. The peer has been reported.
    Nonsense,
}

/// Asks a peer about snapshots.
///
/// # Errors
/// See [`NoAnswer`].
pub async fn ask(
    network: &Network,
    peer: &ValidatorId,
    question: SnapshotQuestion,
) -> Result<SnapshotAnswer, NoAnswer> {
    let encoding = Question::Snapshot(question).encode();
    for _ in 0..BUSY_TRIES {
        match network.request(peer, encoding.clone()).await {
            Err(RequestError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            // The network has reported the peer.
            Err(RequestError::TooLarge { .. }) => return Err(NoAnswer::Nonsense),
            Err(error) => {
                debug!(%peer, %error, "a question about snapshots was not answered");
                return Err(match error {
                    RequestError::Timeout => NoAnswer::Timeout,
                    RequestError::Refused => NoAnswer::Later,
                    _ => NoAnswer::Gone,
                });
            }
            Ok(answer) => {
                return match Answer::decode(answer) {
                    Ok(Answer::Snapshot(answer)) => Ok(answer),
                    Ok(_) | Err(_) => Err(nonsense(network, peer)),
                };
            }
        }
    }
    Err(NoAnswer::Later)
}

/// Reports a peer for an answer to another question than was asked.
pub fn nonsense(network: &Network, peer: &ValidatorId) -> NoAnswer {
    network.report(peer, Offence::Malformed);
    NoAnswer::Nonsense
}
