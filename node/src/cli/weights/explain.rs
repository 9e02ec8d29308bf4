//! `aegis weights explain`

use aegis_rpc::api::{WeightTerms, WeightsExplained};
use aegis_types::Epoch;
use clap::Args;

use super::fallback::in_words;
use super::trade_text;
use crate::cli::session::Session;
use crate::cli::table::Table;
use crate::cli::{Failure, Global};

/// A whole in the fixed point of shares.
const MILLION: f64 = 1_000_000.0;

/// How the weights of an epoch came about: each term of each member, and where each limit bit
#[derive(Debug, Args)]
pub struct Explain {
    /// The epoch that the weights are for
    #[arg(value_name = "EPOCH")]
    epoch: u64,
}

impl Explain {
    /// Prints it.
    ///
    /// # Errors
    /// When no node answers, or the epoch's weights are not on record.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let explained = session.client.explain_weights(Epoch(self.epoch)).await;
        let explained = explained.map_err(|error| session.failure(error))?;
        session.output.document(&explained, text)?;
        if explained.is_confirmed {
            Ok(())
        } else {
            Err(Failure::new(
                "the rule gives other weights than those on record: the node's state is damaged",
            )
            .help("`aegis weights recompute` checks without trusting the node"))
        }
    }
}

/// The explanation for people.
pub fn text(explained: &WeightsExplained) -> String {
    let outcome = &explained.explanation;
    let mut table = Table::new([
        "ID",
        "TAKES PART",
        "COHERENCE",
        "STABILITY",
        "DIVERGENCE",
        "TYPICAL",
        "LEVEL",
        "RANK",
        "BEFORE",
        "TARGET",
        "AFTER",
        "WHY",
    ]);
    for node in &outcome.nodes {
        table.row(row(node));
    }
    let policy = match outcome.policy {
        Some(policy) => format!("any {} may fail, core of {}", policy.fault_tolerance, policy.core_size),
        None => "the fault tolerance does not fit the number of members".to_owned(),
    };
    let fallback = match &outcome.fallback {
        Some(fallback) => format!("all weights are equal instead of the rule's: {}\n", in_words(fallback)),
        None => String::new(),
    };
    let milliseconds = |us: Option<u32>| {
        us.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", f64::from(us) / 1_000.0))
    };
    // The median is over pairs that both reported. Without any the rule goes on with its least value, which nobody measured.
    let has_pairs = outcome.nodes.iter().filter(|node| node.reported).nth(1).is_some();
    let round_trip = milliseconds(Some(outcome.median_rtt_us).filter(|_| has_pairs));
    let latency = milliseconds(outcome.commit_latency_us);
    format!(
        "weights of epoch {}: {policy}\nmedian round trip {round_trip}, commit latency {latency}, nobody above {}\n{fallback}{}\nwhat they \
         trade\n{}",
        explained.epoch,
        outcome.cap,
        table.render(),
        trade_text(&outcome.trade),
    )
}

fn row(node: &WeightTerms) -> [String; 12] {
    let share = |millionths: u32| format!("{:.3}", f64::from(millionths) / MILLION);
    let optional = |millionths: Option<u32>| millionths.map_or_else(|| "-".to_owned(), share);
    [
        node.validator.short(),
        share(node.terms.participation),
        share(node.terms.coherence),
        optional(node.terms.stability),
        optional(node.terms.divergence),
        optional(node.terms.typicality),
        share(node.level),
        node.rank.map_or_else(|| "-".to_owned(), |rank| (rank + 1).to_string()),
        node.before.to_string(),
        node.target.to_string(),
        node.after.to_string(),
        reasons(node).join(", "),
    ]
}

fn reasons(node: &WeightTerms) -> Vec<String> {
    let mut reasons = node.ineligible.clone();
    let notes = [
        (!node.reported, "no report"),
        (node.in_core, "core"),
        (node.hysteresis > 0, "was in the core"),
        (node.growth_limited, "at most twofold"),
        (node.capped, "capped"),
    ];
    reasons.extend(notes.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note.to_owned()));
    reasons
}
