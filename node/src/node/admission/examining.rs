//! Examining: signatures and standing of submitted proposals, of as many together as have come meanwhile.
//!
//! Signatures of a group are checked in one go, which costs less than one by one (`scripts/bench micro`), and the group goes to a thread
//! that may block once, not once for each. A group has whatever came while the one before was checked: alone when there is little to
//! do, so that nobody waits for others.

use std::sync::Arc;

use aegis_rpc::api::{ApiError, ErrorCode};
use aegis_types::crypto::{AccountSignature, verify_account, verify_accounts};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::{Examined, Submitted};
use crate::node::context::NodeContext;

/// Most proposals of a group: larger ones are hardly cheaper for each, and the first waits for the last.
const GROUP_MAX: usize = 64;

/// So few signatures are checked one by one.
const SINGLE_MAX: usize = 4;

type Waiting = oneshot::Sender<Result<Submitted, ApiError>>;

/// Checks submitted proposals and enters them, until the node stops.
///
/// Each group runs to its end even if nobody waits for it any more.
pub async fn examine_proposals(node: Arc<NodeContext>, mut submitted: mpsc::Receiver<Examined>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while submitted.recv_many(&mut group, GROUP_MAX).await > 0 {
        let (node, taken) = (node.clone(), std::mem::replace(&mut group, Vec::with_capacity(GROUP_MAX)));
        // The executor may have locked the ledger, and checks take time.
        let examined = tokio::task::spawn_blocking(move || examine(&node, taken)).await;
        if let Err(error) = examined {
            error!(%error, "submitted proposals could not be checked");
        }
    }
}

fn examine(node: &Arc<NodeContext>, group: Vec<Examined>) {
    let items: Vec<AccountSignature> =
        group.iter().map(|(proposal, _)| proposal.signature_item(&node.domain)).collect();
    for ((proposal, waiting), holds) in group.into_iter().zip(judge(&items)) {
        let result = if holds { node.enter(proposal) } else { Err(wrong_signature(node)) };
        tell(waiting, result);
    }
}

/// Which signatures hold. A group with a wrong one is halved, so that one costs the others a few checks and not their admission.
fn judge(items: &[AccountSignature]) -> Vec<bool> {
    if verify_accounts(items, rand::random()) {
        return vec![true; items.len()];
    }
    if items.len() <= SINGLE_MAX {
        return items.iter().map(verify_account).collect();
    }
    let (front, back) = items.split_at(items.len() / 2);
    [judge(front), judge(back)].concat()
}

fn tell(waiting: Waiting, result: Result<Submitted, ApiError>) {
    // The client may have gone; its proposal is on its way all the same.
    let _ = waiting.send(result);
}

fn wrong_signature(node: &NodeContext) -> ApiError {
    ApiError::new(
        ErrorCode::BadSignature,
        format!(
            "the signature is not the account's for chain `{}` with genesis {}; sign with the account's key for this network",
            node.genesis.chain,
            node.genesis.hash()
        ),
    )
}

#[cfg(test)]
mod tests {
    use aegis_types::{ChainId, Domain, Hash, Keypair, Purpose, Signature};

    use super::*;

    #[test]
    fn wrong_signatures_are_found_among_right_ones() {
        let domain = Domain::new("examining".parse::<ChainId>().unwrap(), Hash::ZERO);
        let item = |number: u8| {
            let key = Keypair::from_seed(&[number; 32]);
            let signature = key.sign(&domain, Purpose::Proposal, &[number]);
            let message = domain.message(Purpose::Proposal, &[number]);
            AccountSignature { account: key.account_id(), message, signature }
        };
        let wrong = [3, 17, 18];
        let items: Vec<AccountSignature> = (0..40)
            .map(|number| {
                let item = item(number);
                let is_wrong = wrong.contains(&number);
                AccountSignature {
                    signature: if is_wrong { Signature([7; 64]) } else { item.signature },
                    ..item
                }
            })
            .collect();
        let judged = judge(&items);
        let found: Vec<u8> =
            (0..40).zip(judged).filter(|(_, holds)| !holds).map(|(number, _)| number).collect();
        assert_eq!(found, wrong);
        assert_eq!(judge(&[]), Vec::<bool>::new());
    }
}
