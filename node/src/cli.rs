//! The command line: one file per subcommand.
//!
//! # What goes where
//! A command's result goes to standard output: text for people, or with `--output json` exactly one JSON document (JSON lines
//! for `watch`). Progress, notes and errors go to standard error. A closed pipe ends a command quietly.
//!
//! # Exit codes
//! See [`failure::Exit`]; `aegis --help` lists them.

mod block;
mod completion;
mod config;
mod failure;
mod freshness;
mod help;
mod init;
mod keys;
mod kv;
mod lifetime;
mod metrics;
mod output;
mod peers;
mod proof;
mod proposal;
mod run;
mod session;
mod status;
mod store;
mod table;
mod testnet;
mod tor_only;
mod validators;
mod verify;
mod version;
mod watch;
mod weights;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use failure::{Exit, Failure};
pub use output::{Output, OutputFormat};

use crate::home::Home;

/// How long tasks may linger after a command is done.
const LINGER: Duration = Duration::from_secs(1);

/// Aegis: a peer-to-peer control plane for operators who do not trust one another.
#[derive(Debug, Parser)]
#[command(name = "aegis", version, after_help = failure::EXIT_CODES, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What all commands take.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder with keys, configuration and data of a node [default: $AEGIS_HOME, then ~/.aegis]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// The node to talk to, such as http://127.0.0.1:8003 [default: the node of the home, then port 8003 here]
    #[arg(long, global = true, value_name = "URL", env = "AEGIS_RPC")]
    rpc: Option<String>,
    /// PEM file with the authority to trust, for a node behind https
    #[arg(long, global = true, value_name = "FILE", env = "AEGIS_CA")]
    ca: Option<PathBuf>,
    /// Form of the result
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORM",
        default_value = "text",
        env = "AEGIS_OUTPUT"
    )]
    output: OutputFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a home for a node: keys, token and a commented configuration
    Init(init::Init),
    /// Make or run a test network
    #[command(subcommand)]
    Testnet(testnet::Testnet),
    /// Run a node: a validator if its key is in the set, an observer otherwise
    Run(run::Run),
    /// Make, show, import and export node and account keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Show or check the configuration in effect
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Where the node stands: height, epoch, view, leader, weights, sync
    Status(status::StatusCommand),
    /// The node's connected peers
    Peers(peers::Peers),
    /// The epoch's validators with their weights
    Validators(validators::ValidatorsCommand),
    /// The epoch's weights and what they trade; how an epoch's came about
    Weights(weights::WeightsCommand),
    /// Statistics of telemetry: this node's, all nodes', or a live table
    Metrics(metrics::MetricsCommand),
    /// Submit, list, show, vote on and watch proposals
    #[command(subcommand)]
    Proposal(proposal::ProposalCommand),
    /// Read and watch replicated values; writes are proposals
    #[command(subcommand)]
    Kv(kv::Kv),
    /// Check a proof of a value, offline
    Verify(verify::Verify),
    /// Show committed blocks
    #[command(subcommand)]
    Block(block::Block),
    /// Check, back up, restore and compact a node's data; go on without a lost vote journal
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Print a completion script for a shell
    Completion(completion::Completion),
    /// Print the versions of program and protocol
    Version(version::Version),
}

impl Cli {
    /// Understands a command line.
    fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = help::fitting(Self::command());
        let matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

impl Global {
    /// The home: flag, then `AEGIS_HOME`, then `~/.aegis`.
    fn home(&self) -> Home {
        Home::new(self.home.clone().unwrap_or_else(Home::default_path))
    }

    /// Whether somebody has said which home is meant.
    fn names_home(&self) -> bool {
        self.home.is_some() || Home::named_by_environment().is_some()
    }

