//! The load: signed puts at a fixed rate, each latency from the moment at which the put should have left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aegis_rpc::proto;
use aegis_rpc::proto::node_client::NodeClient;
use aegis_rpc::proto::submit_stream_response::Result as Reply;
use aegis_types::{Canonical as _, Domain, Keypair, Proposal, ProposalBody};
use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

/// Streams to each node: a node serves a bounded number of proposals of one stream at a time.
const STREAMS_PER_NODE: usize = 4;
/// Accounts that sign, one after the other.
const ACCOUNTS: usize = 256;
/// Puts that have left the generator and not yet the stream; more wait, and their time runs.
const WAITING: usize = 1_024;
/// How long a node may take with one put.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long proposals stay valid.
const LIFETIME: Duration = Duration::from_secs(120);
/// From the connections to the first put.
const HEAD_START: Duration = Duration::from_millis(50);

/// Three significant digits, from a microsecond to a minute.
const LATENCY_MAX_US: u64 = 60_000_000;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Puts a second, over all nodes.
    pub rate: u64,
    /// Bytes of each value.
    pub payload: usize,
    /// What is sent first and not counted.
    pub warm_up: Duration,
    /// How long puts are sent that count.
    pub duration: Duration,
    /// Tells runs apart: keys and values follow from it.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Puts that count and were sent.
    pub sent: u64,
    /// Of these, puts whose certificate came.
    pub committed: u64,
    /// From the intended moment of sending to the certificate, in microseconds.
    pub latency: Histogram<u64>,
    /// Refusals and errors by code.
    pub errors: BTreeMap<String, u64>,
    /// From the first counted put's intended moment to the last certificate of one.
    pub elapsed: Duration,
    /// How late the latest put left, compared with its intended moment: what the generator itself was behind.
    pub behind: Duration,
}

/// One stream's share of the load.
struct Share {
    domain: Arc<Domain>,
    load: Load,
    start: Instant,
    stream: usize,
    streams: usize,
}

impl Share {
    /// The intended moment of a put; numbers count over all streams.
    fn due(&self, number: u64) -> Instant {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.load.rate.max(1));
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn is_counted(&self, number: u64) -> bool {
        self.due(number) >= self.start + self.load.warm_up
    }

    /// Signs and sends until all of this stream's puts have left. How many count, and how late the last one was.
    async fn send(
        &self,
        sender: mpsc::Sender<proto::SubmitStreamRequest>,
    ) -> anyhow::Result<(u64, Duration)> {
        let end = self.start + self.load.warm_up + self.load.duration;
        let mut rng = StdRng::seed_from_u64(self.load.seed ^ (self.stream as u64) << 32);
        let accounts: Vec<Keypair> = (0..ACCOUNTS.div_ceil(self.streams))
            .map(|_| {
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                Keypair::from_seed(&seed)
            })
            .collect();
        let (mut sent, mut behind) = (0, Duration::ZERO);
        let mut value = vec![0; self.load.payload];
        for number in (self.stream as u64..).step_by(self.streams) {
            let due = self.due(number);
            if due >= end {
                break;
            }
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            rng.fill_bytes(&mut value);
            let account =
                &accounts[usize::try_from(number).unwrap_or_default() / self.streams % accounts.len()];
            let signed = self.sign(account, number, &value)?;
            let request = proto::SubmitStreamRequest {
                tag: number,
                signed,
                wait: proto::Wait::Commit.into(),
                timeout_ms: u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            };
            sender.send(request).await.context("the node ended the stream")?;
            sent += u64::from(self.is_counted(number));
            behind = behind.max(due.elapsed());
        }
        Ok((sent, behind))
    }

    fn sign(&self, account: &Keypair, number: u64, value: &[u8]) -> anyhow::Result<Vec<u8>> {
        let body = ProposalBody::KvPut {
            key: format!("bench/{}/{}", self.load.seed, number % 100_000),
            value: value.to_vec(),
        };
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + LIFETIME;
        let expires = u64::try_from(expires.as_millis())?;
        let once = format!("{}-{number}", self.load.seed);
        Ok(Proposal::sign(body, expires, &once, account, &self.domain)?.encode())
    }

    /// Takes the replies to the end.
    async fn receive(
        &self,
        mut replies: tonic::Streaming<proto::SubmitStreamResponse>,
    ) -> anyhow::Result<(Histogram<u64>, BTreeMap<String, u64>, Option<Instant>)> {
        let mut latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?;
        let mut errors = BTreeMap::new();
        let mut last = None;
        while let Some(reply) = replies.next().await {
            let reply = reply.context("a stream broke")?;
            let now = Instant::now();
            if !self.is_counted(reply.tag) {
                continue;
            }
            match reply.result {
                Some(Reply::Submission(submission)) => {
                    ensure!(submission.certificate.is_some(), "a committed put came without certificate");
                    let micros = now.duration_since(self.due(reply.tag)).as_micros();
                    latency.saturating_record(u64::try_from(micros).unwrap_or(LATENCY_MAX_US).max(1));
                    last = Some(now);
                }
                Some(Reply::Error(error)) => *errors.entry(error.code).or_insert(0) += 1,
                None => *errors.entry("empty_reply".to_owned()).or_insert(0) += 1,
            }
        }
        Ok((latency, errors, last))
    }
}

/// Sends the load to these nodes, evenly, and waits for all replies. `progress` is told the share that has been sent.
///
/// # Errors
/// When a node cannot be reached, or ends a stream.
pub async fn run(load: &Load, endpoints: &[String], domain: &Domain) -> anyhow::Result<Outcome> {
    ensure!(load.rate > 0, "a load needs a rate above 0");
    let streams = endpoints.len() * STREAMS_PER_NODE;
    let domain = Arc::new(domain.clone());
    let mut connected = Vec::new();
    for stream in 0..streams {
        let endpoint = &endpoints[stream % endpoints.len()];
        let client = NodeClient::connect(endpoint.clone()).await;
        connected.push(client.with_context(|| format!("{endpoint} cannot be reached"))?);
    }
    let start = Instant::now() + HEAD_START;
    let mut tasks = Vec::new();
    for (stream, mut client) in connected.into_iter().enumerate() {
        let share = Share { domain: domain.clone(), load: load.clone(), start, stream, streams };
        tasks.push(tokio::spawn(async move {
            let (sender, receiver) = mpsc::channel(WAITING);
            let replies = client.submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
            let (sent, received) = tokio::join!(share.send(sender), share.receive(replies));
            let ((sent, behind), (latency, errors, last)) = (sent?, received?);
            anyhow::Ok((sent, behind, latency, errors, last))
        }));
    }
    let counted_from = start + load.warm_up;
    let mut outcome = Outcome {
        sent: 0,
        committed: 0,
        latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?,
        errors: BTreeMap::new(),
        elapsed: Duration::ZERO,
        behind: Duration::ZERO,
    };
    for task in tasks {
        let (sent, behind, latency, errors, last) = task.await??;
        outcome.sent += sent;
        outcome.behind = outcome.behind.max(behind);
        outcome.latency.add(&latency)?;
        for (code, count) in errors {
            *outcome.errors.entry(code).or_insert(0) += count;
        }
        if let Some(last) = last {
            outcome.elapsed = outcome.elapsed.max(last.duration_since(counted_from));
        }
    }
    outcome.committed = outcome.latency.len();
    Ok(outcome)
}
