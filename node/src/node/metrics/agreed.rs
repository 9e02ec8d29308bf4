//! The agreed report: once an epoch, while weights are measured, a validator submits what it says as a proposal.
//!
//! It does so as soon as the epoch's heights are drawn, which is when two thirds of the epoch have passed, and goes on until a
//! block has ordered it or the epoch has ended.

use std::sync::Arc;
use std::time::Duration;

use aegis_ledger::LedgerError;
use aegis_ledger::weights::{self, Sample};
use aegis_types::{
    Canonical, CommittedBlock, Epoch, Hash, Height, MemberBits, ProposalBody, SampledVotes, Signature,
    ValidatorId, ValidatorSet, View, WeightsMode,
};
use tracing::{debug, warn};

use crate::node::context::NodeContext;
use crate::node::reactions::{own_key, submit_until_ordered};
use crate::node::state::StateView;

/// How often agreed state is asked whether the heights are drawn: often enough for the shortest epochs.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait before a report that was not ordered is submitted again.
const PAUSE: Duration = Duration::from_millis(500);

/// Submits a report in each epoch, until the node stops.
pub async fn submit_reports(node: Arc<NodeContext>) {
    let mut standing = node.standing.clone();
    let mut reported: Option<Epoch> = None;
    loop {
        let epoch = standing.borrow().epoch.validators.epoch();
        if reported != Some(epoch)
            && is_asked(&node)
            && let Some(body) = body(&node).await
        {
            let key = own_key("mrep", epoch, &epoch.to_string());
            let what = format!("the report of epoch {epoch}");
            tokio::select! {
                () = submit_until_ordered(&node, body, key, &what, PAUSE) => {}
                _ = standing.wait_for(|standing| standing.epoch.validators.epoch() != epoch) => {
                    debug!(%epoch, "the epoch ended before this node's report was ordered");
                }
            }
            reported = Some(epoch);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn is_asked(node: &NodeContext) -> bool {
    let standing = node.standing.borrow();
    standing.epoch.parameters.weights_mode() != WeightsMode::Fixed
        && standing.epoch.validators.contains(&node.node_key.validator_id())
        && node.is_validator()
}

/// The report, once the heights are drawn; none when one of this node's is on record already.
async fn body(node: &Arc<NodeContext>) -> Option<ProposalBody> {
    let asking = node.clone();
    let made = tokio::task::spawn_blocking(move || make(&asking)).await;
    match made.map_err(anyhow::Error::from).and_then(|made| Ok(made?)) {
        Ok(body) => body,
        Err(error) => {
            warn!(%error, "the heights to report on cannot be read");
            None
        }
    }
}

fn make(node: &NodeContext) -> Result<Option<ProposalBody>, LedgerError> {
    let (state, me) = (StateView(node.kv.as_ref()), node.node_key.validator_id());
    let Some(sample) = weights::sample(&state)? else { return Ok(None) };
    if weights::has_reported(&state, &me)? {
        return Ok(None);
    }
    let set = node.standing.borrow().epoch.validators.clone();
    let Some(signed) = node.own_report() else { return Ok(None) };
    if signed.report.epoch != set.epoch() {
        return Ok(None);
    }
    let sampled = sampled_votes(
        &sample,
        &set,
        &me,
        |height| read_block(node, height),
        |height, digest| node.observation.commits(height, digest),
    );
    Ok(Some(ProposalBody::MetricsReport { report: signed.encode(), sampled }))
}

fn read_block(node: &NodeContext, height: Height) -> Option<CommittedBlock> {
    match node.log.read(height) {
        Ok(block) => CommittedBlock::decode(&block?).ok(),
        Err(error) => {
            warn!(%height, %error, "a block cannot be read from the committed log");
            None
        }
    }
}

/// What this node says of the drawn heights that it holds: whose Commits it has, in the block's certificate or heard besides,
/// and its own.
fn sampled_votes(
    sample: &Sample,
    set: &ValidatorSet,
    me: &ValidatorId,
    block: impl Fn(Height) -> Option<CommittedBlock>,
    heard: impl Fn(Height, &Hash) -> (MemberBits, Option<(View, Signature)>),
) -> Vec<SampledVotes> {
    let position = set.index_of(me);
    let of_height = |(height, digest): &(Height, Hash)| {
        let certificate = block(*height)?.certificate;
        if certificate.content.digest != *digest || certificate.content.epoch != set.epoch() {
            return None;
        }
        let (mut voters, mut own) = heard(*height, digest);
        for (signer, signature) in &certificate.signatures {
            let signer = usize::try_from(*signer).ok()?;
            voters.insert(signer);
            if Some(signer) == position {
                own = own.or(Some((certificate.content.view, *signature)));
            }
        }
        Some(SampledVotes { height: *height, voters, own })
    };
    sample.blocks.iter().filter_map(of_height).collect()
}

#[cfg(test)]
mod tests {
    use aegis_types::{Member, Weight};

    use super::*;
    use crate::node::testing::Chain;

    #[test]
    fn heard_votes_and_certificates_are_put_together_and_other_blocks_left_out() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let blocks: Vec<CommittedBlock> = (0..3).map(|_| chain.decide(&mut execution, Vec::new())).collect();
        let digest = |index: usize| blocks[index].certificate.content.digest;
        let sample = Sample {
            blocks: vec![
                (Height(1), digest(0)),
                (Height(2), Hash([9; 32])),
                (Height(3), digest(2)),
                (Height(9), Hash([9; 32])),
            ],
        };
        let me = chain.key.validator_id();
        let mut members = vec![Member { validator: me, weight: Weight(1) }];
        members.extend((1..4).map(|byte| Member { validator: ValidatorId([byte; 32]), weight: Weight(1) }));
        let set = ValidatorSet::new(Epoch(0), members).unwrap();
        // The chain's blocks are certified by position 0.
        let read = |height: Height| blocks.get(usize::try_from(height.0).unwrap() - 1).cloned();
        let own = (View(3), Signature([7; 64]));
        let heard = |height: Height, _: &Hash| {
            let voters: MemberBits = [2].into_iter().collect();
            (voters, (height == Height(3)).then_some(own))
        };
        let first = set.members()[0].validator;
        let votes = sampled_votes(&sample, &set, &first, read, heard);
        assert_eq!(votes.iter().map(|votes| votes.height.0).collect::<Vec<_>>(), [1, 3]);
        assert!(votes.iter().all(|votes| votes.voters.positions().collect::<Vec<_>>() == [0, 2]));
        assert_eq!(votes[0].own, Some((View::ZERO, blocks[0].certificate.signatures[0].1)));
        assert_eq!(votes[1].own, Some(own), "what it heard itself say");
        let second = set.members()[1].validator;
        let votes = sampled_votes(&sample, &set, &second, read, heard);
        assert_eq!(votes[0].own, None);
    }
}
