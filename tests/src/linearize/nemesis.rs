//! Faults, one after the other, and the proof that each really happened.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_types::{Epoch, View};
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use serde::Serialize;

use super::cluster::{Cluster, Node};
use super::namespaces::Namespaces;

/// How long a fault lasts, in milliseconds: shorter and longer than it takes to change views.
const FAULT_MS: std::ops::Range<u64> = 2_000..7_000;
/// How long the network is left alone between two faults, in milliseconds.
const CALM_MS: std::ops::Range<u64> = 1_000..3_000;
/// How long the others may take to follow another leader.
const SUCCESSION_PATIENCE: Duration = Duration::from_secs(20);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A node's process is killed at once and started again later.
    Kill,
    /// A node's process is stopped, and goes on later without knowing.
    Pause,
    /// One node, or half of them, cannot reach the others; clients reach all.
    Partition,
    /// The node that leads is killed.
    LeaderKill,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Pause, Self::Partition, Self::LeaderKill];

    /// The name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::LeaderKill => "leader-kill",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fault that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// The nodes that it struck.
    pub nodes: Vec<usize>,
    /// When it began, in milliseconds from the start of the run.
    pub began_ms: u64,
    /// When it was over.
    pub ended_ms: u64,
    /// What was seen of it.
    pub evidence: Vec<String>,
    /// Whether that proves that it happened.
    pub is_proven: bool,
}

/// Makes faults.
pub struct Nemesis {
    cluster: Arc<Cluster>,
    kinds: Vec<FaultKind>,
    random: StdRng,
    start: Instant,
}

/// Who leads what.
#[derive(Debug, Clone, Copy)]
struct Leader {
    node: usize,
    epoch: Epoch,
    view: View,
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "view {} of epoch {}", self.view, self.epoch)
    }
}

/// What was seen of a fault.
struct Seen {
    nodes: Vec<usize>,
    evidence: Vec<String>,
    is_proven: bool,
}

impl Nemesis {
    /// Faults of these kinds, by turns, drawn from the seed.
    pub fn new(cluster: Arc<Cluster>, kinds: Vec<FaultKind>, seed: u64, start: Instant) -> Self {
        Self { cluster, kinds, random: StdRng::seed_from_u64(seed), start }
    }

