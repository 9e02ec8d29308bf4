//! Forwarding: how a node that is no validator hands its proposals to those that are.
//!
//! Any one validator may lie: it may say that it took a proposal and drop it, or refuse one that is good. So a proposal is
//! handed on again and again, to another validator each time, until a block or its expiry decides about it; and a refusal
//! counts only when validators of more weight than may be faulty give it. What was sent may take effect whatever the answer
//! was: a client that stops waiting is told that the outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use aegis_rpc::api::{ApiError, ErrorCode};
use aegis_types::{Canonical, Proposal, ValidatorId, ValidatorSet, Weight};
use bytes::Bytes;
use tracing::{debug, warn};

use super::FORWARDS_MAX;
use crate::node::context::NodeContext;
use crate::node::mempool::Resolution;
use crate::node::wire::{Answer, Question};

/// Validators that fail to answer, or are too busy, before a round ends.
const FAILURES_MAX: usize = 3;
/// How often it is looked what to hand on again.
const AGAIN_INTERVAL: Duration = Duration::from_secs(1);
/// How long a block may take before a proposal is handed on again; doubled with each round.
const PATIENCE: Duration = Duration::from_secs(4);
/// Longest time between two rounds.
const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// Most characters of a validator's reason that a client is told.
const REASON_CHARS: usize = 500;

/// Hands on again what waits for too long, until the node stops.
pub async fn hand_on_again(node: Arc<NodeContext>) {
    let mut interval = tokio::time::interval(AGAIN_INTERVAL);
    loop {
        interval.tick().await;
        let is_validator = node.is_validator();
        for due in node.mempool.take_due(is_validator, FORWARDS_MAX) {
            if !is_validator {
                node.forward_soon(due.proposal, due.tries);
            } else if node
                .seal_soon(due.proposal.clone(), usize::try_from(due.bytes).unwrap_or(usize::MAX))
                .is_err()
            {
                node.mempool.handed_on(&due.proposal, AGAIN_INTERVAL);
            }
        }
    }
}

impl NodeContext {
    /// The validators that this node is connected to.
    pub(super) fn connected_validators(&self) -> Vec<ValidatorId> {
        let members = self.agreement.borrow().validators.clone();
        let ids = members.members().iter().map(|member| member.validator);
        ids.filter(|validator| self.network.is_connected(validator)).collect()
    }

    /// Hands a proposal to a validator, in a task of its own: the client may leave, the proposal must not be forgotten.
    pub(super) fn forward_soon(self: &Arc<Self>, proposal: Arc<Proposal>, tries: u32) {
        let node = self.clone();
        tokio::spawn(async move {
            // The node stops when this fails.
            let Ok(_permit) = node.admission.forwards.acquire().await else { return };
            match node.forward(&proposal, tries).await {
                Some(refusal) => node.mempool.withdraw(&proposal, &Resolution::Refused(Box::new(refusal))),
                None => node.mempool.handed_on(&proposal, patience(tries)),
            }
        });
    }

    /// Goes round the validators until one takes the proposal; the reason if enough of them refuse it.
    async fn forward(&self, proposal: &Proposal, tries: u32) -> Option<ApiError> {
        let question = Question::Forward(Bytes::from(proposal.encode())).encode();
        let validators = self.agreement.borrow().validators.clone();
        let mut connected = self.connected_validators();
        // Spread the load: whose turn it is follows from the proposal, and each round begins with another one.
        let turn = usize::from(proposal.id().0[0]).wrapping_add(usize::try_from(tries).unwrap_or_default());
        let turn = turn % connected.len().max(1);
        connected.rotate_left(turn);
        let mut refusals = Refusals::default();
        let mut failures = 0;
        for validator in connected {
            let answer = match self.network.request(&validator, question.clone()).await {
                Ok(answer) => Answer::decode(answer),
                Err(error) => {
                    debug!(%validator, %error, "a proposal could not be forwarded");
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return None;
                    }
                    continue;
                }
            };
            match answer {
                Ok(Answer::Forwarded(None)) => return None,
                Ok(Answer::Forwarded(Some(error))) => {
                    if let Some(final_word) = refusals.add(&validators, &validator, &error) {
                        return Some(final_word);
                    }
                }
                Ok(
                    Answer::Tip { .. }
                    | Answer::Blocks(_)
                    | Answer::Batches(_)
                    | Answer::Snapshot(_)
                    | Answer::ReadIndex(_),
                )
                | Err(_) => {
                    warn!(%validator, "a validator answered a forwarded proposal with nonsense");
                }
            }
        }
        None
    }
}

fn patience(tries: u32) -> Duration {
    PATIENCE.saturating_mul(1 << tries.min(8)).min(PATIENCE_MAX)
}

/// The weights of those who refused a proposal, by the code that they gave.
#[derive(Debug, Default)]
struct Refusals(Vec<(ErrorCode, Weight)>);

impl Refusals {
    /// Counts a refusal; the error to tell when one that cannot have lied gave it.
    fn add(&mut self, validators: &ValidatorSet, by: &ValidatorId, error: &str) -> Option<ApiError> {
        // What is no error, or one that may pass, is no word on the proposal.
        let error: ApiError = serde_json::from_str(error).ok()?;
        if error.code.is_retryable() || error.code == ErrorCode::Internal {
            return None;
        }
        let index = self.0.iter().position(|(code, _)| *code == error.code).unwrap_or_else(|| {
            self.0.push((error.code, Weight::ZERO));
            self.0.len() - 1
        });
        let (code, weight) = self.0.get_mut(index)?;
        *weight = weight.plus(validators.weight_of(by));
        (*weight >= validators.weak_quorum()).then(|| {
            let reason: String = error.message.chars().take(REASON_CHARS).collect();
            ApiError::new(*code, format!("validators refuse it: {reason}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member};

    use super::*;

    #[test]
    fn a_refusal_counts_when_more_than_may_be_faulty_agree_on_it() {
        let id = |n| ValidatorId([n; 32]);
        let members = (1..=4).map(|n| Member { validator: id(n), weight: Weight(1) }).collect();
        let validators = ValidatorSet::new(Epoch(0), members).unwrap();
        let refuse = |code| serde_json::to_string(&ApiError::new(code, "why")).unwrap();
        let mut refusals = Refusals::default();
        assert_eq!(refusals.add(&validators, &id(1), &refuse(ErrorCode::Conflict)), None, "it may lie");
        assert_eq!(refusals.add(&validators, &id(2), &refuse(ErrorCode::Expired)), None, "they disagree");
        assert_eq!(refusals.add(&validators, &id(3), &refuse(ErrorCode::Busy)), None, "it may pass");
        assert_eq!(refusals.add(&validators, &id(3), "nonsense"), None);
        let final_word = refusals.add(&validators, &id(4), &refuse(ErrorCode::Conflict)).unwrap();
        assert_eq!(final_word.code, ErrorCode::Conflict);
    }

    #[test]
    fn rounds_become_rarer() {
        assert_eq!(patience(0), PATIENCE);
        assert_eq!(patience(1), PATIENCE * 2);
        assert_eq!(patience(u32::MAX), PATIENCE_MAX);
    }
}
