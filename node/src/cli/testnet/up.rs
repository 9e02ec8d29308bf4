//! `aegis testnet up`

mod agreement;
mod folder;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aegis_config::{GenesisFile, Period};
use clap::Args;
use tokio::sync::watch;

use self::agreement::Starting;
use super::nodes::{Network, NodeState, RunningNode};
use crate::cli::lifetime::StopSignals;
use crate::cli::{Exit, Failure, Global, Output};
use crate::testnet::plan::{OBSERVERS_MAX, VALIDATORS_MAX, genesis_path, home_of};
use crate::testnet::ports::{PortUse, check_free, range};
use crate::testnet::processes::{Ending, Processes};
use crate::testnet::record::Record;

/// Where the network is kept when nobody says otherwise.
pub const DEFAULT_HOME: &str = ".aegis-testnet";

/// Make a network of processes on this computer, or resume it, and run it until Ctrl-C
///
/// The network is kept in the folder of `--home` and resumed when it is there. A node that does not start is named; the network
/// goes on without it if the others are a quorum.
#[derive(Debug, Args)]
pub struct Up {
    /// Number of validators [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(VALIDATORS_MAX)))]
    validators: Option<u16>,
    /// Number of observers [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=i64::from(OBSERVERS_MAX)))]
    observers: Option<u16>,
    /// Voting weights [default: equal ones]
    #[arg(long, value_name = "W,W,...", value_delimiter = ',')]
    weights: Vec<u64>,
    /// First port for other nodes; each node takes the next [default: 7003]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// First port for clients; each node takes the next [default: 8003]
    #[arg(long, value_name = "PORT")]
    rpc_port: Option<u16>,
    /// How long to wait for agreement
    #[arg(long, value_name = "TIME", default_value = "90s")]
    timeout: Period,
}

impl Up {
    /// Runs the network.
    ///
    /// # Errors
    /// When it cannot be made or started, fewer nodes than a quorum agree in time, or all end by themselves.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let output = global.output();
        let folder = global.home.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_HOME));
        let mut signals = StopSignals::listen()?;
        let record = folder::prepare(&self, &folder, output)?;
        check_free(&range(record.base_port, record.nodes(), PortUse::Peers)?, PortUse::Peers)?;
        check_free(&range(record.rpc_port, record.nodes(), PortUse::Clients)?, PortUse::Clients)?;
        let genesis = GenesisFile::load(&genesis_path(&folder))?;

        let started = Instant::now();
        let mut processes = Processes::default();
        let (ended, seen_ended) = watch::channel(BTreeSet::new());
        let result = match start(&mut processes, &record, &folder) {
            Ok(()) => {
                let starting = Starting { record: &record, folder: &folder, ended: seen_ended };
                let work = show_agreement(starting, &genesis, started, self.timeout.get(), output);
                run_until_stopped(work, &mut processes, &ended, &mut signals, output).await
            }
            Err(failure) => Err(failure),
        };
        let stopped = stop(&mut processes, &mut signals, output).await;
        result.and(stopped)
    }
}

fn start(processes: &mut Processes, record: &Record, folder: &std::path::Path) -> Result<(), Failure> {
    for index in 0..usize::from(record.nodes()) {
        processes.start(format!("node{index}"), home_of(folder, index))?;
    }
    Ok(())
}

/// Waits for agreement, shows it, and gives what the network consists of but for the process ids.
async fn show_agreement(
    starting: Starting<'_>,
    genesis: &GenesisFile,
    started: Instant,
    timeout: Duration,
    output: Output,
) -> Result<Network, Failure> {
    let Starting { record, folder, .. } = &starting;
    let clients = agreement::clients(record)?;
    let going_on = agreement::wait(&clients, &starting, timeout, output).await?;
    let started_in_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let client = going_on.iter().zip(&clients).find_map(|(goes_on, client)| goes_on.then_some(client));
    let client = client.ok_or_else(|| Failure::new("the network has no nodes"))?;
    let first_proposal = agreement::first_proposal(client, folder, genesis).await?;
    let validators = client.validators().await.map_err(|error| Failure::new(error.to_string()))?;
    let mut nodes = Vec::with_capacity(clients.len());
    for (index, (place, goes_on)) in record.places().iter().zip(going_on).enumerate() {
        let home = home_of(folder, index);
        let id = home.read_node_key()?.validator_id();
        let seat = validators.members.iter().find(|member| member.id == id);
        nodes.push(RunningNode {
            name: format!("node{index}"),
            role: if seat.is_some() { "validator" } else { "observer" },
            weight: seat.map_or(0, |member| member.weight.0),
            node_id: id.to_string(),
            state: if goes_on { NodeState::Running } else { NodeState::Late },
            pid: None,
            home: home.path().to_owned(),
            p2p: place.dial(),
            rest: format!("http://127.0.0.1:{}/v1", place.rpc_port),
            grpc: format!("http://127.0.0.1:{}", place.rpc_port),
        });
    }
    Ok(Network {
        home: folder.to_path_buf(),
        chain_id: genesis.genesis.chain.to_string(),
        genesis: genesis.genesis.hash().to_string(),
        started_in_ms,
        first_proposal,
        nodes,
    })
}