    fn output(&self) -> Output {
        Output::new(self.output)
    }
}

/// Reads the command line and carries it out.
pub fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::new(format!("the asynchronous runtime cannot start: {error}")).report();
        }
    };
    let result = runtime.block_on(dispatch(cli.global, cli.command));
    runtime.shutdown_timeout(LINGER);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn dispatch(global: Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(init) => init.run(&global),
        Command::Testnet(testnet) => testnet.run(&global).await,
        Command::Run(run) => run.run(&global).await,
        Command::Keys(keys) => keys.run(&global),
        Command::Config(config) => config.run(&global),
        Command::Status(status) => status.run(&global).await,
        Command::Peers(peers) => peers.run(&global).await,
        Command::Validators(validators) => validators.run(&global).await,
        Command::Weights(weights) => weights.run(&global).await,
        Command::Metrics(metrics) => metrics.run(&global).await,
        Command::Proposal(proposal) => proposal.run(&global).await,
        Command::Kv(kv) => kv.run(&global).await,
        Command::Verify(verify) => verify.run(&global),
        Command::Block(block) => block.run(&global).await,
        Command::Store(store) => store.run(&global).await,
        Command::Completion(completion) => completion.run(),
        Command::Version(version) => version.run(&global),
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(|word| word.replace("ID", ID).into()))
    }

    #[test]
    fn the_command_tree_is_consistent() {
        help::fitting(Cli::command()).debug_assert();
    }

    #[test]
    fn every_documented_command_is_understood() {
        for line in [
            "aegis init --home DIR --genesis FILE --bootstrap /ip4/192.0.2.1/tcp/7003 --bootstrap /dns/a/tcp/7003",
            "aegis testnet init --validators 4 --out DIR --hosts a,b,c,d --weights 1,2,3,4",
            "aegis testnet up",
            "aegis testnet up --validators 31 --observers 2 --home DIR --base-port 7100 --rpc-port 8100 --output json",
            "aegis run --home DIR --bootstrap /ip4/192.0.2.1/tcp/7003 --set consensus.batch_delay=5ms",
            "aegis keys new --purpose node --out FILE",
            "aegis keys show --file FILE",
            "aegis keys import --purpose account --out FILE",
            "aegis keys export --secret",
            "aegis config show --output json",
            "aegis --home DIR config check",
            "aegis --rpc http://127.0.0.1:8003 config check --set p2p.tor.mode=off",
            "aegis status --rpc http://127.0.0.1:8003 --output json",
            "aegis peers",
            "aegis validators",
            "aegis weights",
            "aegis weights explain 12",
            "aegis weights recompute --from 3 --genesis FILE --output json",
            "aegis weights recompute --from 0 --replay --home DIR",
            "aegis metrics --output json",
            "aegis metrics network --liars 0.1",
            "aegis metrics watch --interval 1s --count 3",
            "aegis proposal submit kv.put KEY VALUE --wait admit --idempotency-key K --timeout 5s",
            "aegis proposal submit --wait none --expires-in 1m --key FILE kv.put KEY -",
            "aegis proposal submit kv.put KEY --file FILE",
            "aegis proposal submit kv.delete KEY",
            "aegis proposal submit kv.cas KEY VALUE --expect 0",
            "aegis proposal submit text --title T TEXT",
            "aegis proposal submit param.set view_timeout_ms 3000",
            "aegis proposal submit validator.add ID --weight 3",
            "aegis proposal submit validator.remove ID",
            "aegis proposal list --kind kv.put --state applied --account ID --limit 10 --cursor C",
            "aegis proposal show ID",
            "aegis proposal vote ID yes",
            "aegis proposal vote ID no --wait admit --home DIR",
            "aegis proposal watch --from-height 3",
            "aegis kv get KEY",
            "aegis kv get KEY --prove",
            "aegis kv get KEY --prove --file FILE --genesis FILE",
            "aegis verify FILE --genesis FILE --output json",
            "aegis --home DIR verify FILE",
            "aegis kv list PREFIX --limit 5",
            "aegis kv watch PREFIX --from-height 3",
            "aegis block show 12",
            "aegis block show latest",
            "aegis store check --output json",
            "aegis store backup --to DIR --home DIR",
            "aegis store restore --from DIR",
            "aegis store compact",
            "aegis store accept-lost-votes --older-copy",
            "aegis store accept-lost-votes --key-was-used",
            "aegis completion bash",
            "aegis version",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).expect_err("refused"));
        }
    }

    #[test]
    fn wrong_usage_is_refused_by_the_parser() {
        for line in [
            "aegis testnet up --validators 0",
            "aegis testnet up --validators 32",
            "aegis testnet init --validators 4",
            "aegis proposal submit kv.put KEY",
            "aegis proposal submit kv.put KEY VALUE --file FILE",
            "aegis proposal submit kv.cas KEY VALUE",
            "aegis proposal submit kv.putt KEY VALUE",
            "aegis proposal submit validator.add 11",
            "aegis proposal list --kind nothing",
            "aegis proposal list --state nothing",
            "aegis proposal vote ID maybe",
            "aegis kv get KEY --file FILE",
            "aegis verify",
            "aegis block show twelve",
            "aegis status --output yaml",
            "aegis keys import",
            "aegis weights explain",
            "aegis weights recompute",
            "aegis weights recompute --from 1 --replay --genesis FILE",
            "aegis metrics network --liars many",
            "aegis metrics watch --count 0",
            "aegis metrics watch --interval 50ms",
            "aegis store accept-lost-votes --older-copy --key-was-used",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert_ne!(error.kind(), ErrorKind::DisplayHelp, "{line}");
        }
    }

    #[test]
    fn help_lists_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("outcome unknown") && help.contains("no node answers"), "{help}");
    }
}
