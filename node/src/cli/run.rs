//! `aegis run`

use std::net::SocketAddr;

use aegis_config::Layers;
use clap::Args;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::lifetime::{GRACE, StopSignals};
use super::session::reachable;
use super::table::Fields;
use super::{Failure, Global, Output, tor_only};
use crate::home::Home;
use crate::node::{self, RunOptions, Started};
use crate::testnet::supervision;

/// Run a node: a validator if its key is in the set, an observer otherwise
#[derive(Debug, Args)]
pub struct Run {
    /// A node to join by, instead of those in the configuration; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    bootstrap: Vec<String>,
    /// Address for other nodes, instead of those in the configuration; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Reach other nodes through Tor: besides direct addresses, or nothing but Tor
    #[arg(long, value_name = "off|also|only")]
    tor: Option<String>,
    /// Address for clients
    #[arg(long, value_name = "ADDRESS:PORT")]
    rpc_listen: Option<SocketAddr>,
    /// Least level of log lines, such as debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How to catch up when far behind: from a certified snapshot, or by all blocks from the first one on
    #[arg(long, value_name = "snapshot|blocks")]
    sync: Option<String>,
    /// Any key of the configuration, such as consensus.batch_delay=5ms; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Stop when this process, our parent, is gone
    #[arg(long, hide = true, value_name = "PID")]
    parent: Option<i32>,
}

#[derive(Serialize)]
struct Ready {
    event: &'static str,
    node_id: String,
    pid: u32,
    listen: Vec<String>,
    rest: String,
    grpc: String,
}

impl Run {
    /// Runs the node until it is told to stop.
    ///
    /// # Errors
    /// When something in the home is wrong, or the node fails.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        if let Some(parent) = self.parent {
            supervision::end_with_parent(parent)?;
        }
        let mut signals = StopSignals::listen()?;
        let home = global.home();
        if !home.is_initialised() {
            return Err(Failure::new(format!("there is no home at {}", home.path().display()))
                .help(format!("make one: `aegis init --home {}`", home.path().display())));
        }
        let (announce, started) = oneshot::channel();
        let options = self.options(home.clone(), announce)?;
        let has_tls = options.config.rpc.tls_certificate.is_given();
        let tor_mode = options.config.tor.mode;
        let shutdown = CancellationToken::new();
        let running = node::run(options, shutdown.clone());
        tokio::pin!(running);
        let output = global.output();
        let mut started = Some(started);
        let mut _announcement = None;
        loop {
            tokio::select! {
                result = &mut running => return Ok(result?),
                announced = wait_for(&mut started) => {
                    if let Some(announced) = announced {
                        let url = url(&announced, has_tls);
                        _announcement = Some(home.announce_rpc(&url).map_err(anyhow::Error::from)?);
                        tor_only::on_started(&home, tor_mode)?;
                        report_ready(output, &announced, url)?;
                    }
                }
                signal = signals.next() => {
                    output.note(&format!("{signal}: stopping; once more stops at once"));
                    break;
                }
            }
        }
        shutdown.cancel();
        tokio::select! {
            result = &mut running => Ok(result?),
            () = tokio::time::sleep(GRACE) => {
                Err(Failure::new(format!("the node did not stop in order within {} s and was ended", GRACE.as_secs()))
                    .help("nothing that was acknowledged is lost; the next start takes up from the journal"))
            }
            signal = signals.next() => Err(Failure::new(format!("a second {signal}: ended at once"))
                .help("nothing that was acknowledged is lost; the next start takes up from the journal")),
        }
    }

    fn options(&self, home: Home, announce: oneshot::Sender<Started>) -> Result<RunOptions, Failure> {
        let effective = runnable(self.layers(&home)?).resolve()?;
        tor_only::check(&home, effective.config.tor.mode, &effective.source("p2p.tor.mode"))?;
        Ok(RunOptions {
            genesis: home.read_genesis()?.genesis,
            node_key: home.read_node_key()?,
            account_key: home.read_account_key()?,
            token: home.read_token()?,
            config: effective.config,
            announce,
            home,
        })
    }

    fn layers(&self, home: &Home) -> Result<Layers, Failure> {
        let mut layers = home.config_layers()?;
        if !self.bootstrap.is_empty() {
            layers = layers.with_flag("--bootstrap", "p2p.bootstrap", self.bootstrap.join(","));
        }
        if !self.listen.is_empty() {
            layers = layers.with_flag("--listen", "p2p.listen", self.listen.join(","));
        }
        if let Some(mode) = &self.tor {
            layers = layers.with_flag("--tor", "p2p.tor.mode", mode);
        }
        if let Some(listen) = self.rpc_listen {
            layers = layers.with_flag("--rpc-listen", "rpc.listen", listen.to_string());
        }
        if let Some(level) = &self.log_level {
            layers = layers.with_flag("--log-level", "telemetry.log_level", level);
        }
        if let Some(mode) = &self.sync {
            layers = layers.with_flag("--sync", "sync.mode", mode);
        }
        with_settings(layers, &self.set)
    }
}

/// Layers of a configuration that this program is to run a node with.
pub fn runnable(layers: Layers) -> Layers {
    if cfg!(feature = "tor") { layers } else { layers.without_tor() }
}

/// Lays what `--set` says over a configuration.
///
/// # Errors
/// When it is not of the form `KEY=VALUE`.
pub fn with_settings(mut layers: Layers, settings: &[String]) -> Result<Layers, Failure> {
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--set {setting}: write KEY=VALUE, such as consensus.batch_delay=5ms"))
        })?;
        layers = layers.with_flag("--set", key.trim(), value);
    }
    Ok(layers)
}

/// The node's announcement, once; afterwards it waits for ever.
async fn wait_for(started: &mut Option<oneshot::Receiver<Started>>) -> Option<Started> {
    match started {
        Some(receiver) => {
            let announced = receiver.await;
            *started = None;
            // A node that ends without an announcement says why through its result.
            announced.ok()
        }
        None => std::future::pending().await,
    }
}

/// Where the node serves clients of this machine.
fn url(started: &Started, has_tls: bool) -> String {
    format!("{}://{}", if has_tls { "https" } else { "http" }, reachable(started.rpc))
}

fn report_ready(output: Output, started: &Started, url: String) -> Result<(), Failure> {
    let ready = Ready {
        event: "ready",
        node_id: started.node_id.to_string(),
        pid: std::process::id(),
        listen: started.listen.clone(),
        rest: format!("{url}/v1"),
        grpc: url,
    };
    let reported = output.line(&ready, |ready| {
        let mut fields = Fields::new().field("ready", &ready.node_id);
        for address in &ready.listen {
            fields = fields.field("p2p", address);
        }
        fields.field("rest", &ready.rest).field("grpc", &ready.grpc).render()
    });
    match reported {
        // A node goes on when nobody reads what it prints.
        Err(failure) if failure.reason() == super::Exit::PipeClosed => Ok(()),
        other => other,
    }
}