async fn run_until_stopped(
    work: impl Future<Output = Result<Network, Failure>>,
    processes: &mut Processes,
    ended: &watch::Sender<BTreeSet<usize>>,
    signals: &mut StopSignals,
    output: Output,
) -> Result<(), Failure> {
    tokio::pin!(work);
    let mut causes = Vec::new();
    let mut network = loop {
        tokio::select! {
            network = &mut work => break network.map_err(|failure| because(failure, &causes))?,
            // The others may be enough. What there is to say about this one comes when that is known.
            (index, cause) = processes.next_end() => {
                causes.push(cause);
                if processes.running() == 0 {
                    return Err(because(Failure::new("all nodes ended by themselves"), &causes));
                }
                ended.send_modify(|ended| {
                    ended.insert(index);
                });
            }
            signal = signals.next() => {
                output.note(&format!("{signal}: stopping before the network was up"));
                return Err(because(Failure::new("stopped before the nodes agreed"), &causes));
            }
        }
    };
    for (index, (node, process)) in network.nodes.iter_mut().zip(processes.nodes()).enumerate() {
        if ended.borrow().contains(&index) {
            node.state = NodeState::Ended;
        } else {
            node.pid = Some(process.pid);
        }
    }
    match output.document(&network, Network::text) {
        // The network goes on when nobody reads what was printed.
        Err(failure) if failure.reason() != Exit::PipeClosed => return Err(failure),
        Ok(()) | Err(_) => {}
    }
    output.note(&network.hints());
    note_missing(&network, &causes, output);
    run_on(processes, signals, output).await
}

/// A failure, with what is known of the nodes that ended before it.
fn because(failure: Failure, causes: &[Failure]) -> Failure {
    if causes.is_empty() {
        return failure;
    }
    let causes: Vec<_> = causes.iter().map(Failure::full).collect();
    failure.help(causes.join("\n"))
}

/// Says last, where it is not overlooked, which nodes are missing and why.
fn note_missing(network: &Network, causes: &[Failure], output: Output) {
    for late in network.nodes.iter().filter(|node| node.state == NodeState::Late) {
        output.note(&format!(
            "{} was not ready in time; the others agree without it. `aegis --home {} status` tells how far it is",
            late.name,
            late.home.display()
        ));
    }
    for cause in causes {
        output.note(&format!("{}\nthe others agree without it", cause.full().trim_end()));
    }
}

/// Lets the network run until a signal comes, or no node is left.
async fn run_on(processes: &mut Processes, signals: &mut StopSignals, output: Output) -> Result<(), Failure> {
    loop {
        tokio::select! {
            // Surviving that is what the network is for.
            (_, ended) = processes.next_end() => {
                let running = processes.running();
                if running == 0 {
                    return Err(ended);
                }
                output.note(&format!(
                    "{ended}; {running} nodes go on. `aegis status` tells whether they are enough to agree; \
                     `aegis run --home` with its folder starts it again"
                ));
            }
            signal = signals.next() => {
                output.note(&format!("{signal}: stopping all nodes"));
                return Ok(());
            }
        }
    }
}

/// Stops all nodes; a second signal kills them.
async fn stop(processes: &mut Processes, signals: &mut StopSignals, output: Output) -> Result<(), Failure> {
    if processes.nodes().is_empty() {
        return Ok(());
    }
    let ended = tokio::select! {
        ended = processes.stop() => ended,
        signal = signals.next() => {
            // Dropping the processes kills them.
            return Err(Failure::new(format!("a second {signal}: all nodes were killed"))
                .help("nothing that was acknowledged is lost; `aegis testnet up` resumes the network"));
        }
    };
    let in_order = ended.iter().filter(|(_, ending)| *ending == Ending::InOrder).count();
    output.note(&format!("{in_order} of {} nodes stopped in order", ended.len()));
    let late: Vec<_> = ended
        .iter()
        .filter_map(|(name, ending)| match ending {
            Ending::InOrder => None,
            Ending::Killed => Some(format!("{name} did not stop and was killed")),
            Ending::Failed => Some(format!("{name} ended with a failure")),
        })
        .collect();
    if late.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(late.join("; "))
            .help("node.log in its home says more; nothing that was acknowledged is lost"))
    }
}
