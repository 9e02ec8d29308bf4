//! A network of node processes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aegis_config::{GenesisFile, GenesisFormat};
use aegis_rpc::{ApiError, Client, ClientConfig, ClientError, Status, Submission, Submit};
use aegis_types::{
    Canonical, Epoch, Genesis, Hash, Height, Keypair, Member, Parameter, Parameters, Proposal, ProposalBody,
    ValidatorId, ValidatorSet, Weight,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything that must happen may take on a slow, shared machine before a test gives up; through Tor it takes longer.
pub const PATIENCE: Duration = Duration::from_secs(if cfg!(feature = "tor") { 180 } else { 60 });
const POLL: Duration = Duration::from_millis(50);

/// The binary under test, built if need be with the profile of these tests.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "aegis-node", "--bin", "aegis"]);
        if cfg!(feature = "tor") {
            cargo.args(["--features", "tor"]);
        }
        // What cargo says of the package of these tests; a build script that looks at it would be run again, and much rebuilt.
        let of_package =
            |name: &String| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars().filter(|(name, _)| of_package(name)) {
            cargo.env_remove(name);
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the binary builds");
        let test = std::env::current_exe().expect("the test knows its path");
        let profile = test.parent().and_then(Path::parent).expect("tests stand in a folder of their profile");
        profile.join("aegis")
    })
}

/// Which address a node listens on and is joined by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Quic,
    Tcp,
    /// Nothing but Tor.
    #[cfg(feature = "tor")]
    #[allow(dead_code, reason = "only the scenarios through Tor, which share this file, use it")]
    Tor,
}

impl Transport {
    fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::Quic => ["--listen", "/ip4/127.0.0.1/udp/0/quic-v1"],
            Self::Tcp => ["--listen", "/ip4/127.0.0.1/tcp/0"],
            #[cfg(feature = "tor")]
            Self::Tor => ["--tor", "only"],
        }
    }
}

/// A node's home and, while it runs, its process.
pub struct Node {
    pub home: PathBuf,
    pub key: Keypair,
    /// Settings of this node alone, as `section.key=value`.
    pub settings: Vec<String>,
    process: Option<Process>,
}

struct Process {
    child: Child,
    listen: Vec<String>,
    rest: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Homes of nodes of one network.
pub struct Cluster {
    folder: TempDir,
    pub genesis: Genesis,
    pub nodes: Vec<Node>,
    pub account: Keypair,
    /// Settings of all nodes that are started, as `section.key=value`.
    pub settings: Vec<String>,
}

/// Runs the binary to its end; its standard output.
pub fn aegis(arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(binary()).args(arguments).env_remove("AEGIS_HOME").output().expect("the binary runs");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl Cluster {
    /// Makes homes for validators of these weights; nothing runs yet.
    pub fn new(weights: &[u64], parameters: &[(Parameter, u64)]) -> Self {
        let folder = TempDir::new().unwrap();
        let nodes: Vec<Node> = (0..weights.len()).map(|index| make_home(folder.path(), index)).collect();
        let members = nodes
            .iter()
            .zip(weights)
            .map(|(node, weight)| Member { validator: node.key.validator_id(), weight: Weight(*weight) });
        let mut agreed = Parameters::default();
        for (parameter, value) in [(Parameter::ViewTimeoutMs, 1_000), (Parameter::IdleIntervalMs, 300)] {
            agreed.set(parameter, value).unwrap();
        }
        for (parameter, value) in parameters {
            agreed.set(*parameter, *value).unwrap();
        }
        let genesis = Genesis {
            chain: "aegis-e2e".parse().unwrap(),
            timestamp_ms: unix_ms(),
            validators: ValidatorSet::new(Epoch::ZERO, members.collect()).unwrap(),
            parameters: agreed,
        };
        let cluster =
            Self { folder, genesis, nodes, account: Keypair::from_seed(&[77; 32]), settings: Vec::new() };
        for node in &cluster.nodes {
            cluster.write_genesis(&node.home);
        }
        cluster
    }

    /// A running network of equal validators.
    pub fn start(validators: usize) -> Self {
        let mut cluster = Self::new(&vec![1; validators], &[]);
        cluster.start_all();
        cluster
    }

    pub fn start_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.start_node(index, &[Transport::Quic, Transport::Tcp]);
        }
    }

    /// Adds a home that is in no validator set; its index.
    pub fn add_home(&mut self) -> usize {
        let index = self.nodes.len();
        let node = make_home(self.folder.path(), index);
        self.write_genesis(&node.home);
        self.nodes.push(node);
        index
    }

