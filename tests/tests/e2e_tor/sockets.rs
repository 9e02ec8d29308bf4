//! What processes do with the network, as the system sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks. A connection to a peer lasts far longer; a name lookup takes about a millisecond on loopback.
const POLL: Duration = Duration::from_millis(2);

/// With fewer looks a watch has seen too little to say anything; it goes on until then.
const LOOKS_MIN: u64 = 20;

/// State of a listening TCP socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A contact that no rule allows, in words.
type Contact = String;

/// Looks at all sockets of some processes, again and again, until it is asked what it saw.
pub struct SocketWatch {
    stop: Arc<AtomicBool>,
    looks: JoinHandle<BTreeSet<Contact>>,
}

/// What one process may do.
#[derive(Clone)]
pub struct Allowed {
    pub pid: u32,
    /// Where it serves clients.
    pub rpc: SocketAddr,
    /// Whom it may talk to.
    pub remotes: BTreeSet<SocketAddr>,
}

impl SocketWatch {
    pub fn start(processes: Vec<Allowed>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let looks = std::thread::spawn(move || {
            let (mut looks, mut found) = (0, BTreeSet::new());
            while looks < LOOKS_MIN || !is_over.load(Ordering::Relaxed) {
                found.extend(contacts(&processes));
                looks += 1;
                std::thread::sleep(POLL);
            }
            found
        });
        Self { stop, looks }
    }

    /// Ends the watch: the contacts that were not allowed.
    pub fn end(self) -> BTreeSet<Contact> {
        self.stop.store(true, Ordering::Relaxed);
        self.looks.join().expect("the watch looks to its end")
    }
}

/// One row of the system's tables of sockets.
struct Socket {
    protocol: &'static str,
    local: SocketAddr,
    remote: SocketAddr,
    state: String,
    inode: String,
}

/// All sockets of this machine, of whomever.
fn sockets() -> Vec<Socket> {
    let of_table = |protocol: &'static str| {
        let table = std::fs::read_to_string(format!("/proc/net/{protocol}")).unwrap_or_default();
        let row = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, remote, state, .., inode] = fields.get(..10)? else { return None };
            Some(Socket {
                protocol,
                local: address(local),
                remote: address(remote),
                state: (*state).to_owned(),
                inode: (*inode).to_owned(),
            })
        };
        table.lines().skip(1).filter_map(row).collect::<Vec<_>>()
    };
    ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"].into_iter().flat_map(of_table).collect()
}

/// Whom processes are connected to at this moment, and by how many connections.
pub fn connected(processes: &[Allowed]) -> BTreeMap<SocketAddr, usize> {
    let owned: BTreeSet<_> = processes.iter().flat_map(|process| sockets_of(process.pid)).collect();
    let mut remotes = BTreeMap::new();
    for socket in sockets().into_iter().filter(|socket| owned.contains(&socket.inode)) {
        *remotes.entry(socket.remote).or_default() += 1;
    }
    remotes
}

/// Which of some processes has a socket with this address at its own end.
pub fn owner_of(local: SocketAddr, processes: &[Allowed]) -> Option<u32> {
    let inode = sockets().into_iter().find(|socket| socket.local == local)?.inode;
    processes.iter().map(|process| process.pid).find(|pid| sockets_of(*pid).contains(&inode))
}

/// The contacts of processes at this moment that are not allowed.
fn contacts(processes: &[Allowed]) -> Vec<Contact> {
    // What a process opens after this look is seen by the next one.
    let owned: Vec<_> = processes.iter().map(|process| (process, sockets_of(process.pid))).collect();
    let mut found = Vec::new();
    for socket in sockets() {
        let Some((process, _)) = owned.iter().find(|(_, inodes)| inodes.contains(&socket.inode)) else {
            continue;
        };
        let Socket { protocol, local, remote, state, .. } = &socket;
        let serves = *local == process.rpc;
        let is_allowed = protocol.starts_with("tcp")
            && (serves || (state != LISTENING && process.remotes.contains(remote)));
        if !is_allowed {
            found.push(format!("{protocol} {local} -> {remote} (state {state})"));
        }
    }
    found
}

/// The inodes of a process's sockets.
fn sockets_of(pid: u32) -> BTreeSet<String> {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let inode = |path: &Path| {
        let target = std::fs::read_link(path).ok()?;
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    open.flatten().filter_map(|entry| inode(&entry.path())).collect()
}

/// An address as the system prints it: 32-bit groups in the machine's byte order.
fn address(text: &str) -> SocketAddr {
    let (host, port) = text.split_once(':').expect("a port");
    let bytes: Vec<u8> = host
        .as_bytes()
        .chunks(8)
        .flat_map(|group| {
            let group = std::str::from_utf8(group).expect("digits");
            u32::from_str_radix(group, 16).expect("digits").to_ne_bytes()
        })
        .collect();
    let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(short) => Ipv4Addr::from(short).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).expect("16 bytes")).to_canonical(),
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).expect("digits"))
}

/// The addresses of this machine, apart from loopback, as the kernel lists them.
pub fn host_addresses() -> BTreeMap<String, &'static str> {
    let mut found = BTreeMap::new();
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut last = "";
    for line in table.lines().map(str::trim) {
        if line == "/32 host LOCAL" && !last.starts_with("127.") {
            found.insert(last.to_owned(), "an address of the machine");
        }
        last = line.strip_prefix("|-- ").unwrap_or(last);
    }
    found
}
