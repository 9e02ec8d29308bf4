//! `aegis testnet up`

mod agreement;
mod folder;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aegis_config::{GenesisFile, Period};
use clap::Args;

use super::nodes::{Network, RunningNode};
use crate::cli::lifetime::StopSignals;
use crate::cli::{Exit, Failure, Global, Output};
use crate::testnet::plan::{OBSERVERS_MAX, VALIDATORS_MAX, genesis_path, home_of};
use crate::testnet::ports::{PortUse, check_free, range};
use crate::testnet::processes::{Ending, Processes};
use crate::testnet::record::Record;

/// Where the network is kept when nobody says otherwise.
const DEFAULT_HOME: &str = ".aegis-testnet";

/// Make a network of processes on this computer, or resume it, and run it until Ctrl-C
///
/// The network is kept in the folder of `--home` [default: ./.aegis-testnet] and resumed when it is there.
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
    /// When it cannot be made or started, does not agree in time, or a node ends by itself.
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
        let result = match start(&mut processes, &record, &folder) {
            Ok(()) => {
                let work = show_agreement(&record, &folder, &genesis, started, self.timeout.get(), output);
                run_until_stopped(work, &mut processes, &mut signals, output).await
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
    record: &Record,
    folder: &std::path::Path,
    genesis: &GenesisFile,
    started: Instant,
    timeout: Duration,
    output: Output,
) -> Result<Network, Failure> {
    let clients = agreement::clients(record)?;
    agreement::wait(&clients, record, folder, timeout, output).await?;
    let started_in_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let first_proposal = agreement::first_proposal(&clients, folder, genesis).await?;
    let mut nodes = Vec::with_capacity(clients.len());
    for (index, place) in record.places().iter().enumerate() {
        let home = home_of(folder, index);
        let id = home.read_node_key()?.validator_id();
        let weight = genesis.genesis.validators.weight_of(&id).0;
        nodes.push(RunningNode {
            name: format!("node{index}"),
            role: if index < usize::from(record.validators) { "validator" } else { "observer" },
            weight,
            node_id: id.to_string(),
            pid: 0,
            home: home.path().to_owned(),
            p2p: place.dial(),
            rest: format!("http://127.0.0.1:{}/v1", place.rpc_port),
            grpc: format!("http://127.0.0.1:{}", place.rpc_port),
        });
    }
    Ok(Network {
        home: folder.to_owned(),
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
    signals: &mut StopSignals,
    output: Output,
) -> Result<(), Failure> {
    let pids: Vec<u32> = processes.nodes().iter().map(|node| node.pid).collect();
    tokio::pin!(work);
    let shown = tokio::select! {
        network = &mut work => network,
        ended = processes.next_end() => Err(ended),
        signal = signals.next() => {
            output.note(&format!("{signal}: stopping before the network was up"));
            return Err(Failure::new("stopped before the nodes agreed"));
        }
    };
    let mut network = shown?;
    for (node, pid) in network.nodes.iter_mut().zip(pids) {
        node.pid = pid;
    }
    match output.document(&network, Network::text) {
        // The network goes on when nobody reads what was printed.
        Err(failure) if failure.reason() != Exit::PipeClosed => return Err(failure),
        Ok(()) | Err(_) => {}
    }
    output.note(&network.hints());
    loop {
        tokio::select! {
            // Surviving that is what the network is for.
            ended = processes.next_end() => {
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
