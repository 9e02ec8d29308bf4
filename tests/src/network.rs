//! A network of real processes, for load and for crashes.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use aegis_rpc::{Client, ClientConfig};
use anyhow::{Context as _, bail};

/// How long a node may take to start, its log replayed, on a slow and shared machine.
const START_PATIENCE: Duration = Duration::from_secs(120);
const CLIENT_TIMEOUT: Duration = Duration::from_secs(12);
/// Lines of a log that are shown when a node does not start.
const LOG_LINES: usize = 20;

/// A node's home and, while it runs, its process.
struct Node {
    home: PathBuf,
    log: PathBuf,
    process: Option<Child>,
    /// Where it listens, once it was started: it is started there again.
    places: Option<(Vec<String>, SocketAddr)>,
}

/// All nodes of one network.
pub struct Network {
    binary: PathBuf,
    nodes: Vec<Node>,
}

impl Network {
    /// Makes the homes of so many equal validators in `folder`, which must exist, and starts them. Logs go to `logs`.
    ///
    /// # Errors
    /// When the binary does not do what it should.
    pub fn start(binary: &Path, validators: usize, folder: &Path, logs: &Path) -> anyhow::Result<Self> {
        let out = folder.join("network");
        let mut init = Command::new(binary);
        init.args(["testnet", "init", "--validators", &validators.to_string(), "--out"]).arg(&out);
        let made = init.output().with_context(|| format!("{} cannot be run", binary.display()))?;
        if !made.status.success() {
            bail!("`aegis testnet init` failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let node = |index: usize| Node {
            home: out.join(format!("node{index}")),
            log: logs.join(format!("node{index}.log")),
            process: None,
            places: None,
        };
        let mut network = Self { binary: binary.to_owned(), nodes: (0..validators).map(node).collect() };
        network.start_all()?;
        Ok(network)
    }

    /// The process ids of the nodes that run, in order.
    pub fn process_ids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.process.as_ref().map(Child::id)).collect()
    }

    /// The addresses that clients use, in order, of the nodes that were started.
    pub fn endpoints(&self) -> Vec<String> {
        let places = self.nodes.iter().filter_map(|node| node.places.as_ref());
        places.map(|(_, rpc)| format!("http://{rpc}")).collect()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Starts every node that does not run. They start side by side, as none is ready before others answer it.
    ///
    /// # Errors
    /// When one does not become ready.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        let stopped: Vec<usize> =
            (0..self.len()).filter(|&index| self.nodes[index].process.is_none()).collect();
        let mut waiting = Vec::new();
        for index in stopped {
            waiting.push((index, self.spawn(index)?));
            // Ports of the first start are known only once a node is ready, and the others join by them.
            if self.nodes[index].places.is_none()
                && let Some((index, line)) = waiting.pop()
            {
                self.note_ready(index, &line)?;
            }
        }
        waiting.into_iter().try_for_each(|(index, line)| self.note_ready(index, &line))
    }

    fn spawn(&mut self, index: usize) -> anyhow::Result<mpsc::Receiver<String>> {
        let node = &self.nodes[index];
        let mut command = Command::new(&self.binary);
        command.arg("--home").arg(&node.home).args(["--output", "json", "run"]);
        let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let rpc = node.places.as_ref().map_or(unused, |(_, rpc)| *rpc);
        command.args(["--rpc-listen", &rpc.to_string()]);
        let fresh = || vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned(), "/ip4/127.0.0.1/tcp/0".to_owned()];
        for address in node.places.as_ref().map_or_else(fresh, |(listen, _)| listen.clone()) {
            command.args(["--listen", address.split("/p2p/").next().unwrap_or_default()]);
        }
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != index);
        for (_, other) in others {
            if let Some(bootstrap) = other.places.as_ref().and_then(|(listen, _)| listen.first()) {
                command.args(["--bootstrap", bootstrap]);
            }
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&node.log)?;
        command.env_remove("AEGIS_HOME").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().context("a node cannot be started")?;
        let stdout = child.stdout.take().context("the process has no output")?;
        self.nodes[index].process = Some(child);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the process never waits for a reader; only the first line is waited for.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(lines)
    }

    fn note_ready(&mut self, index: usize, lines: &mpsc::Receiver<String>) -> anyhow::Result<()> {
        let node = &mut self.nodes[index];
        let Ok(line) = lines.recv_timeout(START_PATIENCE) else {
            let log = std::fs::read_to_string(&node.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
            bail!("node {index} did not become ready; its log ends so:\n{}", tail.join("\n"));
        };
        let ready: serde_json::Value = serde_json::from_str(&line).context("the ready line is no JSON")?;
        let listen = ready["listen"].as_array().into_iter().flatten();
        let listen = listen.filter_map(|address| address.as_str().map(str::to_owned)).collect();
        let rest = ready["rest"].as_str().unwrap_or_default();
        let rpc = rest.trim_start_matches("http://").trim_end_matches("/v1");
        node.places = Some((listen, rpc.parse().with_context(|| format!("no address in `{rest}`"))?));
        Ok(())
    }

    /// Ends a node as a crash does, and checks that it did run.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        let mut child = self.nodes[index].process.take().context("the node does not run")?;
        if let Some(status) = child.try_wait()? {
            bail!("node {index} had ended by itself with {status}; see {}", self.nodes[index].log.display());
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Ends all nodes as a crash does, as fast as one signal after the other goes.
    ///
    /// # Errors
    /// When one had ended before.
    pub fn kill_all(&mut self) -> anyhow::Result<()> {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let child = node.process.as_mut().context("a node does not run")?;
            if let Some(status) = child.try_wait()? {
                bail!("node {index} had ended by itself with {status}; see {}", node.log.display());
            }
            child.kill()?;
        }
        for node in &mut self.nodes {
            if let Some(mut child) = node.process.take() {
                child.wait()?;
            }
        }
        Ok(())
    }

    /// A client of each node, in order.
    ///
    /// # Errors
    /// When one was never started.
    pub fn clients(&self) -> anyhow::Result<Vec<Client>> {
        let client = |node: &Node| {
            let (_, rpc) = node.places.as_ref().context("the node was never started")?;
            let config =
                ClientConfig { timeout: CLIENT_TIMEOUT, ..ClientConfig::new(format!("http://{rpc}")) };
            Ok(Client::connect(config)?)
        };
        self.nodes.iter().map(client).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.process.take() {
                // Already dead is fine.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
