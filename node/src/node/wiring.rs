//! Starts the parts of a node, joins them, and stops them in order.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use aegis_config::{Config, ConsensusSection};
use aegis_ledger::LedgerEvent;
use aegis_p2p::{EventReceiver, Network};
use aegis_types::{Genesis, Keypair, ValidatorId};
use anyhow::{Context as _, anyhow, bail};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::admission::{
    Admission, AdmissionEnds, SealRule, announce_batches, examine_proposals, hand_on_again, seal_batches,
};
use super::api::{Api, Endpoint};
use super::clock::{Clock, unix_ms};
use super::context::NodeContext;
use super::driver::{BLOCKS_MAX, Driver, DriverRequest, INPUTS_MAX, Ports, REQUESTS_MAX};
use super::executor::Executor;
use super::mempool::Mempool;
use super::metrics::{LiveReports, Measured, Observation, agreed, publish, sampler};
use super::prune::{Pruner, Retention};
use super::read_index::{self, ReadIndex, Reader};
use super::read_only::{Condition, Room, is_disk_trouble, is_little_space};
use super::recovery::{RecoverOptions, Recovered, recover};
use super::restart::RestartHandle;
use super::settings::{network_config, rpc_config};
use super::snapshot::maker::{MakerOptions, SnapshotMaker};
use super::snapshot::room::SnapshotRoom;
use super::state_sync::StateSync;
use super::stop::Stopped;
use super::sync::SyncHandle;
use super::telemetry::Telemetry;
use super::watch::WatchHub;
use super::{RunOptions, Started, events, logging, reactions, regain, shortcut, state_sync, sync};
use crate::home::Home;

/// How long the parts and the requests of clients may take to end, side by side.
const STOP_TIMEOUT: Duration = Duration::from_millis(3_500);
/// How long connections may take to end after that. Together it is less than the 5 s that the command line gives the process.
const NETWORK_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long questions and answers under way may hold the stores before a restart of the parts: longer than a request takes.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(20);
const RELEASE_POLL: Duration = Duration::from_millis(20);
/// After so long without trouble, the disk counts as well again.
const WELL_AFTER: Duration = Duration::from_secs(120);
/// Blocks whose events may wait for the node's own reactions.
const REACTIONS_MAX: usize = 256;

/// Runs a node until `shutdown` is cancelled or a part of it fails.
///
/// # Errors
/// What kept it from starting, or made it stop.
pub async fn run(options: RunOptions, shutdown: CancellationToken) -> anyhow::Result<()> {
    logging::start(&options.config.telemetry)?;
    let clock = Clock::start();
    let RunOptions { home, config, genesis, node_key, account_key, token, announce } = options;
    let names = home.read_genesis()?.names;
    info!(node = %node_key.validator_id(), chain = %genesis.chain, genesis = %genesis.hash(), "starting");

    let recovered = match recover_home(&home, &genesis, &node_key, &config, clock, &shutdown).await {
        Err(error) if error.is::<Stopped>() => {
            info!("stopped");
            return Ok(());
        }
        recovered => recovered?,
    };
    let (network, network_events) =
        aegis_p2p::start(&node_key, network_config(&config, &genesis, &home)?).await?;

    let (panics, panicked) = mpsc::channel(1);
    report_panics(panics);
    let transport = network.clone();
    let setting = Setting { genesis, node_key, account_key, network: transport, clock, config };
    let events = Arc::new(Mutex::new(network_events));
    let room = Room::new(home.data_path(), &setting.config.store);
    let mut lives = Lives { setting, home, names, token, events, announce: Some(announce), panicked, room };
    let mut outcome = lives.live(recovered, &shutdown).await;
    while let Ok(End::Again) = outcome {
        info!("starting the parts again");
        let Setting { genesis, node_key, config, .. } = &lives.setting;
        outcome = match recover_home(&lives.home, genesis, node_key, config, clock, &shutdown).await {
            Ok(recovered) => lives.live(recovered, &shutdown).await,
            Err(error) if error.is::<Stopped>() => Ok(End::Over),
            Err(error) if is_disk_trouble(&error) => {
                error!(reason = format!("{error:#}"), "the data folder cannot be opened again yet");
                tokio::select! {
                    () = shutdown.cancelled() => Ok(End::Over),
                    () = lives.room.returns() => Ok(End::Again),
                }
            }
            Err(error) => Err(error),
        };
    }
    if tokio::time::timeout(NETWORK_STOP_TIMEOUT, network.shutdown()).await.is_err() {
        error!("connections did not end in time");
    }
    info!("stopped");
    outcome.map(drop)
}

