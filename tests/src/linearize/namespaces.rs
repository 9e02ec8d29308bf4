//! A network namespace for each node, joined by a bridge in one more.
//!
//! Nodes reach each other at `10.77.0.N`. A cut between two nodes is a blackhole route on both sides: whatever the one sends
//! to the other vanishes, on connections that exist too. The loopback of a node's namespace stays as it is, and clients
//! enter by it, so that a node that is cut off from its peers can still be asked.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

/// The namespaces of one run; removed when dropped.
#[derive(Debug)]
pub struct Namespaces {
    prefix: String,
    nodes: usize,
}

impl Namespaces {
    /// Whether this machine lets us make namespaces, and if not, why.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn check() -> anyhow::Result<()> {
        let name = format!("aegis-probe-{}", std::process::id());
        ip(&["netns", "add", &name])?;
        let bridge = ip(&["-n", &name, "link", "add", "br0", "type", "bridge"]);
        ip(&["netns", "del", &name])?;
        bridge
    }

    /// Makes namespaces for so many nodes, at most 200, all connected.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn make(nodes: usize) -> anyhow::Result<Self> {
        let made = Self { prefix: format!("aegis-{}", std::process::id()), nodes };
        let hub = made.hub();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "br0", "up"])?;
        for node in 0..nodes {
            let (name, port) = (made.name(node), format!("node{node}"));
            let address = format!("{}/24", address(node));
            ip(&["netns", "add", &name])?;
            ip(&[
                "link", "add", &port, "netns", &hub, "type", "veth", "peer", "name", "eth0", "netns", &name,
            ])?;
            ip(&["-n", &hub, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        }
        Ok(made)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    /// The name of a node's namespace.
    pub fn name(&self, node: usize) -> String {
        format!("{}-{node}", self.prefix)
    }

    /// The file that a thread enters a node's namespace by.
    pub fn path(&self, node: usize) -> PathBuf {
        PathBuf::from("/run/netns").join(self.name(node))
    }

    /// Cuts two nodes off from each other, both ways.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn cut(&self, one: usize, other: usize) -> anyhow::Result<()> {
        for (from, to) in [(one, other), (other, one)] {
            let to = format!("{}/32", address(to));
            ip(&["-n", &self.name(from), "route", "add", "blackhole", &to])?;
        }
        Ok(())
    }

    /// Takes all cuts back.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn heal(&self) -> anyhow::Result<()> {
        (0..self.nodes)
            .try_for_each(|node| ip(&["-n", &self.name(node), "route", "flush", "type", "blackhole"]))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in (0..self.nodes).map(|node| self.name(node)).chain([self.hub()]) {
            if let Err(error) = ip(&["netns", "del", &name]) {
                eprintln!("note: {error:#}");
            }
        }
    }
}

/// A node's address on the common network.
pub fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(node + 1).unwrap_or(u8::MAX))
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output =
        Command::new("ip").args(arguments).output().context("`ip` cannot be run: install iproute2")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("`ip {}` failed: {said}", arguments.join(" "));
    }
    Ok(())
}
