//! One network, one rate after the other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_rpc::{Client, ClientConfig};
use aegis_types::Domain;
use anyhow::Context as _;

use super::bound::Bound;
use super::load::{self, Load};
use super::process::Usage;
use super::report::{Payload, Report, Step};
use crate::network::Network;

/// Sent before each rate's counted puts.
const WARM_UP: Duration = Duration::from_secs(2);
/// Rest between two rates: queues run empty.
const REST: Duration = Duration::from_secs(1);
/// A rate that the network keeps up with is doubled, until one is too high; then the gap is halved so many times.
const HALVINGS: u32 = 3;
/// No rate above this is tried.
const RATE_MAX: u64 = 1_000_000;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The binary under test.
    pub binary: PathBuf,
    /// Validators, of equal weight.
    pub validators: usize,
    /// Bytes of a value; each gets a network of its own.
    pub payloads: Vec<usize>,
    /// Rates that are measured in any case, lowest first; the first shows the latency at low load.
    pub rates: Vec<u64>,
    /// Whether the highest rate is looked for.
    pub find_highest: bool,
    /// Limit on the p99 of a rate that the network keeps up with, in milliseconds.
    pub p99_limit_ms: f64,
    /// How long each rate is sent and counted.
    pub duration: Duration,
}

/// Measures. `told` hears of each step.
///
/// # Errors
/// When nodes do not start, or one ends.
pub async fn run(plan: &Plan, mut told: impl FnMut(usize, &Step)) -> anyhow::Result<Report> {
    let mut report = Report {
        validators: plan.validators,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        seconds: plan.duration.as_secs(),
        p99_limit_ms: plan.p99_limit_ms,
        payloads: Vec::new(),
    };
    for &payload in &plan.payloads {
        report.payloads.push(run_payload(plan, payload, &mut |step| told(payload, step)).await?);
    }
    Ok(report)
}

async fn run_payload(plan: &Plan, payload: usize, told: &mut impl FnMut(&Step)) -> anyhow::Result<Payload> {
    let folder = tempfile::TempDir::new()?;
    let bound = Bound::measure(payload, folder.path())?;
    let mut bench = Bench::start(plan, payload, folder.path()).await?;
    let mut found = Payload {
        payload,
        bound_per_second: bound.proposals_per_second(plan.validators),
        critical_path_ms: bound.critical_path_us() / 1e3,
        bound,
        steps: Vec::new(),
        highest: None,
    };
    for &rate in &plan.rates {
        bench.measure(rate, &mut found, told).await?;
    }
    if plan.find_highest {
        bench.find_highest(&mut found, told).await?;
        if let Some(highest) = found.highest {
            bench.measure(highest / 2, &mut found, told).await?;
        }
    }
    Ok(found)
}

/// A network under measurement.
struct Bench<'a> {
    plan: &'a Plan,
    payload: usize,
    network: Network,
    clients: Vec<Client>,
    domain: Domain,
    runs: u64,
}

impl<'a> Bench<'a> {
    async fn start(plan: &'a Plan, payload: usize, folder: &Path) -> anyhow::Result<Self> {
        let (binary, validators, homes) = (plan.binary.clone(), plan.validators, folder.to_owned());
        let network =
            tokio::task::spawn_blocking(move || Network::start(&binary, validators, &homes, &homes))
                .await??;
        let connect = |endpoint: String| Client::connect(ClientConfig::new(endpoint));
        let clients = network.endpoints().into_iter().map(connect).collect::<Result<Vec<_>, _>>()?;
        let status = clients.first().context("there is no node")?.status().await?;
        let domain = Domain::new(status.chain_id, status.genesis);
        Ok(Self { plan, payload, network, clients, domain, runs: 0 })
    }

    /// Doubles the rate until the network does not keep up, then halves the gap.
    async fn find_highest(
        &mut self,
        found: &mut Payload,
        told: &mut impl FnMut(&Step),
    ) -> anyhow::Result<()> {
        let limit = self.plan.p99_limit_ms;
        let kept = found.steps.iter().filter(|step| step.keeps_up(limit)).map(|step| step.offered).max();
        let mut low = kept.unwrap_or(0);
        let mut rate = low.max(500).saturating_mul(2);
        let mut high = loop {
            if rate > RATE_MAX || !self.measure(rate, found, told).await? {
                break rate;
            }
            low = rate;
            rate *= 2;
        };
        for _ in 0..HALVINGS {
            let middle = low.midpoint(high);
            if self.measure(middle, found, told).await? {
                low = middle;
            } else {
                high = middle;
            }
        }
        found.highest = (low > 0).then_some(low);
        Ok(())
    }

