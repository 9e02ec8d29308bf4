//! The processes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use aegis_rpc::{Client, ClientConfig};
use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// Four validators: one may fail, and one may be behind Tor while the others are a quorum.
pub const VALIDATORS: usize = 4;
/// How long a node may take to start.
const START_PATIENCE: Duration = Duration::from_secs(120);
const CLIENT_TIMEOUT: Duration = Duration::from_secs(70);

/// How the validators reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    /// TCP and QUIC on loopback.
    Direct,
    /// Nothing but Tor.
    Tor,
    /// Three with both, one with nothing but Tor.
    Mixed,
}

impl Deployment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Tor, Self::Mixed];

    /// In a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tor => "Tor only",
            Self::Mixed => "mixed, one Tor only",
        }
    }

    fn mode(self, index: usize) -> &'static str {
        match self {
            Self::Direct => "off",
            Self::Tor => "only",
            Self::Mixed if index + 1 == VALIDATORS => "only",
            Self::Mixed => "also",
        }
    }
}

/// Running validators; they end with this.
pub struct Nodes {
    _folder: TempDir,
    processes: Vec<Child>,
    /// One of each node.
    pub clients: Vec<Arc<Client>>,
    /// When each was started.
    pub started: Vec<Instant>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Already dead is fine.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Nodes {
    /// Makes homes and starts the nodes. All but the first know one address, that of the first.
    ///
    /// # Errors
    /// When the binary does not do what it should.
    pub fn start(binary: &Path, deployment: Deployment, network: &Path) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let out = folder.path().join("network");
        let mut init = Command::new(binary);
        init.args(["testnet", "init", "--validators", &VALIDATORS.to_string(), "--out"]).arg(&out);
        let made = init.output().with_context(|| format!("{} cannot be run", binary.display()))?;
        if !made.status.success() {
            bail!("`aegis testnet init` failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let mut nodes =
            Self { _folder: folder, processes: Vec::new(), clients: Vec::new(), started: Vec::new() };
        let mut bootstrap = None;
        for index in 0..VALIDATORS {
            let home = out.join(format!("node{index}"));
            let listen = nodes.spawn(binary, &home, deployment.mode(index), network, bootstrap.as_deref())?;
            if bootstrap.is_none() {
                // A node with nothing but Tor can use no other address.
                let is_wanted =
                    |address: &&String| deployment == Deployment::Direct || address.starts_with("/onion3/");
                bootstrap = listen.iter().find(is_wanted).cloned();
            }
        }
        Ok(nodes)
    }

    fn spawn(
        &mut self,
        binary: &Path,
        home: &Path,
        mode: &str,
        network: &Path,
        bootstrap: Option<&str>,
    ) -> anyhow::Result<Vec<String>> {
        let mut command = Command::new(binary);
        command.arg("--home").arg(home).args(["--output", "json", "run", "--rpc-listen", "127.0.0.1:0"]);
        command.args(["--tor", mode, "--set"]).arg(format!("p2p.tor.network={}", network.display()));
        // The configuration that `testnet init` wrote has ports and neighbours of its own.
        match mode {
            "only" => command.args(["--set", "p2p.listen="]),
            _ => {
                command.args(["--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--listen", "/ip4/127.0.0.1/tcp/0"])
            }
        };
        command.args(["--set", &format!("p2p.bootstrap={}", bootstrap.unwrap_or_default())]);
        let log = std::fs::File::create(home.join("node.log"))?;
        command.env_remove("AEGIS_HOME").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        self.started.push(Instant::now());
        let mut child = command.spawn().context("a node cannot be started")?;
        let stdout = child.stdout.take().context("the process has no output")?;
        self.processes.push(child);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Only the first line is waited for.
                let _ = sender.send(line);
            }
        });
        let Ok(line) = lines.recv_timeout(START_PATIENCE) else {
            bail!("a node did not become ready: {}", std::fs::read_to_string(home.join("node.log"))?);
        };
        let ready: serde_json::Value = serde_json::from_str(&line).context("the ready line is no JSON")?;
        let rest = ready["rest"].as_str().unwrap_or_default().trim_end_matches("/v1");
        let config = ClientConfig { timeout: CLIENT_TIMEOUT, ..ClientConfig::new(rest) };
        self.clients.push(Arc::new(Client::connect(config)?));
        let listen = ready["listen"].as_array().into_iter().flatten();
        Ok(listen.filter_map(|address| address.as_str().map(str::to_owned)).collect())
    }
}
