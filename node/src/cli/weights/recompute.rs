//! `aegis weights recompute`

use std::collections::BTreeMap;
use std::path::PathBuf;

use aegis_ledger::weights::WeightsOnRecord;
use aegis_light::LightClient;
use aegis_metrics::WeightInput;
use aegis_rpc::api::{ApiError, ErrorCode};
use aegis_rpc::client::ClientError;
use aegis_types::{Canonical, Epoch, Genesis, Handover, TypesError, ValidatorSet};
use clap::Args;
use serde::Serialize;

use super::fallback::in_words;
use super::replay;
use crate::cli::proof::trusted_genesis;
use crate::cli::session::Session;
use crate::cli::table::Table;
use crate::cli::{Failure, Global};

/// Compute the weights of epochs again, here, and compare them with what was handed over
///
/// Without --replay a running node gives what the rule read at the end of each epoch; what came of it is compared with the
/// validator sets that the handover blocks of the log certify, each proved by the one before from the genesis on. With --replay
/// every block of the home's committed log is executed again from the genesis, so that the measurements come from the log, too;
/// the node must be stopped.
///
/// Fails if weights differ, and if nothing is on record for an epoch that was asked for.
#[derive(Debug, Args)]
pub struct Recompute {
    /// The first epoch; all later ones are asked for, too. The weights of epoch 0 stand in the genesis
    #[arg(long, value_name = "EPOCH")]
    from: u64,
    /// Execute the home's committed log again instead of asking a node
    #[arg(long)]
    replay: bool,
    /// The genesis file to trust [default: that of the home]
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    genesis: Option<PathBuf>,
}

/// What computing an epoch's weights again has yielded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recomputed {
    /// The epoch that the weights are for.
    pub epoch: u64,
    /// Whether they are the weights that were handed over.
    pub is_confirmed: bool,
    /// Why they are equal instead of the rule's, as the rule names it.
    pub fallback: Option<serde_json::Value>,
    /// Number of members.
    pub members: usize,
    /// Weight of all members.
    pub total: u64,
    /// Members in the core.
    pub core: usize,
}

impl Recomputed {
    /// Applies the rule to an input and compares with a validator set.
    pub fn new(epoch: Epoch, input: WeightInput, validators: ValidatorSet) -> Result<Self, Failure> {
        let is_of_epoch = input.epoch.next() == epoch && validators.epoch() == epoch;
        let total = validators.total().0;
        let on_record = WeightsOnRecord { input, validators };
        let outcome = on_record.recompute();
        let fallback = outcome.fallback.map(serde_json::to_value).transpose();
        Ok(Self {
            epoch: epoch.0,
            is_confirmed: is_of_epoch && on_record.is_result_of(&outcome),
            fallback: fallback.map_err(|error| Failure::new(error.to_string()))?,
            members: outcome.nodes.len(),
            total,
            core: outcome.core.len(),
        })
    }
}

impl Recompute {
    /// Computes and compares.
    ///
    /// # Errors
    /// When nothing is on record, or weights differ.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let from = Epoch(self.from);
        let Asked { recomputed, last, mode } = if self.replay {
            let recomputed = replay::run(global, from).await?;
            let last = recomputed.last().map(|one| Epoch(one.epoch));
            Asked { recomputed, last, mode: None }
        } else {
            ask(global, self.genesis.as_deref(), from).await?
        };
        if recomputed.is_empty() {
            return Err(nothing_to_compute(from, mode.as_deref()));
        }
        global.output().document(&recomputed, text)?;
        let wrong: Vec<u64> =
            recomputed.iter().filter(|one| !one.is_confirmed).map(|one| one.epoch).collect();
        if !wrong.is_empty() {
            let wrong = wrong.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            return Err(Failure::new(format!("the rule gives other weights for {}", epochs(&wrong)))
                .help("the node may be damaged, or lie: ask another one with --rpc URL, or use --replay"));
        }
        match missing(from, last, &recomputed) {
            None => Ok(()),
            Some(missing) => Err(Failure::new(format!("nothing is on record for {}", epochs(&missing))).help(
                "weights were not measured, the record was dropped (`weights_history_epochs`), or the node keeps it \
                 back: ask another one with --rpc URL, use --replay, or begin later with --from",
            )),
        }
    }
}

