//! The load: clients that read, put and compare-and-set a few keys through all of the nodes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aegis_rpc::{Client, ClientError, Consistency, ErrorCode, KvEntry, ProposalState, Submission, Submit};
use aegis_types::{Canonical as _, Domain, Keypair, Proposal, ProposalBody};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::cluster::Cluster;
use super::operation::{Call, Content, Operation, Outcome};

/// How long a node is asked to wait for a write: about as long as a change of views takes, so that some outcomes stay unknown.
const WRITE_TIMEOUT_MS: u64 = 3_000;
/// How often a write whose outcome is unknown is sent again, with the same key.
const RETRIES: usize = 3;
/// Pause after a node that does not answer at all.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a key is used. Short histories are searched fast, and faults last longer than one generation of keys at times and
/// shorter at others.
const GENERATION: Duration = Duration::from_secs(12);
/// How long proposals stay valid: longer than any run's faults.
const LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// What all clients share.
pub struct Load {
    /// The network.
    pub cluster: Arc<Cluster>,
    /// A client of each node.
    pub clients: Vec<Arc<Client>>,
    /// The chain that is signed for.
    pub domain: Domain,
    /// How many keys are in use at a time.
    pub keys: u64,
    /// When the run began.
    pub start: Instant,
    /// Set when the clients are to end.
    pub is_over: AtomicBool,
    /// Every operation, by key.
    pub history: Mutex<BTreeMap<String, Vec<Operation>>>,
    /// Reads that were refused or broke off.
    pub failed_reads: AtomicU64,
    /// Writes that certainly had no effect.
    pub refused_writes: AtomicU64,
    /// Writes that were sent again.
    pub retries: AtomicU64,
}

impl Load {
    /// Makes clients for all nodes.
    ///
    /// # Errors
    /// When no node says which chain it is.
    pub async fn new(cluster: Arc<Cluster>, keys: u64, reads: Consistency) -> anyhow::Result<Self> {
        let clients = (0..cluster.nodes.len())
            .map(|index| Ok(Arc::new(cluster.client(index)?.reading(reads))))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let status =
            cluster.status(0).await.ok_or_else(|| anyhow::anyhow!("node 0 does not say its status"))?;
        Ok(Self {
            cluster,
            clients,
            domain: Domain::new(status.chain_id, status.genesis),
            keys,
            start: Instant::now(),
            is_over: AtomicBool::new(false),
            history: Mutex::default(),
            failed_reads: AtomicU64::new(0),
            refused_writes: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        })
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn record(&self, key: &str, operation: Operation) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.entry(key.to_owned()).or_default().push(operation);
    }

