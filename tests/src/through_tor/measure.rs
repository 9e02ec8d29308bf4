//! The figures of one deployment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aegis_rpc::{Client, Status, Submit};
use aegis_types::{Canonical as _, Domain, Keypair, Proposal, ProposalBody};
use anyhow::{Context as _, bail};

use super::nodes::{Nodes, VALIDATORS};

/// How long a stage may take.
const PATIENCE: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(10);
/// How long a node is asked to wait for a put.
const PUT_TIMEOUT_MS: u64 = 60_000;
/// How long proposals stay valid.
const LIFETIME_MS: u64 = 10 * 60 * 1_000;
/// Writers at once, for the throughput.
const WRITERS: usize = 128;
/// Bytes of a value.
const VALUE_BYTES: usize = 100;

/// What was measured. Times that do not exist without Tor are absent.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// From the start of a process to its being in the Tor network, the slowest node.
    pub bootstrap: Option<Duration>,
    /// From the start of a process to its onion service being published, the slowest node.
    pub published: Option<Duration>,
    /// From the start of the second process to its first connection.
    pub first_connection: Duration,
    /// From the first start to everybody being connected to everybody.
    pub all_connected: Duration,
    /// Median round trip over all links, as pings measure it.
    pub round_trip: Duration,
    /// Median time of a put, one after the other.
    pub commit_p50: Duration,
    /// The time that one put in a hundred exceeds.
    pub commit_p99: Duration,
    /// Acknowledged puts a second, of many writers at once.
    pub puts_per_second: f64,
    /// View changes that validators started between the first put and the last.
    pub view_changes: u64,
}

/// Measures running nodes: `puts` one after the other, then writers for `load`.
///
/// # Errors
/// When a stage takes longer than it may.
pub async fn measure(nodes: &Nodes, puts: usize, load: Duration) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let first = *nodes.started.first().context("there is a node")?;
    let second = *nodes.started.get(1).context("there is a second node")?;
    wait(&nodes.clients[1], |status| status.peers > 0).await?;
    figures.first_connection = second.elapsed();
    for (client, started) in nodes.clients.iter().zip(&nodes.started) {
        let status = client.status().await?;
        if status.tor.is_none() {
            continue;
        }
        wait(client, |status| status.tor.as_ref().is_some_and(|tor| tor.percent == 100)).await?;
        figures.bootstrap = figures.bootstrap.max(Some(started.elapsed()));
        wait(client, |status| status.tor.as_ref().is_some_and(|tor| tor.reachable)).await?;
        figures.published = figures.published.max(Some(started.elapsed()));
    }
    for client in &nodes.clients {
        wait(client, |status| status.peers as usize + 1 >= VALIDATORS).await?;
    }
    figures.all_connected = first.elapsed();
    let status = nodes.clients[0].status().await?;
    let domain = Domain::new(status.chain_id, status.genesis);
    let writer = |seed: u8| Writer { domain: domain.clone(), key: Keypair::from_seed(&[seed; 32]) };
    let before = view_changes(&nodes.clients).await?;
    let mut times = Vec::new();
    for number in 0..puts {
        let began = Instant::now();
        writer(1).put(&nodes.clients[number % VALIDATORS], number).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    figures.commit_p50 = times[times.len() / 2];
    figures.commit_p99 = times[(times.len() * 99 / 100).min(times.len() - 1)];
    figures.puts_per_second = throughput(&nodes.clients, &domain, load).await?;
    figures.view_changes = view_changes(&nodes.clients).await?.saturating_sub(before);
    figures.round_trip = round_trip(&nodes.clients).await?;
    Ok(figures)
}

async fn wait(client: &Client, is_wanted: impl Fn(&Status) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = client.status().await?;
        if is_wanted(&status) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("waited in vain; the node's status is {status:#?}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// View changes that all nodes have started so far.
async fn view_changes(clients: &[Arc<Client>]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for client in clients {
        let telemetry = client.telemetry().await?;
        let line = telemetry.lines().find_map(|line| line.strip_prefix("aegis_view_changes_total "));
        sum += line.context("telemetry has no aegis_view_changes_total")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}

async fn round_trip(clients: &[Arc<Client>]) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.peers().await?.iter().filter_map(|peer| peer.latency_us));
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).context("no link was measured")?;
    Ok(Duration::from_micros(*median))
}

async fn throughput(clients: &[Arc<Client>], domain: &Domain, load: Duration) -> anyhow::Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut writers = Vec::new();
    for index in 0..WRITERS {
        let writer = Writer {
            domain: domain.clone(),
            key: Keypair::from_seed(&[100 + u8::try_from(index).unwrap_or(u8::MAX - 100); 32]),
        };
        let (client, done) = (clients[index % clients.len()].clone(), done.clone());
        writers.push(tokio::spawn(async move {
            let mut number = 0;
            while began.elapsed() < load {
                writer.put(&client, number).await?;
                number += 1;
                // What ends after the time was done by it in part: it is not counted.
                if began.elapsed() < load {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            anyhow::Ok(())
        }));
    }
    for writer in writers {
        writer.await??;
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(done.load(Ordering::Relaxed) as f64 / load.as_secs_f64())
}

struct Writer {
    domain: Domain,
    key: Keypair,
}

impl Writer {
    async fn put(&self, client: &Client, number: usize) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let body = ProposalBody::KvPut {
            key: format!("{}/{number}", self.key.account_id()),
            value: vec![7; VALUE_BYTES],
        };
        let expiry = u64::try_from(now)?.saturating_add(LIFETIME_MS);
        let proposal = Proposal::sign(body, expiry, &format!("put-{number}"), &self.key, &self.domain)?;
        let submit = Submit { timeout_ms: PUT_TIMEOUT_MS, ..Submit::signed(proposal.encode()) };
        client.submit(submit).await?;
        Ok(())
    }
}
