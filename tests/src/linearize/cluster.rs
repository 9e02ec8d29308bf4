//! The network under test: processes of the released binary.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use aegis_rpc::{Client, ClientConfig, Status};
use aegis_types::ValidatorId;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::gateway::Gateway;
use super::namespaces::{Namespaces, address};

/// How long a node may take to start on a slow, shared machine, its log replayed.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a client waits for a node: longer than any answer takes that the node promises.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(12);
/// Ports of every node where each has a network of its own.
const PEER_PORT: u16 = 7003;
const CLIENT_PORT: u16 = 8003;

/// A node's home, its process while it runs, and the way to it.
pub struct Node {
    home: PathBuf,
    process: Mutex<Option<Child>>,
    /// Where it listens, once it was started: it is started there again.
    places: Mutex<Option<Places>>,
    gateway: Gateway,
    /// Its key, once it has told.
    id: OnceLock<ValidatorId>,
}

#[derive(Debug, Clone)]
struct Places {
    listen: Vec<String>,
    rpc: SocketAddr,
}

/// The nodes.
pub struct Cluster {
    /// Removed when the run ends, after the processes.
    _folder: TempDir,
    binary: PathBuf,
    /// The nodes, by number.
    pub nodes: Vec<Node>,
    /// None where the machine allows none: then nodes share the loopback and cannot be cut off from each other.
    pub namespaces: Option<Namespaces>,
}

impl Cluster {
    /// Makes a network of so many equal validators and starts it.
    ///
    /// # Errors
    /// When the binary or the namespaces do not do what they should.
    pub fn start(binary: &Path, validators: usize, namespaces: Option<Namespaces>) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let out = folder.path().join("network");
        let mut init = Command::new(binary);
        init.args(["testnet", "init", "--validators", &validators.to_string(), "--out"]).arg(&out);
        if namespaces.is_some() {
            let hosts: Vec<String> = (0..validators).map(|node| address(node).to_string()).collect();
            init.args(["--hosts", &hosts.join(",")]);
        }
        let made = init.output().with_context(|| format!("{} cannot be run", binary.display()))?;
        if !made.status.success() {
            bail!("`aegis testnet init` failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let mut nodes = Vec::with_capacity(validators);
        for index in 0..validators {
            let namespace = namespaces.as_ref().map(|namespaces| namespaces.path(index));
            nodes.push(Node {
                home: out.join(format!("node{index}")),
                process: Mutex::new(None),
                places: Mutex::new(None),
                gateway: Gateway::open(namespace.as_deref())?,
                id: OnceLock::new(),
            });
        }
        let cluster = Self { _folder: folder, binary: binary.to_owned(), nodes, namespaces };
        (0..validators).try_for_each(|index| cluster.start_node(index).map(drop))?;
        Ok(cluster)
    }

    /// Starts a node where it was before; the process id.
    ///
    /// # Errors
    /// When it does not become ready; the end of its log is in the message.
    pub fn start_node(&self, index: usize) -> anyhow::Result<u32> {
        let node = &self.nodes[index];
        let log = node.home.join("node.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = self.command(index);
        command.env_remove("AEGIS_HOME").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().context("a node cannot be started")?;
        let line = first_line(&mut child)?;
        let pid = child.id();
        *node.process() = Some(child);
        let Some(line) = line else {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            bail!(
                "node {index} did not become ready; its log ends so, last line first:\n{}",
                tail.join("\n")
            );
        };
        let ready: serde_json::Value = serde_json::from_str(&line).context("the ready line is no JSON")?;
        if let Some(id) = ready["node_id"].as_str() {
            // The same each time.
            let _ = node.id.set(id.parse().context("the ready line has no node id")?);
        }
        let listen = ready["listen"].as_array().into_iter().flatten();
        let listen = listen.filter_map(|address| address.as_str().map(str::to_owned)).collect();
        let rest = ready["rest"].as_str().unwrap_or_default();
        let rpc = rest.trim_start_matches("http://").trim_end_matches("/v1");
        let rpc = rpc.parse().with_context(|| format!("the ready line has no address in `{rest}`"))?;
        *node.places.lock().unwrap_or_else(PoisonError::into_inner) = Some(Places { listen, rpc });
        Ok(pid)
    }

    fn command(&self, index: usize) -> Command {
        let node = &self.nodes[index];
        let mut command = match &self.namespaces {
            Some(namespaces) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &namespaces.name(index)]).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.arg("--home").arg(&node.home).args(["--output", "json", "run"]);
        if self.namespaces.is_none() {
            let known = node.places();
            let rpc = known.as_ref().map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), |places| places.rpc);
            command.args(["--rpc-listen", &rpc.to_string()]);
            let fresh = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"].map(str::to_owned).to_vec();
            for address in known.map_or(fresh, |places| places.listen) {
                command.args(["--listen", address.split("/p2p/").next().unwrap_or_default()]);
            }
            let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != index);
            for bootstrap in others.filter_map(|(_, other)| other.places()?.listen.into_iter().next()) {
                command.args(["--bootstrap", &bootstrap]);
            }
        }
        command
    }

    /// A client of a node, to be used on its gateway.
    ///
    /// # Errors
    /// When the node was never started.
    pub fn client(&self, index: usize) -> anyhow::Result<Client> {
        let rpc = match &self.namespaces {
            Some(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, CLIENT_PORT)),
            None => self.nodes[index].places().context("the node was never started")?.rpc,
        };
        let url = format!("http://{rpc}");
        Ok(Client::connect(ClientConfig { timeout: CLIENT_TIMEOUT, ..ClientConfig::new(url) })?)
    }

    /// What a node says of itself; none if it does not answer.
    pub async fn status(&self, index: usize) -> Option<Status> {
        let client = Arc::new(self.client(index).ok()?);
        let asking = async move { client.status().await.ok() };
        let asking = self.nodes[index].gateway.run(asking);
        tokio::time::timeout(Duration::from_secs(2), asking).await.ok()?.ok()?
    }

    /// A node's key.
    pub fn node_id(&self, index: usize) -> Option<ValidatorId> {
        self.nodes[index].id.get().copied()
    }

    /// Whether a node can reach another one over the network; true where they share it.
    ///
    /// # Errors
    /// When a gateway has ended.
    pub async fn reaches(&self, from: usize, to: usize) -> anyhow::Result<bool> {
        self.nodes[from].gateway.reaches(SocketAddr::from((address(to), PEER_PORT))).await
    }
}

impl Node {
    /// Where sockets to the node are opened.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> Option<Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the process as a crash does; how it ended.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> anyhow::Result<(u32, ExitStatus)> {
        let mut child = self.process().take().context("the node does not run")?;
        child.kill()?;
        Ok((child.id(), child.wait()?))
    }

    /// Sends the process a signal; its id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<u32> {
        let process = self.process();
        let child = process.as_ref().context("the node does not run")?;
        kill_process(Pid::from_child(child), signal)?;
        Ok(child.id())
    }

    /// The state letter that the kernel gives a process: `T` for a stopped one.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn kernel_state(pid: u32) -> anyhow::Result<char> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.trim().chars().next().context("the kernel names no state")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process().take() {
            // Already dead is fine. A stopped process dies too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The first line that a process writes; none if it ends or takes too long.
fn first_line(child: &mut Child) -> anyhow::Result<Option<String>> {
    let stdout = child.stdout.take().context("the process has no output")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        // Read to the end, so that the process never waits for a reader.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Only the first line is waited for.
            let _ = sender.send(line);
        }
    });
    Ok(lines.recv_timeout(START_PATIENCE).ok())
}