    fn write_genesis(&self, home: &Path) {
        let text = GenesisFile::new(self.genesis.clone()).to_text(GenesisFormat::Toml);
        std::fs::write(home.join("genesis.toml"), text).unwrap();
    }

    /// Starts a node; it joins by one address of one running node, the first transport's.
    pub fn start_node(&mut self, index: usize, transports: &[Transport]) {
        let first = transports[0];
        let bootstrap = self.nodes.iter().find_map(|node| node.address(first));
        self.start_node_by(index, transports, bootstrap.as_deref());
    }

    /// Starts a node that joins by an address.
    pub fn start_node_by(&mut self, index: usize, transports: &[Transport], bootstrap: Option<&str>) {
        let mut command = Command::new(binary());
        command.args(["--home".as_ref(), self.nodes[index].home.as_os_str()]);
        command.args(["--output", "json", "run", "--rpc-listen", "127.0.0.1:0"]);
        for transport in transports {
            command.args(transport.arguments());
        }
        for setting in self.settings.iter().chain(&self.nodes[index].settings) {
            command.args(["--set", setting]);
        }
        if let Some(bootstrap) = bootstrap {
            command.args(["--bootstrap", bootstrap]);
        }
        let log = self.nodes[index].home.join("node.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.env_remove("AEGIS_HOME").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().unwrap();
        let (sender, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut process = Process { child, listen: Vec::new(), rest: String::new() };
        let line = ready.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let log = std::fs::read_to_string(self.nodes[index].home.join("node.log")).unwrap_or_default();
            panic!("node {index} is not ready; its log:\n{log}")
        });
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the ready line is JSON");
        process.listen = ready["listen"]
            .as_array()
            .unwrap()
            .iter()
            .map(|address| address.as_str().unwrap().to_owned())
            .collect();
        process.rest = ready["rest"].as_str().unwrap().trim_end_matches("/v1").to_owned();
        self.nodes[index].process = Some(process);
    }

    /// Power off for one process: nothing is said, nothing is flushed.
    pub fn kill(&mut self, index: usize) {
        drop(self.nodes[index].process.take());
    }

    /// Stops a process where it is, as a machine that sleeps does; its connections stay open.
    #[allow(dead_code, reason = "only the scenarios through Tor, which share this file, suspend nodes")]
    pub fn suspend(&self, index: usize) {
        kill_process(self.process_id(index), Signal::STOP).unwrap();
    }

    /// Lets a suspended process go on.
    #[allow(dead_code, reason = "only the scenarios through Tor, which share this file, suspend nodes")]
    pub fn resume(&self, index: usize) {
        kill_process(self.process_id(index), Signal::CONT).unwrap();
    }

    fn process_id(&self, index: usize) -> Pid {
        Pid::from_child(&self.nodes[index].process.as_ref().expect("the node runs").child)
    }