/// Why there is nothing to compute.
fn nothing_to_compute(from: Epoch, mode: Option<&str>) -> Failure {
    if mode == Some("fixed") {
        return Failure::new(
            "the weights of this network are fixed: the genesis and votes of its members set them, no rule computes them, so \
             there is nothing to compute again",
        )
        .help("`aegis weights` shows the weights; the parameter `weights_mode` lets them be measured");
    }
    Failure::new(format!(
        "no weights that a rule has computed are on record for epoch {from} or any later one"
    ))
    .help("`aegis weights` says for which epochs there are some")
}

/// One epoch or several, as people say it.
fn epochs(list: &str) -> String {
    let is_one = list.chars().all(|c| c.is_ascii_digit());
    if is_one { format!("epoch {list}") } else { format!("epochs {list}") }
}

/// The epochs from `from` to `last` that were not computed, such as `1 to 4, 7`; none when there are none. Epoch 0 is never
/// missing: nothing was computed for it.
fn missing(from: Epoch, last: Option<Epoch>, recomputed: &[Recomputed]) -> Option<String> {
    let mut next = from.0.max(1);
    let mut gaps = Vec::new();
    let end = last.map(|last| last.0.saturating_add(1));
    for epoch in recomputed.iter().map(|one| one.epoch).chain(end) {
        match epoch.checked_sub(next) {
            None | Some(0) => {}
            Some(1) => gaps.push(next.to_string()),
            Some(_) => gaps.push(format!("{next} to {}", epoch.saturating_sub(1))),
        }
        next = next.max(epoch.saturating_add(1));
    }
    (!gaps.is_empty()).then(|| gaps.join(", "))
}

fn text(recomputed: &Vec<Recomputed>) -> String {
    let mut table = Table::new(["EPOCH", "MEMBERS", "TOTAL", "CORE", "RESULT", "EQUAL BECAUSE"]);
    for one in recomputed {
        let reason = one.fallback.as_ref().map(in_words);
        table.row([
            one.epoch.to_string(),
            one.members.to_string(),
            one.total.to_string(),
            one.core.to_string(),
            if one.is_confirmed { "the same" } else { "OTHER WEIGHTS" }.to_owned(),
            reason.unwrap_or_default(),
        ]);
    }
    table.render()
}

/// What there was to compute.
struct Asked {
    recomputed: Vec<Recomputed>,
    /// The last epoch whose validator set is proved: what a node has on record is its own word.
    last: Option<Epoch>,
    /// How weights come about now, as the node says.
    mode: Option<String>,
}

/// Gets inputs and handovers from a node, and computes.
async fn ask(global: &Global, genesis: Option<&std::path::Path>, from: Epoch) -> Result<Asked, Failure> {
    let genesis = trusted_genesis(global, genesis)?;
    let session = Session::open(global)?;
    let sets = certified_sets(&session, &genesis, from).await?;
    let last = sets.last_key_value().map(|(epoch, _)| *epoch);
    // Asked after the handovers, so that an epoch that began in between is no gap.
    let weights = session.client.weights().await.map_err(|error| session.failure(error))?;
    let (mode, mut recomputed) = (Some(weights.mode), Vec::new());
    let Some(range) = weights.on_record else { return Ok(Asked { recomputed, last, mode }) };
    for (epoch, set) in &sets {
        if !(range.oldest..=range.newest).contains(epoch) {
            continue;
        }
        let explained = match session.client.explain_weights(*epoch).await {
            Ok(explained) => explained,
            // Weights were not measured in between, or the record was dropped just now.
            Err(ClientError::Api(ApiError { code: ErrorCode::NotFound, .. })) => continue,
            Err(error) => return Err(session.failure(error)),
        };
        let input: WeightInput = read(&session, &explained.input_base64.0)?;
        recomputed.push(Recomputed::new(*epoch, input, set.clone())?);
    }
    Ok(Asked { recomputed, last, mode })
}