/// How a life of the parts ended, when nothing failed.
enum End {
    /// The node stops.
    Over,
    /// A part has asked for a restart.
    Again,
}

/// Why a node only answers.
struct Trouble {
    reason: String,
    /// Whether the disk is full, and not broken.
    is_space: bool,
}

/// Gives back the room of a state that is being fetched; it may be what has filled the disk, and can be fetched again.
async fn give_up_state_sync(node: Arc<NodeContext>) {
    node.state_sync.working().await;
    node.state_sync.discard().await;
}

/// What lasts from one life of the parts to the next.
struct Lives {
    setting: Setting,
    home: Home,
    names: BTreeMap<ValidatorId, String>,
    token: String,
    events: Arc<Mutex<EventReceiver>>,
    announce: Option<oneshot::Sender<Started>>,
    panicked: mpsc::Receiver<String>,
    room: Room,
}

impl Lives {
    /// Runs all parts from what is on disk until the node stops, one of them fails, or one asks for a restart.
    async fn live(&mut self, recovered: Recovered, shutdown: &CancellationToken) -> anyhow::Result<End> {
        let mut parts = Parts::start(recovered, self.setting.clone(), self.events.clone());
        let node = Arc::downgrade(&parts.node);
        let working = parts.node.state_sync.working();
        let endpoint = Arc::new(OnceLock::new());
        let data = self.home.data_path();
        let api = Arc::new(Api::new(parts.node.clone(), self.names.clone(), endpoint.clone(), data));
        let serving = CancellationToken::new();
        let config = rpc_config(&self.setting.config, &self.home, self.token.clone())?;
        let served = aegis_rpc::serve(api, config, serving.clone().cancelled_owned()).await;
        let mut interface = None;
        let outcome = match served {
            Err(error) => Err(error.into()),
            Ok((address, mut server)) => {
                self.begin(address, &endpoint, &parts).await;
                let mut outcome = self.until_it_ends(&mut parts, &mut server, shutdown).await;
                if let Err(reason) = &outcome
                    && is_disk_trouble(reason)
                {
                    let trouble =
                        Trouble { reason: format!("{reason:#}"), is_space: is_little_space(reason) };
                    outcome = self.only_answer(&mut parts, &mut server, shutdown, trouble).await;
                }
                serving.cancel();
                interface = Some(server);
                outcome
            }
        };
        if let Err(reason) = &outcome {
            error!(reason = format!("{reason:#}"), "the node stops");
        }
        let served = async {
            if let Some(mut server) = interface.filter(|server| !server.is_finished())
                && tokio::time::timeout(STOP_TIMEOUT, &mut server).await.is_err()
            {
                error!("requests did not end in time");
                server.abort();
            }
        };
        let ((), stopped) = tokio::join!(served, parts.stop());
        let outcome = outcome.and_then(|end| stopped.map(|()| end));
        if let Ok(End::Again) = outcome {
            released(&node, working).await?;
        }
        outcome
    }

