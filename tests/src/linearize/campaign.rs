//! One run: start, load and faults, final reads, verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use aegis_rpc::Consistency;
use anyhow::{Context as _, bail};
use tokio::task::JoinSet;

use super::client::{Load, Worker};
use super::cluster::Cluster;
use super::namespaces::Namespaces;
use super::nemesis::{FaultKind, Nemesis};
use super::operation::{Call, Operation, Outcome};
use super::report::{Anomaly, Report, Times, sort_of};
use super::shrink::offending;
use super::wgl::is_linearizable;

/// How long the network may take to serve a read at the end, when all faults are over.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(60);

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long clients and faults go on.
    pub duration: Duration,
    /// Kinds of faults.
    pub faults: Vec<FaultKind>,
    /// Clients.
    pub clients: usize,
    /// Keys in use at a time.
    pub keys: u64,
    /// Validators.
    pub nodes: usize,
    /// Draws faults and operations.
    pub seed: u64,
    /// How fresh reads are asked to be. Any but linearizable ones are expected to be found out.
    pub reads: Consistency,
}

/// Runs the plan on processes of a binary.
///
/// # Errors
/// When the network under test cannot be made or does not recover.
pub async fn run(binary: &Path, plan: &Plan) -> anyhow::Result<Report> {
    let mut skipped = BTreeMap::new();
    let mut faults = plan.faults.clone();
    let mut namespaces = None;
    if faults.contains(&FaultKind::Partition) {
        match Namespaces::check() {
            Ok(()) => namespaces = Some(Namespaces::make(plan.nodes)?),
            Err(reason) => {
                skipped.insert(FaultKind::Partition, format!("no network namespaces here: {reason:#}"));
                faults.retain(|kind| *kind != FaultKind::Partition);
            }
        }
    }
    let (binary, nodes) = (binary.to_owned(), plan.nodes);
    let starting = tokio::task::spawn_blocking(move || Cluster::start(&binary, nodes, namespaces));
    let cluster = Arc::new(starting.await??);
    let load = Arc::new(Load::new(cluster.clone(), plan.keys, plan.reads).await?);
    wait_until_ready(&load).await?;

    let mut workers = JoinSet::new();
    for number in 0..plan.clients {
        workers.spawn(Worker::new(load.clone(), number, plan.seed).run());
    }
    let nemesis = Nemesis::new(cluster.clone(), faults, plan.seed, load.start);
    let began = Instant::now();
    let end = began + plan.duration;
    let faults = nemesis.run(end).await?;
    tokio::time::sleep_until(end.into()).await;
    load.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended.context("a client failed")?;
    }
    wait_until_ready(&load).await?;
    read_everything(&load, plan.clients).await;
    let seconds = began.elapsed().as_secs();

    let history = std::mem::take(&mut *load.history.lock().unwrap_or_else(PoisonError::into_inner));
    let anomalies = tokio::task::spawn_blocking({
        let history = history.clone();
        move || find_anomalies(&history)
    });
    let operations = || history.values().flatten().copied();
    let mut counts = BTreeMap::new();
    operations().for_each(|operation| *counts.entry(sort_of(&operation)).or_default() += 1);
    let is_read = |operation: &Operation| operation.call == Call::Read;
    let is_known_write =
        |operation: &Operation| operation.call != Call::Read && operation.outcome != Outcome::Unknown;
    Ok(Report {
        seed: plan.seed,
        reads: plan.reads.to_string(),
        seconds,
        clients: plan.clients,
        keys: history.len(),
        operations: counts,
        failed_reads: load.failed_reads.load(Ordering::Relaxed),
        refused_writes: load.refused_writes.load(Ordering::Relaxed),
        retries: load.retries.load(Ordering::Relaxed),
        read_times: Times::of(operations().filter(is_read)),
        write_times: Times::of(operations().filter(is_known_write)),
        faults,
        skipped,
        anomalies: anomalies.await?,
    })
}

/// Waits until every node serves a read.
async fn wait_until_ready(load: &Arc<Load>) -> anyhow::Result<()> {
    let deadline = Instant::now() + RECOVERY_PATIENCE;
    for node in 0..load.clients.len() {
        loop {
            let client = load.clients[node].clone();
            let asking = async move { client.parameters().await };
            let answer = load.cluster.nodes[node].gateway().run(asking).await?;
            match answer {
                Ok(_) => break,
                Err(error) if Instant::now() >= deadline => {
                    bail!("node {node} serves no reads within {RECOVERY_PATIENCE:?}: {error}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
    Ok(())
}

/// Reads every key through every node: what was acknowledged must be there now.
async fn read_everything(load: &Arc<Load>, reader: usize) {
    let keys: Vec<String> = {
        let history = load.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.keys().cloned().collect()
    };
    for key in keys {
        for node in 0..load.clients.len() {
            load.read(reader, node, &key).await;
        }
    }
}

fn find_anomalies(history: &BTreeMap<String, Vec<Operation>>) -> Vec<Anomaly> {
    let contradictory = history.iter().filter(|(_, operations)| !is_linearizable(operations));
    contradictory
        .map(|(key, operations)| Anomaly { key: key.clone(), operations: offending(operations) })
        .collect()
}
