//! `aegis metrics`

use aegis_rpc::api::IntegrationMetrics;

use super::share;
use crate::cli::session::Session;
use crate::cli::table::{Fields, Table};
use crate::cli::{Failure, Global};

/// Prints this node's values.
///
/// # Errors
/// When no node answers.
pub async fn run(global: &Global) -> Result<(), Failure> {
    let session = Session::open(global)?;
    let metrics = session.client.node_metrics().await.map_err(|error| session.failure(error))?;
    session.output.document(&metrics, text)
}

fn text(metrics: &IntegrationMetrics) -> String {
    let (own, global, quality) = (&metrics.consciousness_metrics, &metrics.global_state, &metrics.quality);
    let mut table = Table::new(["VALUE", "", "WHAT IT IS", "NOTE"]);
    for (name, value, meaning) in [
        ("phi", own.phi, "cross-channel coupling"),
        ("coherence", own.coherence, "vote-timing agreement"),
        ("stability", own.stability, "self-consistency"),
        ("divergence", own.divergence, "distance from peers"),
        ("consciousness_level", own.consciousness_level, "composite score"),
        ("network_coherence", global.network_coherence, "round synchrony"),
        ("collective_awareness", global.collective_awareness, "observability coverage"),
        ("system_health", global.system_health, "quorum headroom"),
    ] {
        let note = quality.reasons.get(name).cloned().unwrap_or_default();
        table.row([name.to_owned(), share(value), meaning.to_owned(), note]);
    }
    let dropped: Vec<String> =
        quality.dropped_channels.iter().map(|(channel, reason)| format!("{channel} ({reason})")).collect();
    let fields = Fields::new()
        .field("epoch", quality.epoch)
        .field("window", format!("{} s, {} samples", quality.window_s, quality.samples))
        .field("channels", quality.channels.join(", "))
        .optional("left out", (!dropped.is_empty()).then(|| dropped.join(", ")))
        .optional("weakest cut", quality.phi_cut.as_ref().map(|cut| format!("{} | the rest", cut.join(", "))))
        .optional("p-value of phi", quality.p_value.map(|value| format!("{value:.4}")))
        .optional("diverges most", quality.divergence_channel.as_ref())
        .field("rows of members", quality.attested_by);
    format!(
        "statistics of telemetry of {}, each 0 to 1\n{}\n{}",
        metrics.node_id,
        table.render(),
        fields.render()
    )
}

#[cfg(test)]
mod tests {
    use aegis_rpc::api::{ConsciousnessMetrics, GlobalState, Quality};

    use super::*;

    #[test]
    fn an_unknown_value_shows_why() {
        let metrics = IntegrationMetrics {
            timestamp: 0,
            node_id: "ab".into(),
            consciousness_metrics: ConsciousnessMetrics { coherence: Some(0.5), ..Default::default() },
            global_state: GlobalState::default(),
            quality: Quality {
                reasons: [("phi".into(), "the window is short".into())].into(),
                ..Quality::default()
            },
        };
        let text = text(&metrics);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("phi").contains(" - ") && line("phi").contains("the window is short"), "{text}");
        assert!(line("coherence").contains("0.500"), "{text}");
    }
}