/// The validator sets of `from` and later epochs, each proved by the one before. A node cannot make this go on for ever: each
/// page leads further.
async fn certified_sets(
    session: &Session,
    genesis: &Genesis,
    from: Epoch,
) -> Result<BTreeMap<Epoch, ValidatorSet>, Failure> {
    let mut client = LightClient::new(genesis);
    let mut sets = BTreeMap::new();
    loop {
        let page = session.client.handovers(client.epoch()).await.map_err(|error| session.failure(error))?;
        for encoding in &page.handovers_base64 {
            let handover: Handover = read(session, &encoding.0)?;
            client.follow(&handover).map_err(|error| {
                Failure::new(format!("a handover does not hold: {error}")).help("ask another node: --rpc URL")
            })?;
            if handover.next.epoch() >= from {
                sets.insert(handover.next.epoch(), handover.next);
            }
        }
        if page.handovers_base64.is_empty() || page.next_epoch.is_none() {
            return Ok(sets);
        }
    }
}

fn read<T: Canonical>(session: &Session, encoding: &[u8]) -> Result<T, Failure> {
    T::decode(encoding).map_err(|error: TypesError| {
        Failure::new(format!("the node at {} answered with a bad {}: {error}", session.url, T::NAME))
            .help("ask another node: --rpc URL")
    })
}

#[cfg(test)]
mod tests {
    use aegis_metrics::{Candidate, FaultTolerance, Micro};
    use aegis_types::{Member, ValidatorId, Weight};

    use super::*;

    fn input() -> WeightInput {
        let candidate = |byte: u8| Candidate {
            validator: ValidatorId([byte; 32]),
            weight: Weight(1_000),
            was_core: false,
            participation: Micro::ONE,
            clean_epochs: 10,
            equivocated: false,
            recently_absent: false,
            report: None,
        };
        WeightInput::new(Epoch(4), FaultTolerance::Safe, (0..4).map(candidate).collect()).unwrap()
    }

    fn set(epoch: u64, last: u64) -> ValidatorSet {
        let members = (0..4).map(|byte| Member {
            validator: ValidatorId([byte; 32]),
            weight: Weight(if byte == 3 { last } else { 1_000 }),
        });
        ValidatorSet::new(Epoch(epoch), members.collect()).unwrap()
    }

    #[test]
    fn epochs_that_were_asked_for_and_are_not_on_record_are_named() {
        let recomputed = |epochs: &[u64]| -> Vec<Recomputed> {
            let one = |epoch: &u64| Recomputed {
                epoch: *epoch,
                is_confirmed: true,
                fallback: None,
                members: 4,
                total: 4_000,
                core: 4,
            };
            epochs.iter().map(one).collect()
        };
        let missing =
            |from, last, epochs: &[u64]| missing(Epoch(from), Some(Epoch(last)), &recomputed(epochs));
        assert_eq!(missing(1, 3, &[1, 2, 3]), None);
        assert_eq!(missing(0, 2, &[1, 2]), None, "the genesis says what epoch 0 weighs");
        assert_eq!(missing(1, 6, &[5, 6]).as_deref(), Some("1 to 4"));
        assert_eq!(missing(2, 9, &[2, 4, 5, 8, 9]).as_deref(), Some("3, 6 to 7"));
        assert_eq!(missing(5, 8, &[5, 6, 7]).as_deref(), Some("8"), "a node that keeps the newest back");
        assert_eq!((epochs("8"), epochs("3, 6 to 7")), ("epoch 8".to_owned(), "epochs 3, 6 to 7".to_owned()));
    }

    #[test]
    fn the_weights_of_the_rule_are_confirmed_and_no_others() {
        let confirmed = |epoch, set| Recomputed::new(Epoch(epoch), input(), set).unwrap().is_confirmed;
        assert!(confirmed(5, set(5, 1_000)));
        assert!(!confirmed(5, set(5, 900)));
        assert!(!confirmed(6, set(6, 1_000)), "the input of another epoch");
        let shown = text(&vec![Recomputed::new(Epoch(5), input(), set(5, 1_000)).unwrap()]);
        assert!(shown.contains("the same") && shown.contains("a quorum of"), "{shown}");
    }
}