    /// Waits until the node is to stop, to start its parts again, or a part of it fails.
    async fn until_it_ends(
        &mut self,
        parts: &mut Parts,
        server: &mut Server,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<End> {
        self.room.take_reserve();
        let restart = parts.node.restart.clone();
        let well = tokio::time::sleep(WELL_AFTER);
        tokio::pin!(well);
        let mut is_well = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(End::Over),
                reason = parts.failed() => return Err(reason),
                () = restart.requested() => return Ok(End::Again),
                reason = self.room.runs_out() => return Err(reason),
                () = &mut well, if !is_well => is_well = true,
                Some(message) = self.panicked.recv() => bail!("a part of the node panicked: {message}; please report this"),
                ended = &mut *server => return Err(server_ended(ended)),
            }
            self.room.is_well();
        }
    }

    /// Stops whatever writes, and goes on answering until there is room on the disk again.
    async fn only_answer(
        &mut self,
        parts: &mut Parts,
        server: &mut Server,
        shutdown: &CancellationToken,
        trouble: Trouble,
    ) -> anyhow::Result<End> {
        let Trouble { reason, is_space } = trouble;
        error!(reason, "the disk does not take what must be written: this node only answers until it does");
        parts.node.condition.restrict(reason);
        parts.node.telemetry.read_only.set(1);
        self.room.release_reserve();
        parts.stop_writing().await?;
        if is_space {
            parts.tasks.spawn(named("making room", give_up_state_sync(parts.node.clone())));
        }
        parts.tasks.spawn(named("answers", events::only_answer(parts.node.clone(), self.events.clone())));
        tokio::select! {
            () = shutdown.cancelled() => Ok(End::Over),
            () = self.room.returns() => Ok(End::Again),
            Some(message) = self.panicked.recv() => bail!("a part of the node panicked: {message}; please report this"),
            ended = &mut *server => Err(server_ended(ended)),
        }
    }

    /// Says where clients are served; the next life serves them at the same address.
    async fn begin(&mut self, address: SocketAddr, endpoint: &OnceLock<Endpoint>, parts: &Parts) {
        let config = &mut self.setting.config;
        let scheme = if config.rpc.tls_certificate.is_given() { "https" } else { "http" };
        config.rpc.listen = address;
        // Set once, here.
        let _ = endpoint.set(Endpoint { address, scheme });
        if let Some(announce) = self.announce.take() {
            let listen = parts.network.listen_addresses().await.iter().map(ToString::to_string).collect();
            let started = Started { node_id: parts.node.node_key.validator_id(), listen, rpc: address };
            // Whoever started the node may not want to know.
            let _ = announce.send(started);
        }
    }
}

type Server = JoinHandle<()>;

fn server_ended(ended: Result<(), tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(()) => anyhow!("the interface for clients ended by itself"),
        Err(error) => anyhow!("the interface for clients failed: {error}"),
    }
}

/// Waits until nobody uses the stores any more: questions under way hold them a little longer, and so does a state that is
/// being built.
async fn released(node: &Weak<NodeContext>, working: impl Future<Output = ()>) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + RELEASE_TIMEOUT;
    if tokio::time::timeout_at(deadline, working).await.is_err() {
        bail!("a state that was being built holds the node up; start it again");
    }
    while node.strong_count() > 0 {
        if tokio::time::Instant::now() > deadline {
            bail!("the node could not start its parts again by itself; start it again");
        }
        tokio::time::sleep(RELEASE_POLL).await;
    }
    Ok(())
}

/// Opens what is on disk, away from the asynchronous threads.
async fn recover_home(
    home: &Home,
    genesis: &Genesis,
    node_key: &Keypair,
    config: &Config,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Recovered> {
    let (home, genesis, node_key, store, stop) =
        (home.clone(), genesis.clone(), node_key.clone(), config.store.clone(), stop.clone());
    let recovering = tokio::task::spawn_blocking(move || {
        recover(&RecoverOptions {
            home: &home,
            genesis: &genesis,
            node_key: &node_key,
            store: &store,
            clock,
            stop: &stop,
        })
    });
    recovering.await.context("opening the data folder failed")?
}

/// Sends the first panic of any task or thread to the main task, besides printing it.
fn report_panics(panics: mpsc::Sender<String>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        // One reason to stop is enough.
        let _ = panics.try_send(info.to_string());
    }));
}

#[derive(Clone)]
struct Setting {
    genesis: Genesis,
    node_key: Keypair,
    account_key: Keypair,
    network: Network,
    clock: Clock,
    config: Config,
}

/// The running parts.
struct Parts {
    node: Arc<NodeContext>,
    tasks: JoinSet<&'static str>,
    driver: JoinHandle<anyhow::Result<()>>,
    executor: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    network: Network,
    /// Keeps the data folder locked until everything has ended.
    _data_dir: aegis_store::DataDir,
}