    /// Reads a key through a node, and records what it says.
    pub async fn read(&self, client: usize, node: usize, key: &str) -> Option<Content> {
        let invoked_ns = self.now_ns();
        let (asked, key_asked) = (self.clients[node].clone(), key.to_owned());
        let reading = async move { asked.kv_get(&key_asked).await };
        let content = match self.cluster.nodes[node].gateway().run(reading).await {
            Ok(Ok(entry)) => Some(content_of(&entry)),
            Ok(Err(ClientError::Api(error))) if error.code == ErrorCode::NotFound => Some(Content::default()),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(content) = content else {
            self.failed_reads.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let (call, outcome) = (Call::Read, Outcome::Found(content));
        self.record(key, Operation { client, node, call, invoked_ns, outcome, returned_ns: self.now_ns() });
        Some(content)
    }
}

/// What a read found. Bytes that no client wrote stand as a value that none did, which no order explains.
fn content_of(entry: &KvEntry) -> Content {
    let value = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
    Content { version: entry.version, value: Some(value.unwrap_or(u64::MAX)) }
}

/// One client, which has one operation under way at a time.
pub struct Worker {
    load: Arc<Load>,
    number: usize,
    key: Keypair,
    random: StdRng,
    /// The version that this client saw last, by key.
    seen: BTreeMap<String, u64>,
    written: u64,
}

impl Worker {
    /// A client with its own account.
    pub fn new(load: Arc<Load>, number: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        let key = Keypair::from_seed(&random.random());
        Self { load, number, key, random, seen: BTreeMap::new(), written: 0 }
    }

    /// Asks and asks until the run is over.
    pub async fn run(mut self) {
        while !self.load.is_over.load(Ordering::Relaxed) {
            let generation = self.load.start.elapsed().as_secs() / GENERATION.as_secs();
            let slot = self.random.random_range(0..self.load.keys);
            let key = format!("lin/{generation}/{slot}");
            let node = self.random.random_range(0..self.load.clients.len());
            match self.random.random_range(0..4) {
                0 | 1 => match self.load.read(self.number, node, &key).await {
                    Some(content) => drop(self.seen.insert(key, content.version)),
                    None => tokio::time::sleep(PAUSE).await,
                },
                2 => {
                    let value = self.fresh_value();
                    self.write(node, &key, Call::Put { value }).await;
                }
                _ => {
                    let expected = self.seen.get(&key).copied().unwrap_or_default();
                    let value = self.fresh_value();
                    self.write(node, &key, Call::Cas { expected, value }).await;
                }
            }
        }
    }

    /// A value that nobody wrote before.
    fn fresh_value(&mut self) -> u64 {
        self.written += 1;
        ((self.number as u64 + 1) << 32) | self.written
    }

    async fn write(&mut self, node: usize, key: &str, call: Call) {
        let Some(body) = body_of(key, call) else { return };
        let expiry = unix_ms() + LIFETIME_MS;
        let name = format!("{}-{}", self.number, self.written);
        let Ok(proposal) = Proposal::sign(body, expiry, name, &self.key, &self.load.domain) else { return };
        let encoding = proposal.encode();
        let (number, invoked_ns) = (self.number, self.load.now_ns());
        let (mut node, mut outcome) = (node, Outcome::Unknown);
        let is_patient = self.random.random_bool(0.5);
        let mut may_have_effect = false;
        for attempt in 0..=RETRIES {
            if attempt > 0 {
                self.load.retries.fetch_add(1, Ordering::Relaxed);
                node = self.random.random_range(0..self.load.clients.len());
            }
            match self.submit(node, encoding.clone()).await {
                Sent::Done(done) => {
                    outcome = done;
                    break;
                }
                Sent::Refused => tokio::time::sleep(PAUSE).await,
                Sent::Unknown => may_have_effect = true,
            }
            if !is_patient {
                break;
            }
        }
        match outcome {
            Outcome::Unknown if !may_have_effect => {
                self.load.refused_writes.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Outcome::Written { version } => drop(self.seen.insert(key.to_owned(), version)),
            Outcome::Found(_) | Outcome::Mismatch | Outcome::Unknown => {}
        }
        let returned_ns = self.load.now_ns();
        self.load.record(key, Operation { client: number, node, call, invoked_ns, outcome, returned_ns });
    }

    async fn submit(&self, node: usize, encoding: Vec<u8>) -> Sent {
        let asked = self.load.clients[node].clone();
        let submit = Submit { timeout_ms: WRITE_TIMEOUT_MS, ..Submit::signed(encoding) };
        let submitting = async move { asked.submit(submit).await };
        match self.load.cluster.nodes[node].gateway().run(submitting).await {
            Ok(Ok(submission)) => outcome_of(&submission).map_or(Sent::Unknown, Sent::Done),
            Ok(Err(ClientError::Api(error))) => match error.code {
                // The interface promises that nothing was done.
                ErrorCode::Busy | ErrorCode::NotReady => Sent::Refused,
                _ => Sent::Unknown,
            },
            Ok(Err(error)) if error.is_unreachable() => Sent::Refused,
            Ok(Err(_)) | Err(_) => Sent::Unknown,
        }
    }
}

/// What sending a write once told.
enum Sent {
    Done(Outcome),
    /// It certainly has no effect.
    Refused,
    Unknown,
}

fn outcome_of(submission: &Submission) -> Option<Outcome> {
    let outcome = submission.outcome.as_ref()?;
    match outcome.state {
        ProposalState::Applied => outcome.version.map(|version| Outcome::Written { version }),
        ProposalState::Rejected if outcome.code.as_deref() == Some("version-mismatch") => {
            Some(Outcome::Mismatch)
        }
        ProposalState::Rejected
        | ProposalState::Admitted
        | ProposalState::Open
        | ProposalState::Passed
        | ProposalState::Failed => None,
    }
}

fn body_of(key: &str, call: Call) -> Option<ProposalBody> {
    let bytes = |value: u64| value.to_string().into_bytes();
    match call {
        Call::Read => None,
        Call::Put { value } => Some(ProposalBody::KvPut { key: key.to_owned(), value: bytes(value) }),
        Call::Cas { expected, value } => {
            let (key, value) = (key.to_owned(), bytes(value));
            Some(ProposalBody::KvCas { key, expected_version: expected, value })
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
