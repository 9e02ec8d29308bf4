//! Answers to what other nodes ask.

use std::sync::Arc;

use aegis_p2p::Offence;
use aegis_types::{Canonical, Height, Proposal, ValidatorId};
use bytes::Bytes;
use tracing::{debug, warn};

use super::admission::Submitted;
use super::context::NodeContext;
use super::wire::{ANSWER_BYTES, Answer, Question};

/// The answer to a question; none to a malformed one.
pub async fn answer(node: &Arc<NodeContext>, from: ValidatorId, request: Bytes) -> Option<Bytes> {
    let question = match Question::decode(request) {
        Ok(question) => question,
        Err(error) => {
            warn!(peer = %from, %error, "a peer asked a malformed question");
            node.network.report(&from, Offence::Malformed);
            return None;
        }
    };
    let answer = match question {
        Question::Tip => {
            let standing = node.standing.borrow();
            Answer::Tip { epoch: standing.epoch.validators.epoch(), height: standing.executed.height }
        }
        Question::Blocks { first, last } => {
            let node = node.clone();
            tokio::task::spawn_blocking(move || blocks(&node, first, last)).await.ok()?
        }
        Question::Batches(digests) => {
            let mut bytes = 0;
            let held = digests.iter().filter_map(|digest| node.pool.get(digest));
            let fits = |encoding: &Bytes| {
                bytes += encoding.len();
                bytes <= ANSWER_BYTES
            };
            Answer::Batches(held.map(|batch| batch.encoding.clone()).take_while(fits).collect())
        }
        Question::Forward(proposal) => Answer::Forwarded(forwarded(node, &proposal).await),
        // Read now, after the question came: an older value would break what the reader relies on.
        Question::ReadIndex => Answer::ReadIndex((*node.committing.borrow())?),
        Question::Snapshot(question) => {
            Answer::Snapshot(super::snapshot::serve::answer(node, question).await?)
        }
    };
    Some(answer.encode())
}

/// Most blocks in one answer: each is a read, however small it is.
const ANSWER_BLOCKS: u64 = 256;

/// Committed blocks from the log: those from `first` on that are held, as many as fit.
fn blocks(node: &NodeContext, first: Height, last: Height) -> Answer {
    let mut encodings: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    for height in first.0..=last.0.min(first.0.saturating_add(ANSWER_BLOCKS - 1)) {
        let block = match node.log.read(Height(height)) {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => {
                warn!(height, %error, "a block cannot be read from the committed log");
                break;
            }
        };
        bytes += block.len();
        if bytes > ANSWER_BYTES && !encodings.is_empty() {
            break;
        }
        encodings.push(block.into());
    }
    Answer::Blocks(encodings)
}

/// Admits a proposal that another node handed on; an error's JSON if it is refused.
async fn forwarded(node: &Arc<NodeContext>, proposal: &[u8]) -> Option<String> {
    let admitted = match Proposal::decode(proposal) {
        Ok(proposal) => node.admit(proposal).await,
        Err(error) => Err(error.into()),
    };
    match admitted {
        // The node that asked sees the result in the block, as this one does.
        Ok(Submitted::Waiting(..) | Submitted::Known(_)) => None,
        Err(error) => {
            debug!(%error, "a forwarded proposal was refused");
            serde_json::to_string(&error).ok()
        }
    }
}