impl Parts {
    fn start(recovered: Recovered, setting: Setting, network_events: Arc<Mutex<EventReceiver>>) -> Self {
        let Recovered { data_dir, journal, log, execution, engine, pool, batches, journal_id, shelf } =
            recovered;
        let Setting { genesis, node_key, account_key, network, clock, config } = setting;
        let Config { consensus, store, sync: sync_rule, p2p, .. } = config;
        let restart = RestartHandle::default();
        let room = SnapshotRoom { folder: data_dir.path().to_path_buf(), free_min: store.free_min.bytes() };
        let snapshots = SnapshotMaker::new(MakerOptions {
            shelf: shelf.clone(),
            kv: execution.kv.clone(),
            log: log.reader(),
            every: u64::try_from(store.snapshot_blocks).unwrap_or(u64::MAX),
            room: room.clone(),
            node: node_key.validator_id(),
        });
        let state_sync = StateSync::new(
            network.clone(),
            genesis.clone(),
            shelf.incoming(),
            store.cache.bytes(),
            store.log_segment.bytes(),
            room,
        );
        let (inputs_sender, inputs) = mpsc::channel(INPUTS_MAX);
        let (decided_sender, decided) = mpsc::channel(BLOCKS_MAX);
        let (executed_sender, executed) = mpsc::channel(BLOCKS_MAX);
        let (requests_sender, requests) = mpsc::channel(REQUESTS_MAX);
        let (reactions_sender, reactions) = mpsc::channel(REACTIONS_MAX);
        let (status_sender, agreement) = watch::channel(engine.status());
        let (committing_sender, committing) = watch::channel(engine.committing());
        let (reads, readers) = ReadIndex::channel();
        let (held_back_sender, held_back) = watch::channel(None);
        let (standing_sender, standing) = watch::channel(execution.standing.clone());
        let (admission, submitted) = Admission::channel(consensus.pending_proposals);
        let me = node_key.validator_id();
        let (epoch, newest) = (&execution.standing.epoch.validators, execution.standing.executed.height);
        let observation = Arc::new(Observation::new(me, clock, epoch.clone(), newest));
        let live = LiveReports::new(me, epoch.epoch(), execution.standing.origin.1);
        let node = Arc::new(NodeContext {
            domain: genesis.domain(),
            genesis,
            node_key,
            account_key,
            network: network.clone(),
            kv: execution.kv.clone(),
            log: log.reader(),
            ledger: execution.ledger.clone(),
            certified: execution.certified.clone(),
            pool: Arc::new(pool),
            mempool: Arc::new(Mempool::new(consensus.pending_proposals, consensus.pending_bytes.bytes())),
            hub: Arc::new(WatchHub::new()),
            telemetry: Arc::new(Telemetry::starting_at(unix_ms())),
            clock,
            observation: observation.clone(),
            measured: Measured::new(),
            live,
            agreement,
            committing,
            reads,
            standing,
            held_back,
            inputs: inputs_sender,
            admission,
            sync: SyncHandle::default(),
            shelf,
            state_sync,
            sync_rule,
            claimed_round_trip: p2p.test_claimed_round_trip.get(),
            restart,
            condition: Condition::default(),
        });
        let stop = CancellationToken::new();
        let driver = Driver {
            engine,
            journal,
            journal_id,
            is_journal_dirty: false,
            recovered: batches,
            network: network.clone(),
            pool: node.pool.clone(),
            telemetry: node.telemetry.clone(),
            observation,
            clock,
            ports: Ports {
                inputs,
                executed,
                decided: decided_sender,
                requests: requests_sender,
                status: status_sender,
                committing: committing_sender,
            },
            stop: stop.clone(),
        };
        let executor = Executor {
            execution,
            log,
            snapshots,
            pruner: Pruner::new(Retention::of(&store)),
            pool: node.pool.clone(),
            mempool: node.mempool.clone(),
            hub: node.hub.clone(),
            telemetry: node.telemetry.clone(),
            network: network.clone(),
            node_id: node.node_key.validator_id(),
            decided,
            executed: executed_sender,
            standing: standing_sender,
            held_back: held_back_sender,
            reactions: reactions_sender,
        };
        let runtime = Handle::current();
        let driver = on_thread("driver", move || driver.run(&runtime));
        let executor = on_thread("executor", move || executor.run());
        let tasks = spawn_tasks(
            &node,
            &consensus,
            TaskEnds { requests, reactions, submitted, network_events, readers },
        );
        Self { node, tasks, driver, executor, stop, network, _data_dir: data_dir }
    }

