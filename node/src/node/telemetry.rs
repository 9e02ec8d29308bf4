//! Telemetry: what Prometheus reads at `/metrics`.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::metrics::MetricSeries;
use super::tor_series::TorSeries;

/// All series of a node. Base units; rates are for whoever reads them.
#[derive(Debug)]
pub struct Telemetry {
    registry: Mutex<Registry>,
    /// Newest committed block.
    pub committed_height: Gauge,
    /// Newest executed block.
    pub executed_height: Gauge,
    /// Current epoch.
    pub epoch: Gauge,
    /// View entered last.
    pub view: Gauge,
    /// Own voting weight.
    pub weight: Gauge,
    /// 1 while the node only answers, because its disk does not take what it must write.
    pub read_only: Gauge,
    /// Connected peers.
    pub peers: Gauge,
    /// The Tor client.
    pub tor: TorSeries,
    /// Proposals that wait for agreement at this node.
    pub proposals_pending: Gauge,
    /// Batches that are held and not executed.
    pub batches_held: Gauge,
    /// View changes that this node started.
    pub view_changes: Counter,
    /// Blocks executed since the start.
    pub blocks_executed: Counter,
    /// Proposals executed since the start.
    pub proposals_executed: Counter,
    /// Proposals refused at submission since the start.
    pub proposals_refused: Counter,
    /// Messages that could not be queued for their receiver.
    pub messages_not_sent: Counter,
    /// Messages that came in faster than the driver could handle them.
    pub messages_not_handled: Counter,
    /// Bytes given to the network to send; answers and gossip that is passed on are not counted.
    pub network_sent: Counter,
    /// Peers reported for misbehaviour.
    pub misbehaviours: Counter,
    /// Proofs of equivocation found.
    pub evidence: Counter,
    /// Time of one journal flush.
    pub journal_flush_seconds: Histogram,
    /// Time from submission at this node to the durable, executed block.
    pub submission_seconds: Histogram,
    /// Time to execute one block.
    pub execution_seconds: Histogram,
    /// Time in which a quorum confirmed a round of linearizable reads.
    pub read_confirmation_seconds: Histogram,
    /// Linearizable reads that were refused because no quorum confirmed them.
    pub reads_unconfirmed: Counter,
    /// Statistics of the node and its network.
    pub metrics: MetricSeries,
    /// Process start, as agreed names go.
    pub start_time_seconds: Gauge<f64, AtomicU64>,
}

impl Telemetry {
    /// The telemetry of a node that starts at a time, in milliseconds of the Unix epoch.
    pub fn starting_at(unix_ms: u64) -> Self {
        let telemetry = Self::new();
        #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double")]
        telemetry.start_time_seconds.set(unix_ms as f64 / 1_000.0);
        telemetry
    }

    /// Registers all series.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("aegis");
        let telemetry = Self {
            committed_height: gauge(
                &mut registry,
                "committed_height",
                "Height of the newest committed block",
            ),
            executed_height: gauge(&mut registry, "executed_height", "Height of the newest executed block"),
            epoch: gauge(&mut registry, "epoch", "Current epoch"),
            view: gauge(&mut registry, "view", "View entered last"),
            weight: gauge(&mut registry, "weight", "Own voting weight, 0 for an observer"),
            read_only: gauge(&mut registry, "read_only", "1 while the disk keeps the node from taking part"),
            peers: gauge(&mut registry, "peers", "Connected peers"),
            tor: TorSeries::register(&mut registry),
            proposals_pending: gauge(
                &mut registry,
                "proposals_pending",
                "Proposals waiting for agreement here",
            ),
            batches_held: gauge(&mut registry, "batches_held", "Batches held and not executed"),
            view_changes: counter(&mut registry, "view_changes", "View changes started by this node"),
            blocks_executed: counter(&mut registry, "blocks_executed", "Blocks executed since the start"),
            proposals_executed: counter(
                &mut registry,
                "proposals_executed",
                "Proposals executed since the start",
            ),
            proposals_refused: counter(&mut registry, "proposals_refused", "Proposals refused at submission"),
            messages_not_sent: counter(&mut registry, "messages_not_sent", "Messages dropped before sending"),
            messages_not_handled: counter(
                &mut registry,
                "messages_not_handled",
                "Messages dropped on arrival",
            ),
            network_sent: bytes(
                &mut registry,
                "network_sent",
                "Own frames, questions and gossip given to the network",
            ),
            misbehaviours: counter(&mut registry, "misbehaviours", "Peers reported for misbehaviour"),
            evidence: counter(&mut registry, "evidence", "Proofs of equivocation found"),
            journal_flush_seconds: seconds(&mut registry, "journal_flush", "Time of one journal flush"),
            submission_seconds: seconds(
                &mut registry,
                "submission",
                "Time from submission to the executed block",
            ),
            execution_seconds: seconds(&mut registry, "execution", "Time to execute one block"),
            read_confirmation_seconds: seconds(
                &mut registry,
                "read_confirmation",
                "Time until a quorum confirmed a round of linearizable reads",
            ),
            reads_unconfirmed: counter(
                &mut registry,
                "reads_unconfirmed",
                "Linearizable reads that no quorum confirmed in time",
            ),
            metrics: MetricSeries::register(&mut registry),
            start_time_seconds: Gauge::default(),
            registry: Mutex::new(Registry::default()),
        };
        registry.register_with_unit(
            "start_time",
            "Start of the node since the Unix epoch",
            Unit::Seconds,
            telemetry.start_time_seconds.clone(),
        );
        Self { registry: Mutex::new(registry), ..telemetry }
    }

    /// The series as text.
    pub fn render(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => text,
            Err(error) => format!("# telemetry could not be written: {error}\n"),
        }
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let series = Gauge::default();
    registry.register(name, help, series.clone());
    series
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let series = Counter::default();
    registry.register(name, help, series.clone());
    series
}

fn bytes(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let series = Counter::default();
    registry.register_with_unit(name, help, Unit::Bytes, series.clone());
    series
}

/// From 50 microseconds, doubling, to about 26 seconds.
fn seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let series = Histogram::new(exponential_buckets(0.000_05, 2.0, 20));
    registry.register_with_unit(name, help, Unit::Seconds, series.clone());
    series
}