    /// Ends a node as an operator does, and checks that it ends in order and in time.
    pub fn stop(&mut self, index: usize) {
        let mut process = self.nodes[index].process.take().expect("the node runs");
        let pid = Pid::from_child(&process.child);
        kill_process(pid, Signal::TERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = process.child.try_wait().unwrap() {
                assert!(status.success(), "node {index} ended with {status}");
                return;
            }
            assert!(Instant::now() < deadline, "node {index} does not stop");
            std::thread::sleep(POLL);
        }
    }

    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].process.is_some())
    }

    pub fn client(&self, index: usize) -> Client {
        self.nodes[index].client()
    }

    /// Signs a proposal of the test's account.
    pub fn sign(&self, body: ProposalBody, key: &str) -> Vec<u8> {
        self.sign_by(&self.account, body, key)
    }

    pub fn sign_by(&self, signer: &Keypair, body: ProposalBody, key: &str) -> Vec<u8> {
        // With some room below what the network admits.
        let lifetime = self.genesis.parameters.get(Parameter::ProposalLifetimeMaxMs) / 2;
        let expiry = unix_ms() + lifetime.min(10 * 60 * 1_000);
        Proposal::sign(body, expiry, key, signer, &self.genesis.domain()).unwrap().encode()
    }

    /// Submits until it is committed, as a careful client does: with one key, at any node that answers.
    pub async fn commit(&self, body: ProposalBody, key: &str) -> Submission {
        let encoding = self.sign(body, key);
        self.commit_signed(encoding).await
    }

    /// The same for a proposal that must not be refused.
    pub async fn commit_signed(&self, encoding: Vec<u8>) -> Submission {
        self.try_commit_signed(encoding).await.unwrap_or_else(|error| panic!("refused: {error}"))
    }

    /// Submits a signed proposal until it is committed or refused.
    pub async fn try_commit_signed(&self, encoding: Vec<u8>) -> Result<Submission, ApiError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for index in self.running().collect::<Vec<_>>() {
                let submit = Submit { timeout_ms: 5_000, ..Submit::signed(encoding.clone()) };
                match self.client(index).submit(submit).await {
                    Ok(submission) => return Ok(submission),
                    Err(ClientError::Api(error)) if !error.code.is_retryable() => return Err(error),
                    Err(_) => {}
                }
            }
            assert!(Instant::now() < deadline, "nothing was committed in {PATIENCE:?}");
        }
    }

    pub async fn status(&self, index: usize) -> Option<Status> {
        self.client(index).status().await.ok()
    }

    /// Waits until a node's status is as wanted.
    pub async fn wait_status(&self, index: usize, what: &str, is_wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(index).await;
            match status {
                Some(status) if is_wanted(&status) => return status,
                status => assert!(
                    Instant::now() < deadline,
                    "node {index}: waited in vain for {what}; its status is {status:#?}"
                ),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until all running nodes agree on a height of at least `height`, and returns their common state root there.
    pub async fn wait_same_root(&self, height: Height) -> Hash {
        let mut root = None;
        for index in self.running().collect::<Vec<_>>() {
            self.wait_status(index, "the height", |status| status.executed_height >= height.plus(2)).await;
            let found = self.certified_root(index, height).await;
            assert_eq!(*root.get_or_insert(found), found, "node {index} has another state at {height}");
        }
        root.expect("a node runs")
    }

    /// The state root after the block at `height`, or the next one above that a header certifies.
    async fn certified_root(&self, index: usize, height: Height) -> Hash {
        let client = self.client(index);
        let mut next = height.next();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match client.block(Some(next)).await {
                Ok(block) if block.header.executed_height >= height => {
                    return block.header.executed_state_root;
                }
                Ok(_) => next = next.next(),
                Err(_) => tokio::time::sleep(POLL).await,
            }
            assert!(Instant::now() < deadline, "no header of node {index} certifies height {height}");
        }
    }

    pub fn index_of(&self, validator: &ValidatorId) -> usize {
        self.nodes
            .iter()
            .position(|node| node.key.validator_id() == *validator)
            .expect("a node of the cluster")
    }
}

impl Node {
    pub fn client(&self) -> Client {
        let process = self.process.as_ref().expect("the node runs");
        let config = ClientConfig { timeout: Duration::from_secs(10), ..ClientConfig::new(&process.rest) };
        Client::connect(config).unwrap()
    }

    pub fn rest(&self) -> &str {
        &self.process.as_ref().expect("the node runs").rest
    }

    /// The process id.
    #[allow(dead_code, reason = "only the scenarios through Tor, which share this file, watch processes")]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the node runs").child.id()
    }

    /// The address of the running process by which others join.
    pub fn address(&self, transport: Transport) -> Option<String> {
        let is_wanted = |address: &&String| match transport {
            Transport::Quic => address.contains("/quic-v1"),
            Transport::Tcp => address.contains("/tcp/"),
            #[cfg(feature = "tor")]
            Transport::Tor => address.starts_with("/onion3/"),
        };
        self.process.as_ref()?.listen.iter().find(is_wanted).cloned()
    }
}

fn make_home(folder: &Path, index: usize) -> Node {
    let home = folder.join(format!("node{index}"));
    let name = format!("node{index}");
    let text = home.to_str().unwrap();
    aegis(&["--home", text, "init", "--name", &name]).unwrap_or_else(|error| panic!("init failed: {error}"));
    let seed =
        aegis(&["--home", text, "--output", "json", "keys", "export", "--purpose", "node", "--secret"])
            .unwrap();
    let seed: serde_json::Value = serde_json::from_str(&seed).unwrap();
    let seed: [u8; 32] = hex::decode(seed["secret"].as_str().unwrap()).unwrap().try_into().unwrap();
    Node { home, key: Keypair::from_seed(&seed), settings: Vec::new(), process: None }
}

/// The error that a refused call answers with.
pub fn api_error<T>(result: Result<T, ClientError>) -> ApiError {
    match result {
        Err(ClientError::Api(error)) => error,
        Err(error) => panic!("not answered: {error}"),
        Ok(_) => panic!("not refused"),
    }
}