    /// One rate; whether the network kept up.
    async fn measure(
        &mut self,
        rate: u64,
        found: &mut Payload,
        told: &mut impl FnMut(&Step),
    ) -> anyhow::Result<bool> {
        self.runs += 1;
        let load = Load {
            rate,
            payload: self.payload,
            warm_up: WARM_UP,
            duration: self.plan.duration,
            seed: rand::random::<u32>().into(),
        };
        let before = self.readings().await?;
        let outcome = load::run(&load, &self.network.endpoints(), &self.domain).await?;
        let after = self.readings().await?;
        let step = step_of(&load, &outcome, &before, &after);
        told(&step);
        let keeps_up = step.keeps_up(self.plan.p99_limit_ms);
        found.steps.push(step);
        tokio::time::sleep(REST).await;
        Ok(keeps_up)
    }

    async fn readings(&self) -> anyhow::Result<Readings> {
        let mut readings = Readings {
            at: Instant::now(),
            generator: Usage::of(std::process::id())?,
            nodes: Vec::new(),
            blocks: 0,
            puts: 0,
            flushes: 0,
            bytes_sent: 0,
            view_changes: 0,
        };
        for (client, pid) in self.clients.iter().zip(self.network.process_ids()) {
            let text = client.telemetry().await?;
            readings.nodes.push(Usage::of(pid).context("a node has ended")?);
            readings.blocks += counter(&text, "aegis_blocks_executed_total")?;
            readings.puts += counter(&text, "aegis_proposals_executed_total")?;
            readings.flushes += counter(&text, "aegis_journal_flush_seconds_count")?;
            readings.bytes_sent += counter(&text, "aegis_network_sent_bytes_total")?;
            readings.view_changes += counter(&text, "aegis_view_changes_total")?;
        }
        Ok(readings)
    }
}

/// What all nodes have done so far, summed.
struct Readings {
    at: Instant,
    generator: Usage,
    nodes: Vec<Usage>,
    blocks: u64,
    puts: u64,
    flushes: u64,
    bytes_sent: u64,
    view_changes: u64,
}

/// A counter's value in the Prometheus text format.
fn counter(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.with_context(|| format!("the node does not tell {name}"))?;
    value.trim().parse().with_context(|| format!("{name} is {value}"))
}

fn step_of(load: &Load, outcome: &load::Outcome, before: &Readings, after: &Readings) -> Step {
    let nodes = after.nodes.len().max(1) as f64;
    let elapsed = after.at.duration_since(before.at).as_secs_f64();
    let cpu = |usages: &[Usage]| usages.iter().map(|usage| usage.cpu.as_secs_f64()).sum::<f64>();
    let cpu_nodes = cpu(&after.nodes) - cpu(&before.nodes);
    let of = |after: u64, before: u64| after.saturating_sub(before) as f64;
    let blocks = of(after.blocks, before.blocks) / nodes;
    let puts = of(after.puts, before.puts) / nodes;
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let quantile = |quantile: f64| outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
    Step {
        offered: load.rate,
        committed: ratio(
            outcome.committed as f64,
            outcome.elapsed.as_secs_f64().max(load.duration.as_secs_f64()),
        ),
        sent: outcome.sent,
        p50_ms: quantile(0.5),
        p95_ms: quantile(0.95),
        p99_ms: quantile(0.99),
        p999_ms: quantile(0.999),
        max_ms: outcome.latency.max() as f64 / 1e3,
        behind_ms: outcome.behind.as_secs_f64() * 1e3,
        errors: outcome.errors.clone(),
        cpu_per_node: ratio(cpu_nodes / nodes, elapsed),
        cpu_generator: ratio((after.generator.cpu - before.generator.cpu).as_secs_f64(), elapsed),
        cpu_us_per_put: ratio(cpu_nodes / nodes * 1e6, puts),
        cpu_ms_per_block: ratio(cpu_nodes / nodes * 1e3, blocks),
        resident: after.nodes.iter().map(|usage| usage.resident).max().unwrap_or_default(),
        descriptors: after.nodes.iter().map(|usage| usage.descriptors).max().unwrap_or_default(),
        blocks: after.blocks.saturating_sub(before.blocks) / after.nodes.len().max(1) as u64,
        puts_per_block: ratio(puts, blocks),
        flushes_per_block: ratio(of(after.flushes, before.flushes) / nodes, blocks),
        bytes_sent_per_put: ratio(of(after.bytes_sent, before.bytes_sent) / nodes, puts),
        view_changes: after.view_changes.saturating_sub(before.view_changes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_whole_names() {
        let text = "# HELP a_total x\na_total_more 7\na_total 12\nb 1.5\n";
        assert_eq!(counter(text, "a_total").expect("there"), 12);
        assert!(counter(text, "b").is_err(), "a gauge is no count");
        assert!(counter(text, "c_total").is_err());
    }
}
