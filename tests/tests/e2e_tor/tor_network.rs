//! The private Tor network that the scenarios share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aegis_rpc::Status;
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::{Cluster, PATIENCE, Transport};

/// The network, made when the first scenario asks for it. Its processes end with the process of the tests.
pub struct TorNetwork {
    folder: PathBuf,
}

/// The network, for one scenario at a time.
pub fn network() -> MutexGuard<'static, TorNetwork> {
    static NETWORK: OnceLock<Mutex<TorNetwork>> = OnceLock::new();
    let network = NETWORK.get_or_init(|| Mutex::new(TorNetwork::up()));
    // A scenario that has failed leaves the network as it is: `heal` mends it.
    let network = network.lock().unwrap_or_else(PoisonError::into_inner);
    network.heal();
    network
}

impl TorNetwork {
    fn up() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tor-network");
        let network = Self { folder };
        // Left by a run before this one. Its relays look for that run every few seconds only, and may still write.
        if network.folder.join("members.json").exists() {
            network.script("down", &[]);
        }
        if network.folder.exists() {
            std::fs::remove_dir_all(&network.folder)
                .expect("the folder of an earlier network can be removed");
        }
        let owner = std::process::id().to_string();
        let said = network.script("up", &["--owner", &owner]);
        eprintln!("{}", said.trim());
        network
    }

    fn script(&self, action: &str, arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/tor-network");
        let mut command = Command::new(script);
        command.arg(action).arg(&self.folder).args(arguments);
        let output = command.output().expect("the script runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tor-network {action} failed: {error}");
        String::from_utf8(output.stdout).expect("the script prints text")
    }

    /// Names, process ids (none for a dead one) and addresses of all relays.
    fn relays(&self) -> Vec<(String, Option<u32>, [SocketAddr; 2])> {
        let parse = |line: &str| {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let addresses = [parts[2].parse().unwrap(), parts[3].parse().unwrap()];
            (parts[0].to_owned(), parts[1].parse().ok(), addresses)
        };
        self.script("list", &[]).lines().map(parse).collect()
    }

    /// Where the relays listen: all that a node with nothing but Tor may talk to.
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.relays().into_iter().flat_map(|(_, _, addresses)| addresses).collect()
    }

    /// Kills relays without a word: those of the most connections, so that these are guards in use. Authorities are spared,
    /// without whom there would be no directory. Their names.
    pub fn kill_guards(&self, connections: &BTreeMap<SocketAddr, usize>, count: usize) -> Vec<String> {
        let used = |addresses: &[SocketAddr; 2]| -> usize {
            addresses.iter().filter_map(|address| connections.get(address)).sum()
        };
        let mut relays: Vec<_> =
            self.relays().into_iter().map(|(name, _, addresses)| (used(&addresses), name)).collect();
        relays.retain(|(used, name)| *used > 0 && name.starts_with("relay"));
        relays.sort_unstable_by(|a, b| b.cmp(a));
        relays.truncate(count);
        let names: Vec<String> = relays.into_iter().map(|(_, name)| name).collect();
        self.script("kill", &names.iter().map(String::as_str).collect::<Vec<_>>());
        names
    }

    /// All relays fall silent at one moment, as when the line of the nodes is cut: nothing is closed, and nothing answers.
    pub fn suspend(&self) {
        self.signal_all(Signal::STOP);
    }

    /// All relays go on.
    pub fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        for pid in self.relays().into_iter().filter_map(|(_, pid, _)| pid) {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
            kill_process(pid, signal).expect("a relay that runs");
        }
    }

    fn heal(&self) {
        self.resume();
        let dead: Vec<String> =
            self.relays().into_iter().filter(|(_, pid, _)| pid.is_none()).map(|(name, _, _)| name).collect();
        if !dead.is_empty() {
            self.script("start", &dead.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    /// The setting that makes a node use this network.
    pub fn setting(&self) -> String {
        format!("p2p.tor.network={}", self.folder.join("network.toml").display())
    }

    /// The same with addresses where no relay is, so that a node is never in the network.
    pub fn setting_without_relays(&self) -> String {
        let described = std::fs::read_to_string(self.folder.join("network.toml")).unwrap();
        // Port 9 is nobody's.
        let ports: BTreeSet<u16> = self.addresses().iter().map(SocketAddr::port).collect();
        let without = ports
            .iter()
            .fold(described, |text, port| text.replace(&format!("127.0.0.1:{port}\""), "127.0.0.1:9\""));
        let path = self.folder.join("without-relays.toml");
        std::fs::write(&path, without).unwrap();
        format!("p2p.tor.network={}", path.display())
    }

    /// Homes of equal validators that will use this network.
    pub fn cluster(&self, validators: usize) -> Cluster {
        let mut cluster = Cluster::new(&vec![1; validators], &[]);
        cluster.settings.push(self.setting());
        // What the parts say to each other, for the scenarios that read it.
        cluster.settings.push("telemetry.log_level=info,aegis_p2p=debug".to_owned());
        cluster
    }

    /// A running network of validators and one observer with nothing but Tor. All but the first know one onion address, that
    /// of the first.
    pub fn start(&self, validators: usize) -> Cluster {
        let mut cluster = self.cluster(validators);
        cluster.add_home();
        for index in 0..cluster.nodes.len() {
            cluster.start_node(index, &[Transport::Tor]);
        }
        cluster
    }
}

/// Waits until a node's status is as wanted, as long as Tor may take.
pub async fn wait_status(
    cluster: &Cluster,
    index: usize,
    what: &str,
    is_wanted: impl Fn(&Status) -> bool,
) -> Status {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            match cluster.status(index).await {
                Some(status) if is_wanted(&status) => return status,
                Some(_) | None => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    });
    match waited.await {
        Ok(status) => status,
        Err(_) => panic!("node {index}: waited in vain for {what}: {:#?}", cluster.status(index).await),
    }
}

/// Waits until every running node is connected to all others.
pub async fn wait_connected(cluster: &Cluster) {
    let running: Vec<usize> = cluster.running().collect();
    for index in &running {
        let others = u32::try_from(running.len() - 1).unwrap();
        wait_status(cluster, *index, "all others", |status| status.peers >= others).await;
    }
}
