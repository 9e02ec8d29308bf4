//! What a block costs: messages, bytes, signature checks and flushes, counted in runs without faults, beside the least that
//! three-phase PBFT with signatures can do with.
//!
//! With `n` validators of equal weight and quorum `q`, a block takes one proposal to `n - 1` others, a Prepare of each of
//! these to all others, and a Commit of each to all others: `(n - 1) + (n - 1)^2 + n (n - 1)` messages. Each validator
//! must check the `q - 1` Prepares and `q - 1` Commits of others that it needs, and makes its journal durable twice: before
//! it sends Prepare, and before it sends Commit. Writing the block itself is one more flush. The leader may save a flush: it
//! proposes and prepares with one.

use aegis_types::{Epoch, Keypair, Member, Parameter, ValidatorSet, Weight};

use super::options::Options;
use super::report::Counts;
use super::rng::Rng;
use super::scenario::{Scenario, parameters_with};
use super::trace::Recording;
use super::world::run_scenario;

/// The sizes that are measured.
pub const SIZES: [u64; 4] = [4, 7, 13, 31];

/// What one block costs the whole network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Consensus messages.
    pub messages: f64,
    /// Bytes of those messages.
    pub bytes: f64,
    /// Signature checks of votes and certificates.
    pub checks: f64,
    /// Flushes of journals and logs.
    pub flushes: f64,
}

/// Measured and least cost for a number of validators.
#[derive(Debug, Clone, Copy)]
pub struct CostRow {
    /// Number of validators.
    pub validators: u64,
    /// What the run counted, per block.
    pub measured: Cost,
    /// The least that the protocol can do with.
    pub least: Cost,
    /// Blocks of the run.
    pub blocks: u64,
}

/// Counts the costs of a number of validators over a number of blocks.
pub fn measure(validators: u64, blocks: u64) -> CostRow {
    let mut rng = Rng::new(validators, "costs");
    let keypairs: Vec<Keypair> = (0..validators).map(|_| Keypair::from_seed(&rng.bytes32())).collect();
    let members = keypairs
        .iter()
        .map(|keypair| Member { validator: keypair.validator_id(), weight: Weight(1) })
        .collect();
    let set = ValidatorSet::new(Epoch::ZERO, members).expect("equal weights are always valid");
    let quorum = set.quorum().0;
    let parameters = parameters_with(&[
        (Parameter::IdleIntervalMs, 1_000),
        (Parameter::ViewTimeoutMs, 5_000),
        (Parameter::EpochLengthMs, 3_600_000),
    ]);
    let mut scenario = Scenario::quiet(validators, set, parameters, keypairs);
    // One batch at a time, so that a block is what one batch costs.
    scenario.proposal_interval = 1_000_000;
    scenario.final_height = blocks;
    let options = Options { decisions: blocks, ..Options::default() };
    let report = run_scenario(scenario, &options, Recording::HashOnly);
    let Counts { decisions, messages, message_bytes, signature_checks, journal_flushes, log_flushes, .. } =
        report.counts;
    let per_block = |count: u64| count as f64 / decisions.max(1) as f64;
    let measured = Cost {
        messages: per_block(messages),
        bytes: per_block(message_bytes),
        checks: per_block(signature_checks),
        flushes: per_block(journal_flushes + log_flushes),
    };
    CostRow { validators, measured, least: least(validators, quorum, &measured), blocks: decisions }
}

fn least(validators: u64, quorum: u64, measured: &Cost) -> Cost {
    let others = validators - 1;
    let messages = (others + others * others + validators * others) as f64;
    Cost {
        messages,
        bytes: messages * measured.bytes / measured.messages.max(1.0),
        checks: (validators * 2 * (quorum - 1)) as f64,
        flushes: (validators * 3 - 1) as f64,
    }
}

/// The rows as a table in Markdown.
pub fn table(rows: &[CostRow]) -> String {
    let mut lines = vec![
        "| validators | messages | least | bytes | bytes per message | checks | least | flushes | least |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for CostRow { validators, measured, least, .. } in rows {
        lines.push(format!(
            "| {validators} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} |",
            measured.messages,
            least.messages,
            measured.bytes,
            measured.bytes / measured.messages.max(1.0),
            measured.checks,
            least.checks,
            measured.flushes,
            least.flushes,
        ));
    }
    lines.join("\n")
}
