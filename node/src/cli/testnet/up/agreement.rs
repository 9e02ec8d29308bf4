//! Waiting until the nodes of a new network agree, and showing it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aegis_config::GenesisFile;
use aegis_rpc::api::{Status, Submission, Submit};
use aegis_rpc::{Client, ClientConfig};
use aegis_types::{Canonical as _, Height, Proposal, ProposalBody, Weight};
use futures::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

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

/// A network whose processes were started.
pub struct Starting<'a> {
    /// What it consists of.
    pub record: &'a Record,
    /// Its folder.
    pub folder: &'a Path,
    /// Which of its nodes have ended by themselves, by position.
    pub ended: watch::Receiver<BTreeSet<usize>>,
}

/// Waits until all nodes that run answer and go on together, or until time is up and a quorum does. Which of all do.
///
/// # Errors
/// When fewer than a quorum do.
pub async fn wait(
    clients: &[Client],
    starting: &Starting<'_>,
    timeout: Duration,
    output: Output,
) -> Result<Vec<bool>, Failure> {
    let progress = Progress::new(output);
    let started = Instant::now();
    let mut first_height: Option<Height> = None;
    let outcome = loop {
        let statuses = look(clients).await;
        let expected = clients.len().saturating_sub(starting.ended.borrow().len());
        let answering = statuses.iter().flatten().count();
        let highest = statuses.iter().flatten().map(|status| status.executed_height).max();
        first_height = first_height.or(highest);
        progress.show(answering, clients.len(), highest, started.elapsed());
        let going_on = going_on(&statuses, first_height);
        let count = going_on.iter().filter(|goes_on| **goes_on).count();
        if expected > 0 && count >= expected {
            break Ok(going_on);
        }
        if answering >= expected
            && expected < clients.len()
            && is_one_epoch(&statuses)
            && let Some(failure) = too_few(&statuses)
        {
            break Err(failure);
        }
        if started.elapsed() > timeout {
            let is_quorum = weight(&statuses, &going_on) >= quorum(&statuses).unwrap_or(Weight(u64::MAX));
            break if is_quorum { Ok(going_on) } else { Err(too_late(&statuses, starting, timeout)) };
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    progress.finish();
    outcome
}

/// Which nodes have executed more than `first`, and about as much as the others.
fn going_on(statuses: &[Option<Status>], first: Option<Height>) -> Vec<bool> {
    let highest = statuses.iter().flatten().map(|status| status.executed_height).max().unwrap_or_default();
    let goes_on = |status: &Option<Status>| {
        status.as_ref().is_some_and(|status| {
            first.is_some_and(|first| status.executed_height > first)
                && highest.distance_above(status.executed_height) <= HEIGHT_SPREAD_MAX
        })
    };
    statuses.iter().map(goes_on).collect()
}

/// The weight of the nodes that are `counted`, each as it sees its own.
fn weight(statuses: &[Option<Status>], counted: &[bool]) -> Weight {
    let weights = statuses.iter().zip(counted).filter(|(_, is_counted)| **is_counted);
    weights.fold(Weight::ZERO, |sum, (status, _)| {
        sum.plus(status.as_ref().map_or(Weight::ZERO, |status| status.weight))
    })
}

/// The quorum of the newest epoch that a node knows.
fn quorum(statuses: &[Option<Status>]) -> Option<Weight> {
    statuses.iter().flatten().max_by_key(|status| status.epoch).map(|status| status.quorum)
}

/// Whether all that answer are in the same epoch: weights of different ones cannot be added.
fn is_one_epoch(statuses: &[Option<Status>]) -> bool {
    let mut epochs = statuses.iter().flatten().map(|status| status.epoch);
    let first = epochs.next();
    epochs.all(|epoch| Some(epoch) == first)
}

/// Why the nodes that answer cannot agree, if they are too few.
fn too_few(statuses: &[Option<Status>]) -> Option<Failure> {
    let quorum = quorum(statuses)?;
    let answering: Vec<bool> = statuses.iter().map(Option::is_some).collect();
    let weight = weight(statuses, &answering);
    (weight < quorum).then(|| {
        Failure::new(format!(
            "too few nodes run to agree: those that do have the weight {weight}, and {quorum} is needed"
        ))
    })
}

async fn look(clients: &[Client]) -> Vec<Option<Status>> {
    join_all(clients.iter().map(|client| async {
        tokio::time::timeout(CALL_TIMEOUT, client.status()).await.ok().and_then(Result::ok)
    }))
    .await
}

fn too_late(statuses: &[Option<Status>], starting: &Starting<'_>, timeout: Duration) -> Failure {
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
    let log = home_of(starting.folder, worst).log_path();
    Failure::new(format!(
        "the {} nodes did not agree within {} s: {}",
        starting.record.nodes(),
        timeout.as_secs(),
        states.join("; ")
    ))
    .help(format!("a slow computer may need --timeout 5m; {} ends:\n{}", log.display(), log_tail(&log)))
}

/// Submits the network's first proposal, signed by the account of node 0.
///
/// # Errors
/// When it is not committed.
pub async fn first_proposal(
    client: &Client,
    folder: &Path,
    genesis: &GenesisFile,
) -> Result<Submission, Failure> {
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
    output: Output,
    last_line: std::cell::Cell<Duration>,
}

impl Progress {
    fn new(output: Output) -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, output, last_line: std::cell::Cell::new(Duration::ZERO) }
    }

    fn show(&self, answering: usize, nodes: usize, highest: Option<Height>, elapsed: Duration) {
        let height = highest.map_or_else(|| "no block yet".to_owned(), |height| format!("height {height}"));
        let line = format!(
            "{answering} of {nodes} nodes answer, {height}, {}.{} s",
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