    /// Completes when a part has ended, with the reason.
    async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = &mut self.driver => thread_error("driver", ended),
            ended = &mut self.executor => thread_error("executor", ended),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(task) => match self.network.join_error() {
                    Some(reason) => anyhow!("the network failed: {reason}"),
                    None => anyhow!("the task for {task} ended by itself"),
                },
                Err(error) => anyhow!("a task of the node failed: {error}"),
            },
        }
    }

    /// Stops driver, executor and tasks after one of them has met a disk that cannot be written. What they say about that is
    /// known already and only logged.
    async fn stop_writing(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.shutdown().await;
        self.node.state_sync.stop();
        let ending = async {
            for (part, handle) in [("driver", &mut self.driver), ("executor", &mut self.executor)] {
                if handle.is_finished() {
                    continue;
                }
                if let Ok(Err(error)) = handle.await {
                    info!(part, error = format!("{error:#}"), "stopped");
                }
            }
        };
        tokio::time::timeout(STOP_TIMEOUT, ending)
            .await
            .context("the disk does not answer; restart the node when it does")
    }

    /// Stops the driver, then the executor, which flushes what is left.
    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.shutdown().await;
        self.node.state_sync.stop();
        let ending = async {
            let driver = if self.driver.is_finished() { None } else { Some((&mut self.driver).await) };
            let executor = if self.executor.is_finished() { None } else { Some((&mut self.executor).await) };
            for ended in [driver, executor].into_iter().flatten() {
                ended.context("a thread of the node failed")??;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(STOP_TIMEOUT, ending).await {
            Ok(ended) => ended,
            Err(_) => bail!("the node did not stop in time; what was acknowledged is on disk"),
        }
    }
}

/// What the asynchronous tasks listen to.
struct TaskEnds {
    requests: mpsc::Receiver<DriverRequest>,
    reactions: mpsc::Receiver<Vec<LedgerEvent>>,
    submitted: AdmissionEnds,
    network_events: Arc<Mutex<EventReceiver>>,
    readers: mpsc::Receiver<Reader>,
}

/// Starts the asynchronous part of the node.
fn spawn_tasks(
    node: &Arc<NodeContext>,
    consensus: &ConsensusSection,
    ends: TaskEnds,
) -> JoinSet<&'static str> {
    let TaskEnds { requests, reactions, submitted, network_events, readers } = ends;
    let rule = SealRule {
        delay: consensus.batch_delay.get(),
        proposals: consensus.batch_proposals,
        bytes: consensus.batch_bytes.as_usize(),
    };
    let mut tasks = JoinSet::new();
    let auto_vote = consensus.auto_vote.clone();
    tasks.spawn(named("the driver's requests", reactions::serve_driver(node.clone(), requests)));
    tasks.spawn(named("reactions", reactions::react(node.clone(), auto_vote, reactions)));
    tasks.spawn(named("network events", events::handle_events(node.clone(), network_events)));
    tasks.spawn(named("admission", examine_proposals(node.clone(), submitted.to_examine)));
    tasks.spawn(named("batching", seal_batches(node.clone(), submitted.admitted, rule)));
    tasks.spawn(named("announcements", announce_batches(node.clone())));
    tasks.spawn(named("handing on", hand_on_again(node.clone())));
    tasks.spawn(named("following the validators", reactions::follow_validators(node.clone())));
    tasks.spawn(named("the way back to voting", regain::find_vote_floor(node.clone())));
    tasks.spawn(named("reads", read_index::confirm_reads(node.clone(), readers)));
    tasks.spawn(named("questions for tips", sync::ask_for_tips(node.clone())));
    tasks.spawn(named("sync", sync::fetch_blocks(node.clone())));
    tasks.spawn(named("snapshots", shortcut::take_snapshots(node.clone())));
    tasks.spawn(named("samples", sampler::sample(node.clone())));
    tasks.spawn(named("reports", publish::publish_reports(node.clone())));
    tasks.spawn(named("agreed reports", agreed::submit_reports(node.clone())));
    tasks.spawn(named("progress", state_sync::progress::show(node.state_sync.progress.subscribe())));
    tasks
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

/// Runs a part on a thread of its own; the handle yields its result, or its panic as an error.
fn on_thread(
    name: &'static str,
    part: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> JoinHandle<anyhow::Result<()>> {
    let (sender, receiver) = oneshot::channel();
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let result = std::panic::catch_unwind(AssertUnwindSafe(part))
            .unwrap_or_else(|panic| Err(anyhow!("it panicked: {}", message(panic.as_ref()))));
        // The node may have stopped waiting.
        let _ = sender.send(result);
    });
    tokio::spawn(async move {
        spawned.with_context(|| format!("the {name} thread cannot be started"))?;
        receiver.await.unwrap_or_else(|_| Err(anyhow!("it ended without a result")))
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn thread_error(name: &str, ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("the {name} ended by itself"),
        Ok(Err(error)) => error,
        Err(error) => anyhow!("the {name} failed: {error}"),
    }
}
