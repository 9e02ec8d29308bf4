//! Waiting until the nodes of a new network agree, and showing it.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aegis_config::GenesisFile;
use aegis_rpc::api::{Status, Submission, Submit};
use aegis_rpc::{Client, ClientConfig};
use aegis_types::{Canonical as _, Height, Proposal, ProposalBody};
use futures::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Exit, Failure, Output};
use crate::testnet::plan::home_of;
use crate::testnet::processes::log_tail;
use crate::testnet::record::Record;

/// Between two looks at the nodes.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long one look may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two progress lines where nobody sees a bar.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How far apart heights of nodes may be that agree: they are asked one after the other while blocks are made.
const HEIGHT_SPREAD_MAX: u64 = 4;
/// Validity of the first proposal.
const EXPIRY: Duration = Duration::from_secs(600);
/// How long the first proposal may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// A client for each node.
///
/// # Errors
/// When one cannot be made.
pub fn clients(record: &Record) -> Result<Vec<Client>, Failure> {
    let connect = |url: String| {
        let config = ClientConfig { url, token: None, ca: None, timeout: COMMIT_TIMEOUT + CALL_TIMEOUT };
        Client::connect(config).map_err(|error| Failure::new(error.to_string()))
    };
    record.places().iter().map(|place| connect(format!("http://127.0.0.1:{}", place.rpc_port))).collect()
}

/// Waits until all nodes answer and go on together.
///
/// # Errors
/// When they do not in time.
pub async fn wait(
    clients: &[Client],
    record: &Record,
    folder: &Path,
    timeout: Duration,
    output: Output,
) -> Result<(), Failure> {
    let progress = Progress::new(clients.len(), output);
    let started = Instant::now();
    let mut first_height: Option<Height> = None;
    loop {
        let statuses = look(clients).await;
        let answering = statuses.iter().flatten().count();
        let highest = statuses.iter().flatten().map(|status| status.executed_height).max();
        let lowest = statuses.iter().flatten().map(|status| status.executed_height).min();
        first_height = first_height.or(highest);
        progress.show(answering, highest, started.elapsed());
        if answering == clients.len()
            && let (Some(first), Some(lowest), Some(highest)) = (first_height, lowest, highest)
            && lowest > first
            && highest.distance_above(lowest) <= HEIGHT_SPREAD_MAX
        {
            progress.finish();
            return Ok(());
        }
        if started.elapsed() > timeout {
            progress.finish();
            return Err(too_late(&statuses, record, folder, timeout));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn look(clients: &[Client]) -> Vec<Option<Status>> {
    join_all(clients.iter().map(|client| async {
        tokio::time::timeout(CALL_TIMEOUT, client.status()).await.ok().and_then(Result::ok)
    }))
    .await
}

fn too_late(statuses: &[Option<Status>], record: &Record, folder: &Path, timeout: Duration) -> Failure {
    let state = |(index, status): (usize, &Option<Status>)| match status {
        Some(status) => {
            format!(
                "node{index} at height {}, view {}, {} peers",
                status.executed_height, status.view, status.peers
            )
        }
        None => format!("node{index} does not answer"),
    };
    let states: Vec<_> = statuses.iter().enumerate().map(state).collect();
    let worst = statuses.iter().position(Option::is_none).unwrap_or_default();
    let log = home_of(folder, worst).log_path();
    Failure::new(format!(
        "the {} nodes did not agree within {} s: {}",
        record.nodes(),
        timeout.as_secs(),
        states.join("; ")
    ))
    .help(format!(
        "a slow computer may need --timeout 5m; {} ends:\n{}",
        log.display(),
        log_tail(log.clone())
    ))
}

/// Submits the network's first proposal, signed by the account of node 0.
///
/// # Errors
/// When it is not committed.
pub async fn first_proposal(
    clients: &[Client],
    folder: &Path,
    genesis: &GenesisFile,
) -> Result<Submission, Failure> {
    let client = clients.first().ok_or_else(|| Failure::new("the network has no nodes"))?;
    let key = home_of(folder, 0).read_account_key()?;
    let now = SystemTime::now();
    let expiry = now.checked_add(EXPIRY).and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let expires_at_ms = expiry.and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(u64::MAX);
    let value = format!("up since {}", humantime::format_rfc3339_seconds(now)).into_bytes();
    let body = ProposalBody::KvPut { key: "testnet/hello".to_owned(), value };
    let idempotency_key = hex::encode(rand::random::<[u8; 16]>());
    let proposal = Proposal::sign(body, expires_at_ms, idempotency_key, &key, &genesis.genesis.domain())?;
    let mut request = Submit::signed(proposal.encode());
    request.timeout_ms = u64::try_from(COMMIT_TIMEOUT.as_millis()).unwrap_or(Submit::TIMEOUT_MS_DEFAULT);
    client.submit(request).await.map_err(|error| {
        Failure::new(format!("the first proposal was not agreed on: {error}")).exit(Exit::Failed)
    })
}

/// What is shown while it waits: a line that changes on a terminal, some lines elsewhere.
struct Progress {
    bar: ProgressBar,
    nodes: usize,
    output: Output,
    last_line: std::cell::Cell<Duration>,
}

impl Progress {
    fn new(nodes: usize, output: Output) -> Self {
        let bar = ProgressBar::new(nodes as u64);
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, nodes, output, last_line: std::cell::Cell::new(Duration::ZERO) }
    }

    fn show(&self, answering: usize, highest: Option<Height>, elapsed: Duration) {
        let height = highest.map_or_else(|| "no block yet".to_owned(), |height| format!("height {height}"));
        let line = format!(
            "{answering} of {} nodes answer, {height}, {}.{} s",
            self.nodes,
            elapsed.as_secs(),
            elapsed.subsec_millis() / 100
        );
        if self.bar.is_hidden() {
            if elapsed.saturating_sub(self.last_line.get()) >= LINE_INTERVAL {
                self.last_line.set(elapsed);
                self.output.note(&line);
            }
        } else {
            self.bar.set_message(line);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
