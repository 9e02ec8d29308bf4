//! Who is in a test network: keys, weights, addresses; writes the homes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aegis_config::{GenesisFile, GenesisFormat, render};
use aegis_types::{
    ChainId, Epoch, Genesis, Member, Parameter, Parameters, ValidatorId, ValidatorSet, Weight,
};
use anyhow::Context as _;

use crate::cli::Failure;
use crate::home::{Home, NewHome};
use crate::keyfile::{KeyFile, KeyPurpose};

/// Most validators of a test network: all of them vote to all others, on one computer.
pub const VALIDATORS_MAX: u16 = 31;
/// Most observers of a test network on one computer.
pub const OBSERVERS_MAX: u16 = 32;
/// Epoch of a test network: short, so that a change of validators is seen soon.
const EPOCH_LENGTH_MS: u64 = 30_000;

/// Where a node of a plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host that others dial: a name or an IP address.
    pub host: String,
    /// Whether the node listens on loopback only.
    pub is_local: bool,
    /// Port for other nodes.
    pub p2p_port: u16,
    /// Port for clients, always on loopback.
    pub rpc_port: u16,
}

impl Place {
    /// A place on this computer.
    pub fn local(p2p_port: u16, rpc_port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), is_local: true, p2p_port, rpc_port }
    }

    /// Addresses that others dial.
    pub fn dial(&self) -> Vec<String> {
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => format!("/ip4/{ip}"),
            Ok(IpAddr::V6(ip)) => format!("/ip6/{ip}"),
            Err(_) => format!("/dns/{}", self.host),
        };
        transports(&host, self.p2p_port)
    }

    fn listen(&self) -> Vec<String> {
        let host = match self.host.parse::<IpAddr>() {
            _ if self.is_local => "/ip4/127.0.0.1",
            Ok(IpAddr::V6(_)) => "/ip6/::",
            Ok(IpAddr::V4(_)) | Err(_) => "/ip4/0.0.0.0",
        };
        transports(host, self.p2p_port)
    }
}

fn transports(host: &str, port: u16) -> Vec<String> {
    vec![format!("{host}/udp/{port}/quic-v1"), format!("{host}/tcp/{port}")]
}

/// Places on the given hosts, in order; a host that is named again gets the next ports.
///
/// # Errors
/// When a port would be beyond the last one.
pub fn places_on(hosts: &[String], p2p_port: u16, rpc_port: u16) -> Result<Vec<Place>, Failure> {
    let mut seen: BTreeMap<&str, u16> = BTreeMap::new();
    let mut places = Vec::with_capacity(hosts.len());
    for host in hosts {
        let offset = seen.entry(host).or_default();
        let port = |first: u16| {
            first
                .checked_add(*offset)
                .ok_or_else(|| Failure::usage("there are not so many ports: choose lower ones"))
        };
        let (p2p_port, rpc_port) = (port(p2p_port)?, port(rpc_port)?);
        places.push(Place { host: host.clone(), is_local: false, p2p_port, rpc_port });
        *offset = offset.saturating_add(1);
    }
    Ok(places)
}

/// A test network that is to be made.
#[derive(Debug)]
pub struct Plan {
    /// The folder with the homes.
    pub folder: PathBuf,
    /// The network's name.
    pub chain: ChainId,
    /// The validators' weights, in order of node.
    pub weights: Vec<u64>,
    /// Where the nodes are, validators first.
    pub places: Vec<Place>,
}

/// The home of the node number `index` in a test network's folder.
pub fn home_of(folder: &Path, index: usize) -> Home {
    Home::new(folder.join(format!("node{index}")))
}

/// The genesis of a test network, beside its homes.
pub fn genesis_path(folder: &Path) -> PathBuf {
    folder.join("genesis.toml")
}

/// The weights that `--weights` gives, or equal ones.
///
/// # Errors
/// When their number is not that of the validators.
pub fn weights(given: &[u64], validators: u16) -> Result<Vec<u64>, Failure> {
    if given.is_empty() {
        return Ok(vec![1; usize::from(validators)]);
    }
    if given.len() != usize::from(validators) {
        return Err(Failure::usage(format!("{} weights for {validators} validators", given.len()))
            .help("give one weight for each validator, separated by commas"));
    }
    Ok(given.to_vec())
}

impl Plan {
    /// Writes genesis and homes.
    ///
    /// # Errors
    /// When the weights cannot be, or a file or folder exists or cannot be written.
    pub fn write(&self) -> Result<GenesisFile, Failure> {
        let mut keys = Vec::with_capacity(self.places.len());
        for _ in &self.places {
            keys.push((KeyFile::generate(KeyPurpose::Node)?, KeyFile::generate(KeyPurpose::Account)?));
        }
        let ids: Vec<ValidatorId> = keys.iter().map(|(node, _)| node.keypair.validator_id()).collect();
        let genesis = self.genesis(&ids)?;
        std::fs::create_dir_all(&self.folder).map_err(|error| Failure::file(&self.folder, error))?;
        for (index, (node_key, account_key)) in keys.iter().enumerate() {
            let config = self.config(index);
            let new = NewHome { config, genesis: Some(&genesis), node_key, account_key };
            home_of(&self.folder, index).create(&new)?;
        }
        let path = genesis_path(&self.folder);
        std::fs::write(&path, genesis.to_text(GenesisFormat::Toml)).context(path.display().to_string())?;
        Ok(genesis)
    }

