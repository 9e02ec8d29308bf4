//! `aegis metrics network`

use std::collections::BTreeSet;

use aegis_rpc::api::{NetworkMetrics, NodeMetrics, ObserverMetrics, Role};
use aegis_types::ValidatorId;
use clap::Args;

use super::share;
use crate::cli::session::Session;
use crate::cli::table::Table;
use crate::cli::{Failure, Global};

/// The values of all nodes, from their newest signed reports
#[derive(Debug, Args)]
pub struct NetworkCommand {
    /// Share of the observers that the bounds allow to lie, at least 0 and below 1
    #[arg(long, value_name = "SHARE", default_value = "0")]
    liars: f64,
}

impl NetworkCommand {
    /// Prints them.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let metrics =
            session.client.network_metrics(self.liars).await.map_err(|error| session.failure(error))?;
        let silent = silent(&session).await?;
        session.output.document(&metrics, |metrics| text(metrics, &silent))
    }
}

/// The validators that were not heard lately, by the measure of `aegis status`: what is shown of them is what they said before.
///
/// # Errors
/// When the node does not answer.
pub async fn silent(session: &Session) -> Result<BTreeSet<ValidatorId>, Failure> {
    let validators = session.client.validators().await.map_err(|error| session.failure(error))?;
    Ok(validators.members.iter().filter(|member| !member.alive).map(|member| member.id).collect())
}

/// The table of all nodes. The `silent` validators are marked.
pub fn text(metrics: &NetworkMetrics, silent: &BTreeSet<ValidatorId>) -> String {
    let mut table = Table::new([
        "ID", "NAME", "WEIGHT", "COUPLING", "TIMING", "SELF", "DISTANCE", "SCORE", "COMMIT", "HEIGHT", "AGE",
        "NOTE",
    ]);
    for node in &metrics.nodes {
        table.row(row(node, silent.contains(&node.node_id)));
    }
    let global = &metrics.global_state;
    let headline = format!(
        "epoch {}: round synchrony {}, observability coverage {}, quorum headroom {}\n",
        metrics.epoch,
        share(global.network_coherence),
        share(global.collective_awareness),
        share(global.system_health)
    );
    let observers = metrics.observers.as_ref().map(observers).unwrap_or_default();
    format!("{headline}{}{observers}", table.render())
}

fn row(node: &NodeMetrics, is_silent: bool) -> [String; 12] {
    let own = &node.consciousness_metrics;
    let report = node.report.as_ref();
    let of_report =
        |show: fn(&aegis_rpc::api::ReportInfo) -> String| report.map_or_else(|| "-".to_owned(), show);
    let commit = report.and_then(|report| report.commit_latency_us);
    let note = match (node.is_self, node.role) {
        (true, _) => "this node",
        (false, Role::Observer) => "observer",
        (false, Role::Validator) if is_silent => "silent",
        (false, Role::Validator) => "",
    };
    [
        node.node_id.short(),
        node.name.clone().unwrap_or_else(|| "-".to_owned()),
        node.weight.to_string(),
        share(own.phi),
        share(own.coherence),
        share(own.stability),
        share(own.divergence),
        share(own.consciousness_level),
        commit.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", f64::from(us) / 1_000.0)),
        of_report(|report| report.height.to_string()),
        of_report(|report| format!("{} s", report.age_ms / 1_000)),
        note.to_owned(),
    ]
}

fn observers(observers: &ObserverMetrics) -> String {
    let mut table = Table::new(["OBSERVERS", "RANK", "VALUE", "AT LEAST", "AT MOST", "ERROR IN RANK"]);
    for quantile in &observers.quantiles {
        table.row([
            quantile.value.clone(),
            format!("{:.2}", quantile.rank),
            share(Some(quantile.estimate)),
            share(quantile.lower),
            share(quantile.upper),
            format!("{:.3}", quantile.epsilon),
        ]);
    }
    format!(
        "\n{} reports stand for {} observers; the bounds hold with probability {:.2}, if no more than {:.0} % of them \
         lie\n{}",
        observers.sample,
        observers.population,
        observers.confidence,
        observers.liars * 100.0,
        table.render()
    )
}

#[cfg(test)]
mod tests {
    use aegis_rpc::api::{ConsciousnessMetrics, GlobalState};
    use aegis_types::{Epoch, Weight};

    use super::*;

    #[test]
    fn a_member_without_a_report_is_shown_as_such() {
        let node = NodeMetrics {
            node_id: ValidatorId([0xab; 32]),
            name: None,
            role: Role::Validator,
            weight: Weight(3),
            is_self: false,
            report: None,
            consciousness_metrics: ConsciousnessMetrics::default(),
        };
        let metrics = NetworkMetrics {
            timestamp: 0,
            epoch: Epoch(4),
            global_state: GlobalState { system_health: Some(0.25), ..GlobalState::default() },
            nodes: vec![node],
            observers: Some(ObserverMetrics {
                population: 10_000,
                sample: 738,
                liars: 0.1,
                confidence: 0.95,
                quantiles: Vec::new(),
            }),
        };
        let heard = text(&metrics, &BTreeSet::new());
        assert!(!heard.contains("silent"), "{heard}");
        let text = text(&metrics, &[ValidatorId([0xab; 32])].into());
        assert!(text.lines().any(|line| line.ends_with("silent")), "{text}");
        assert!(
            text.starts_with("epoch 4: round synchrony -, observability coverage -, quorum headroom 0.250\n")
        );
        assert!(
            text.contains("738 reports stand for 10000 observers") && text.contains("10 % of them lie"),
            "{text}"
        );
    }
}