    /// Makes faults until `end`, and leaves all nodes running and connected.
    ///
    /// # Errors
    /// When a fault cannot be made or taken back, or a node does not start again.
    pub async fn run(mut self, end: Instant) -> anyhow::Result<Vec<Fault>> {
        let mut faults = Vec::new();
        let mut turn = 0;
        while let Some(kind) = self.kinds.get(turn % self.kinds.len().max(1)).copied() {
            self.sleep(CALM_MS).await;
            if Instant::now() >= end {
                break;
            }
            turn += 1;
            let began_ms = self.now_ms();
            let seen = match kind {
                FaultKind::Kill => {
                    let victim = self.random.random_range(0..self.cluster.nodes.len());
                    self.kill(victim).await?
                }
                FaultKind::Pause => self.pause().await?,
                FaultKind::Partition => self.partition().await?,
                FaultKind::LeaderKill => self.kill_leader().await?,
            };
            let Seen { nodes, evidence, is_proven } = seen;
            faults.push(Fault { kind, nodes, began_ms, ended_ms: self.now_ms(), evidence, is_proven });
        }
        Ok(faults)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&mut self, range_ms: std::ops::Range<u64>) {
        let ms = self.random.random_range(range_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    async fn kill(&mut self, victim: usize) -> anyhow::Result<Seen> {
        let (pid, status) = self.cluster.nodes[victim].kill()?;
        self.sleep(FAULT_MS).await;
        let evidence = vec![format!("process {pid} ended with {status}"), self.start_again(victim).await?];
        let is_proven = status.signal() == Some(Signal::KILL.as_raw());
        Ok(Seen { nodes: vec![victim], evidence, is_proven })
    }

    async fn start_again(&self, victim: usize) -> anyhow::Result<String> {
        let cluster = self.cluster.clone();
        let pid = tokio::task::spawn_blocking(move || cluster.start_node(victim)).await??;
        Ok(format!("process {pid} is ready in its place"))
    }

    async fn pause(&mut self) -> anyhow::Result<Seen> {
        let leader = self.leader(None).await;
        let anyone = self.random.random_range(0..self.cluster.nodes.len());
        let is_leader_struck = self.random.random_bool(0.5);
        let victim = leader.map(|leader| leader.node).filter(|_| is_leader_struck).unwrap_or(anyone);
        let node = &self.cluster.nodes[victim];
        let pid = node.signal(Signal::STOP)?;
        // The signal is delivered in a moment, and takes effect when every thread has noticed.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = Node::kernel_state(pid)?;
        self.sleep(FAULT_MS).await;
        let after = Node::kernel_state(pid)?;
        self.cluster.nodes[victim].signal(Signal::CONT)?;
        let is_leader = leader.is_some_and(|leader| leader.node == victim);
        let role = if is_leader { ", which led," } else { "" };
        let evidence = vec![format!(
            "process {pid}{role} was in kernel state {before} at the beginning, {after} at the end"
        )];
        Ok(Seen { nodes: vec![victim], evidence, is_proven: before == 'T' && after == 'T' })
    }

    async fn kill_leader(&mut self) -> anyhow::Result<Seen> {
        let Some(leader) = self.leader(None).await else {
            let evidence = vec!["no node said who leads".to_owned()];
            return Ok(Seen { nodes: Vec::new(), evidence, is_proven: false });
        };
        let victim = leader.node;
        let (pid, status) = self.cluster.nodes[victim].kill()?;
        let deadline = Instant::now() + SUCCESSION_PATIENCE;
        let mut successor = None;
        while successor.is_none() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
            successor = self.leader(Some(victim)).await.filter(|leader| leader.node != victim);
        }
        let mut evidence = vec![format!("process {pid}, which led {leader}, ended with {status}")];
        evidence.push(match successor {
            Some(successor) => format!("node {} leads {successor}", successor.node),
            None => "no other node leads".to_owned(),
        });
        evidence.push(self.start_again(victim).await?);
        let is_proven = status.signal() == Some(Signal::KILL.as_raw()) && successor.is_some();
        Ok(Seen { nodes: vec![victim], evidence, is_proven })
    }

    /// Who leads, as the node that is furthest ahead sees it.
    async fn leader(&self, except: Option<usize>) -> Option<Leader> {
        let mut statuses = Vec::new();
        for index in (0..self.cluster.nodes.len()).filter(|index| Some(*index) != except) {
            statuses.extend(self.cluster.status(index).await);
        }
        let newest = statuses.iter().max_by_key(|status| (status.epoch, status.view))?;
        let leader = newest.leader?;
        let node =
            (0..self.cluster.nodes.len()).find(|index| self.cluster.node_id(*index) == Some(leader))?;
        Some(Leader { node, epoch: newest.epoch, view: newest.view })
    }

    async fn partition(&mut self) -> anyhow::Result<Seen> {
        let count = self.cluster.nodes.len();
        let everyone: Vec<usize> = (0..count).collect();
        // One alone leaves a quorum; of two halves none has one.
        let size = if self.random.random_bool(0.7) { 1 } else { count / 2 };
        let leader = self.leader(None).await.map(|leader| leader.node);
        let is_leader_struck = self.random.random_bool(0.5);
        let one_side: Vec<usize> = match leader {
            Some(leader) if size == 1 && is_leader_struck => vec![leader],
            _ => everyone.sample(&mut self.random, size).copied().collect(),
        };
        let other_side: Vec<usize> = everyone.into_iter().filter(|node| !one_side.contains(node)).collect();
        let (inside, outside) = (one_side[0], other_side[0]);

        let before = self.probes(inside, outside).await?;
        self.with_namespaces(|namespaces| {
            one_side
                .iter()
                .try_for_each(|one| other_side.iter().try_for_each(|other| namespaces.cut(*one, *other)))
        })?;
        let during = self.probes(inside, outside).await?;
        self.sleep(FAULT_MS).await;
        let still = self.probes(inside, outside).await?;
        self.with_namespaces(Namespaces::heal)?;
        let after = self.probes(inside, outside).await?;

        let word = |(there, back): (bool, bool)| format!("{}/{}", reached(there), reached(back));
        let evidence = vec![format!(
            "nodes {one_side:?} were cut off from {other_side:?}; connections from {inside} to {outside} and back: before \
             {}, at the beginning {}, at the end {}, afterwards {}",
            word(before),
            word(during),
            word(still),
            word(after)
        )];
        let cut = (false, false);
        let is_proven = before == (true, true) && during == cut && still == cut && after == (true, true);
        Ok(Seen { nodes: one_side, evidence, is_proven })
    }

    async fn probes(&self, one: usize, other: usize) -> anyhow::Result<(bool, bool)> {
        Ok((self.cluster.reaches(one, other).await?, self.cluster.reaches(other, one).await?))
    }

    fn with_namespaces(&self, work: impl FnOnce(&Namespaces) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.cluster.namespaces.as_ref().map_or(Ok(()), work)
    }
}

fn reached(is_reached: bool) -> &'static str {
    if is_reached { "ok" } else { "none" }
}