    fn genesis(&self, ids: &[ValidatorId]) -> Result<GenesisFile, Failure> {
        let member = |(id, weight): (&ValidatorId, &u64)| Member { validator: *id, weight: Weight(*weight) };
        let members = ids.iter().zip(&self.weights).map(member).collect();
        let mut parameters = Parameters::default();
        parameters.set(Parameter::EpochLengthMs, EPOCH_LENGTH_MS)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let genesis = Genesis {
            chain: self.chain.clone(),
            timestamp_ms: u64::try_from(now.as_millis()).unwrap_or_default(),
            validators: ValidatorSet::new(Epoch::ZERO, members)?,
            parameters,
        };
        let names =
            ids.iter().zip(&self.weights).enumerate().map(|(index, (id, _))| (*id, format!("node{index}")));
        Ok(GenesisFile { genesis, names: names.collect() })
    }

    /// The configuration of the node number `index`.
    pub fn config(&self, index: usize) -> String {
        config_of(&self.places, index)
    }
}

/// The configuration of the node number `index` of those at `places`: it joins by all others.
pub fn config_of(places: &[Place], index: usize) -> String {
    let list = |items: Vec<String>| toml::Value::Array(items.into_iter().map(Into::into).collect());
    let Some(place) = places.get(index) else { return render(&[]) };
    let others = places.iter().enumerate().filter(|(other, _)| *other != index);
    let bootstrap = others.flat_map(|(_, place)| place.dial()).collect();
    let mut values = vec![
        ("node.name", format!("node{index}").into()),
        ("p2p.listen", list(place.listen())),
        ("p2p.bootstrap", list(bootstrap)),
        ("rpc.listen", format!("127.0.0.1:{}", place.rpc_port).into()),
    ];
    if !place.is_local {
        values.push(("p2p.external", list(place.dial())));
    }
    render(&values)
}

#[cfg(test)]
mod tests {
    use aegis_config::Layers;

    use super::*;

    fn plan(folder: &Path, weights: Vec<u64>) -> Plan {
        let places = (0..3).map(|index| Place::local(17_003 + index, 18_003 + index)).collect();
        Plan { folder: folder.to_owned(), chain: "test".parse().expect("a chain id"), weights, places }
    }

    #[test]
    fn every_home_has_the_same_genesis_and_a_configuration_that_leads_to_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let genesis = plan(folder.path(), vec![1, 2]).write().expect("written");
        for index in 0..3 {
            let home = home_of(folder.path(), index);
            assert_eq!(home.read_genesis().expect("a genesis").genesis.hash(), genesis.genesis.hash());
            let layers = Layers::new().read_file(&home.config_path()).expect("a file");
            let config = layers.resolve().expect("valid").config;
            assert_eq!(config.p2p.bootstrap.len(), 4);
            assert!(config.p2p.bootstrap.iter().all(|address| !config.p2p.listen.contains(address)));
            let id = home.read_node_key().expect("a key").validator_id();
            assert_eq!(genesis.genesis.validators.contains(&id), index < 2);
            assert_eq!(genesis.genesis.validators.weight_of(&id), Weight([1, 2, 0][index]));
        }
    }

    #[test]
    fn hosts_are_dialled_by_name_or_address_and_a_host_named_twice_gets_two_ports() {
        let hosts = ["a.example.org", "192.0.2.1", "a.example.org"].map(str::to_owned);
        let places = places_on(&hosts, 7003, 8003).expect("places");
        let dial: Vec<_> = places.iter().map(|place| place.dial()[1].clone()).collect();
        assert_eq!(
            dial,
            ["/dns/a.example.org/tcp/7003", "/ip4/192.0.2.1/tcp/7003", "/dns/a.example.org/tcp/7004"]
        );
        assert_eq!(places[0].listen()[1], "/ip4/0.0.0.0/tcp/7003");
    }

    #[test]
    fn weights_must_fit_the_validators_and_the_rules() {
        assert_eq!(weights(&[], 3).expect("equal"), [1, 1, 1]);
        assert!(weights(&[1, 2], 3).is_err());
        let folder = tempfile::tempdir().expect("a folder");
        let failure = plan(folder.path(), vec![0, 1, 1]).write().expect_err("no weight");
        assert!(failure.to_string().contains("weight 0"), "{failure}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
    }
}
