//! The port of a node that is gone, held by the test: a dial to a dead port is over before anybody can see it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sockets::{Allowed, owner_of};

/// Between two looks for somebody who dials, who then waits for an answer for seconds.
const POLL: Duration = Duration::from_millis(5);

/// How long the system may keep a port after the death of its owner.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Dials of each process; those of nobody known are under no id.
type Dials = BTreeMap<Option<u32>, usize>;

/// Takes connections at the port until it is asked who came.
pub struct Vacated {
    stop: Arc<AtomicBool>,
    dials: JoinHandle<Dials>,
}

impl Vacated {
    /// Takes the port of an address such as `/ip4/127.0.0.1/tcp/4000/p2p/...` and looks which of the processes dial it.
    pub fn take(address: &str, processes: Vec<Allowed>) -> Self {
        let port: u16 = address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a TCP port");
        let listener = bind(port);
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let dials = std::thread::spawn(move || {
            let mut dials = Dials::new();
            // They stay open, so that their other ends can be found.
            let mut open: Vec<TcpStream> = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let Ok((stream, from)) = listener.accept() else {
                    std::thread::sleep(POLL);
                    continue;
                };
                *dials.entry(owner_of(from, &processes)).or_default() += 1;
                open.push(stream);
            }
            dials
        });
        Self { stop, dials }
    }

    /// Who came, and how often.
    pub fn end(self) -> Dials {
        self.stop.store(true, Ordering::Relaxed);
        self.dials.join().expect("the port is watched to the end")
    }
}

fn bind(port: u16) -> TcpListener {
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "port {port} is not free: {error}"),
        }
        std::thread::sleep(POLL);
    }
}
