//! The load, and the judgement.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aegis_rpc::{Client, ClientError, ErrorCode, ProposalState, Submission, Submit};
use aegis_types::{Canonical as _, Domain, Keypair, Proposal, ProposalBody};
use anyhow::{Context as _, bail, ensure};

/// How long a node is asked to wait for a put.
const WRITE_TIMEOUT_MS: u64 = 3_000;
/// Pause after a node that does not answer.
const PAUSE: Duration = Duration::from_millis(50);
/// How long proposals stay valid: a put must be repeatable as long as nodes are down.
const LIFETIME_MS: u64 = 10 * 60 * 1_000;
/// A key of its own is put with every so many of a counter's puts.
const KEY_EVERY: u64 = 2;
/// How long all nodes may take to have everything in the end.
const SETTLE_TRIES: u32 = 1_200;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// What one writer was told is done.
#[derive(Debug, Default, Clone)]
struct Acknowledged {
    /// Puts to its counter.
    counts: u64,
    /// Puts of keys of their own, by number.
    keys: Vec<u64>,
}

/// All writers.
pub struct Writers {
    clients: Vec<Client>,
    domain: Domain,
    acknowledged: Vec<Mutex<Acknowledged>>,
    is_over: AtomicBool,
    /// Puts whose outcome was unknown at least once.
    pub unknown: AtomicU64,
}

impl Writers {
    /// So many writers over these clients.
    ///
    /// # Errors
    /// When no node says which chain it is.
    pub async fn new(clients: Vec<Client>, count: usize) -> anyhow::Result<Arc<Self>> {
        let status = clients.first().context("there is no node")?.status().await?;
        Ok(Arc::new(Self {
            clients,
            domain: Domain::new(status.chain_id, status.genesis),
            acknowledged: (0..count).map(|_| Mutex::default()).collect(),
            is_over: AtomicBool::new(false),
            unknown: AtomicU64::new(0),
        }))
    }

    /// Starts them.
    pub fn start(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<anyhow::Result<()>>> {
        (0..self.acknowledged.len())
            .map(|writer| {
                let writers = self.clone();
                tokio::spawn(async move { writers.write(writer).await })
            })
            .collect()
    }

    /// Lets them end after what they are doing.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// How many puts were acknowledged.
    pub fn total(&self) -> u64 {
        let of = |acknowledged: &Mutex<Acknowledged>| {
            let acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
            acknowledged.counts + acknowledged.keys.len() as u64
        };
        self.acknowledged.iter().map(of).sum()
    }

    async fn write(&self, writer: usize) -> anyhow::Result<()> {
        let seed = 100 + u8::try_from(writer).context("too many writers")?;
        let key = Keypair::from_seed(&[seed; 32]);
        let mut number = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            number += 1;
            let version = self.put(&key, &counter(writer), number, &format!("count-{number}")).await?;
            ensure!(version == number, "put {number} of writer {writer}'s counter made it version {version}");
            self.note(writer, |acknowledged| acknowledged.counts = number);
            if number % KEY_EVERY == 0 {
                let version = self.put(&key, &own(writer, number), number, &format!("key-{number}")).await?;
                ensure!(version == 1, "a key that was put once has version {version}");
                self.note(writer, |acknowledged| acknowledged.keys.push(number));
            }
        }
        Ok(())
    }

    fn note(&self, writer: usize, change: impl FnOnce(&mut Acknowledged)) {
        if let Some(acknowledged) = self.acknowledged.get(writer) {
            change(&mut acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Puts a value until that is known to be done; the version that it got.
    async fn put(&self, signer: &Keypair, key: &str, value: u64, once: &str) -> anyhow::Result<u64> {
        let body = ProposalBody::KvPut { key: key.to_owned(), value: value.to_string().into_bytes() };
        let encoding = Proposal::sign(body, unix_ms() + LIFETIME_MS, once, signer, &self.domain)?.encode();
        let mut node = usize::try_from(value).unwrap_or_default();
        let mut is_first = true;
        loop {
            node = (node + 1) % self.clients.len();
            let submit = Submit { timeout_ms: WRITE_TIMEOUT_MS, ..Submit::signed(encoding.clone()) };
            match self.clients[node].submit(submit).await {
                Ok(submission) => return version_of(&submission),
                // A node whose disk is gone may fail in any way before it ends.
                Err(ClientError::Api(error))
                    if !error.code.is_retryable() && error.code != ErrorCode::Internal =>
                {
                    bail!("{key}: {error}")
                }
                Err(_) => {
                    if std::mem::take(&mut is_first) {
                        self.unknown.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Checks on every node that all that was acknowledged is there, once.
    ///
    /// # Errors
    /// What is missing, or there twice.
    pub async fn judge(&self) -> anyhow::Result<()> {
        let mut highest = 0;
        for client in &self.clients {
            let status = client.status().await?;
            highest = highest.max(status.executed_height.0);
        }
        for (node, client) in self.clients.iter().enumerate() {
            self.wait_for(client, highest).await.with_context(|| format!("node {node}"))?;
            for writer in 0..self.acknowledged.len() {
                self.judge_writer(client, writer).await.with_context(|| format!("on node {node}"))?;
            }
        }
        Ok(())
    }

    async fn wait_for(&self, client: &Client, height: u64) -> anyhow::Result<()> {
        for _ in 0..SETTLE_TRIES {
            if client.status().await.is_ok_and(|status| status.executed_height.0 >= height) {
                return Ok(());
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        bail!("it does not reach block {height}, which another node has executed")
    }

    async fn judge_writer(&self, client: &Client, writer: usize) -> anyhow::Result<()> {
        let acknowledged = self.acknowledged[writer].lock().unwrap_or_else(PoisonError::into_inner).clone();
        if acknowledged.counts > 0 {
            let counter = client.kv_get(&counter(writer)).await?;
            let value = String::from_utf8_lossy(&counter.value).into_owned();
            ensure!(
                counter.version == acknowledged.counts && value == acknowledged.counts.to_string(),
                "writer {writer}'s counter has version {} and value {value} after {} puts",
                counter.version,
                acknowledged.counts
            );
        }
        for number in acknowledged.keys {
            let key = own(writer, number);
            let entry = client.kv_get(&key).await.with_context(|| format!("{key} was acknowledged"))?;
            ensure!(
                entry.version == 1 && *entry.value == *number.to_string().as_bytes(),
                "{key} has version {} and another value than was put",
                entry.version
            );
        }
        Ok(())
    }
}

fn version_of(submission: &Submission) -> anyhow::Result<u64> {
    let outcome = submission.outcome.as_ref().context("a committed put has no outcome")?;
    ensure!(outcome.state == ProposalState::Applied, "a put was not applied: {}", outcome.message);
    outcome.version.context("a put has no version")
}

fn counter(writer: usize) -> String {
    format!("chaos/{writer}/count")
}

fn own(writer: usize, number: u64) -> String {
    format!("chaos/{writer}/key/{number}")
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
