//! Finds busy and free ports on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::cli::Failure;

/// What listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortUse {
    /// Other nodes, over UDP and TCP.
    Peers,
    /// Clients, over TCP.
    Clients,
}

impl PortUse {
    const fn flag(self) -> &'static str {
        match self {
            Self::Peers => "--base-port",
            Self::Clients => "--rpc-port",
        }
    }

    fn is_free(self, port: u16) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let tcp = TcpListener::bind(address).is_ok();
        match self {
            Self::Clients => tcp,
            Self::Peers => tcp && UdpSocket::bind(address).is_ok(),
        }
    }
}

/// `count` ports from `first` upward.
///
/// # Errors
/// When there are not so many above `first`.
pub fn range(first: u16, count: u16, port_use: PortUse) -> Result<Vec<u16>, Failure> {
    match first.checked_add(count) {
        Some(end) if first > 0 => Ok((first..end).collect()),
        _ => Err(Failure::usage(format!("there are no {count} ports from {first} upward"))
            .help(format!("choose a lower one with {}", port_use.flag()))),
    }
}

/// Checks that all `ports` are free.
///
/// # Errors
/// Names the first busy one and the next free range of as many.
pub fn check_free(ports: &[u16], port_use: PortUse) -> Result<(), Failure> {
    let Some(busy) = ports.iter().find(|port| !port_use.is_free(**port)) else { return Ok(()) };
    let failure = Failure::new(format!("port {busy} is in use"));
    Err(match next_free(*busy, ports.len(), port_use) {
        Some(first) => failure.help(format!(
            "the next free range of {} starts at {first}: try {} {first}",
            ports.len(),
            port_use.flag()
        )),
        None => {
            failure.help(format!("stop the program that uses it, or choose others with {}", port_use.flag()))
        }
    })
}

/// The first of `count` free ports in a row above `busy`.
fn next_free(busy: u16, count: usize, port_use: PortUse) -> Option<u16> {
    let mut free = 0;
    for port in busy.checked_add(1)?..u16::MAX {
        free = if port_use.is_free(port) { free + 1 } else { 0 };
        if free == count {
            let before = u16::try_from(count.saturating_sub(1)).ok()?;
            return port.checked_sub(before);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_a_free_range_that_really_is_free() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let busy = holder.local_addr().expect("an address").port();
        let failure = check_free(&[busy], PortUse::Clients).expect_err("busy");
        assert!(failure.to_string().contains(&format!("port {busy} is in use")));
        if let Some(first) = next_free(busy, 3, PortUse::Peers) {
            assert!(first > busy);
            assert!((first..first + 3).all(|port| PortUse::Peers.is_free(port)));
        }
    }

    #[test]
    fn a_udp_socket_makes_a_peer_port_busy_and_not_a_client_port() {
        let holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = holder.local_addr().expect("an address").port();
        assert!(check_free(&[port], PortUse::Peers).is_err());
    }

    #[test]
    fn ranges_beyond_the_last_port_are_refused() {
        assert!(range(65_530, 31, PortUse::Peers).is_err());
        assert!(range(0, 1, PortUse::Peers).is_err());
        assert_eq!(range(8003, 2, PortUse::Clients).expect("ports"), [8003, 8004]);
    }
}
