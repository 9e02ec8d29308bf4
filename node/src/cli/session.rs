//! A conversation with a node: where it is, who we are, for which chain we sign.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis_rpc::{ApiError, Client, ClientConfig, ClientError, Consistency, ErrorCode};
use aegis_types::{Domain, Keypair};

use super::failure::{Exit, Failure};
use super::{Global, Output};
use crate::home::Home;
use crate::keyfile::{KeyFile, KeyPurpose};

/// Where a node listens when nothing says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8003";
/// How long reads may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A conversation with a node.
pub struct Session {
    /// The client.
    pub client: Client,
    /// The node's address.
    pub url: String,
    /// Where results and notes go.
    pub output: Output,
    home: Home,
}

impl Session {
    /// Prepares to talk to the node that the command line, the environment or the home names.
    ///
    /// # Errors
    /// When the home's configuration or token cannot be used, or the address makes no sense.
    pub fn open(global: &Global) -> Result<Self, Failure> {
        let home = global.home();
        let (url, home_ca) = match &global.rpc {
            Some(url) => (url.clone(), None),
            None if home.is_initialised() => url_of_home(&home)?,
            None if global.names_home() => {
                return Err(Failure::new(format!("{} is no node's home", home.path().display()))
                    .exit(Exit::Usage)
                    .help("`aegis init --home DIR` makes one; --rpc URL talks to a node without a home"));
            }
            None => (DEFAULT_URL.to_owned(), None),
        };
        let config = ClientConfig {
            url: url.clone(),
            token: token(&home, &url)?,
            ca: global.ca.clone().or(home_ca),
            timeout: READ_TIMEOUT,
        };
        let client = Client::connect(config).map_err(|error| explain(error, &url))?;
        Ok(Self { client, url, output: global.output(), home })
    }

    /// The same conversation, with reads as fresh as asked.
    #[must_use]
    pub fn reading(self, consistency: Consistency) -> Self {
        Self { client: self.client.reading(consistency), ..self }
    }

    /// Turns an error of the client into a failure.
    pub fn failure(&self, error: ClientError) -> Failure {
        explain(error, &self.url)
    }

    /// The key that signs proposals: the file given, or the home's account key.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn account_key(&self, file: Option<&Path>) -> Result<Keypair, Failure> {
        match file {
            Some(file) => Ok(KeyFile::read(file)?.keypair),
            None => self.home.read_account_key().map_err(|error| {
                Failure::from(error).help("sign with --key FILE, or name the home of a node with --home DIR")
            }),
        }
    }

    /// The key of the home's node, when there is a home with one.
    ///
    /// # Errors
    /// When there is one that cannot be used.
    pub fn node_key(&self, file: Option<&Path>) -> Result<Option<Keypair>, Failure> {
        match file {
            Some(file) => Ok(Some(KeyFile::read_for(file, KeyPurpose::Node)?)),
            None if self.home.node_key_path().exists() => Ok(Some(self.home.read_node_key()?)),
            None => Ok(None),
        }
    }

    /// The chain to sign for: the home's genesis, or what the node says its chain is.
    ///
    /// # Errors
    /// When neither can be had.
    pub async fn domain(&self) -> Result<Domain, Failure> {
        if self.home.genesis_path().exists() {
            return Ok(self.home.read_genesis()?.genesis.domain());
        }
        let status = self.client.status().await.map_err(|error| self.failure(error))?;
        self.output.note(&format!(
            "note: no genesis at hand; signing for chain {} (genesis {}) because the node at {} says so",
            status.chain_id,
            status.genesis.short(),
            self.url
        ));
        Ok(Domain::new(status.chain_id, status.genesis))
    }
}

/// The token to send to `url`: the home's is for the address at which the home's own node said that it serves, as whoever else is
/// named may keep what it is sent.
fn token(home: &Home, url: &str) -> Result<Option<String>, Failure> {
    match std::env::var("AEGIS_TOKEN") {
        Ok(token) if !token.is_empty() => Ok(Some(token)),
        _ if home.token_path().exists() && is_own(home, url) => Ok(Some(home.read_token()?)),
        _ => Ok(None),
    }
}

fn is_own(home: &Home, url: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').replace("://localhost:", "://127.0.0.1:");
    home.rpc_url().is_some_and(|own| plain(&own) == plain(url))
}

/// Where the home's node serves, and its certificate. What listens at the configured address while the node does not run is
/// somebody else.
fn url_of_home(home: &Home) -> Result<(String, Option<PathBuf>), Failure> {
    let rpc = home.config_layers()?.resolve()?.config.rpc;
    let certificate = rpc.tls_certificate.within(home.path());
    match home.rpc_url() {
        Some(url) => Ok((url, certificate)),
        None => {
            let home = home.path().display();
            let what = format!("no node serves for {home}: it does not run, or is still starting");
            Err(Failure::new(what).exit(Exit::Unreachable).help(format!(
                "`aegis run --home {home}` starts it; --rpc URL talks to another node, or to this one from another machine"
            )))
        }
    }
}

/// An address to dial for an address that was listened on.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

fn explain(error: ClientError, url: &str) -> Failure {
    match error {
        ClientError::Api(error) => refusal(&error, url),
        error if error.is_unreachable() => Failure::new(error.to_string()).exit(Exit::Unreachable),
        error => Failure::new(error.to_string()),
    }
}

fn refusal(error: &ApiError, url: &str) -> Failure {
    let failure = Failure::new(error.message.clone());
    match error.code {
        ErrorCode::BadSignature => failure.exit(Exit::Refused).help(format!(
            "is {url} a node of the chain that was signed for? Compare `aegis status --rpc {url}` with the home's genesis.toml"
        )),
        ErrorCode::Unauthenticated => failure.help(
            "the token stands in rpc.token of the node's home: name that home with --home and leave --rpc out, or, from elsewhere \
             and by another name, set AEGIS_TOKEN to it",
        ),
        ErrorCode::Expired => {
            failure.exit(Exit::Refused).help("is this computer's clock right? Submit again with a longer --expires-in")
        }
        ErrorCode::ExpiryTooFar => failure.exit(Exit::Refused).help("submit again with a shorter --expires-in"),
        ErrorCode::Conflict => failure.exit(Exit::Refused),
        ErrorCode::InvalidArgument | ErrorCode::UnknownKind | ErrorCode::TooLarge => failure.exit(Exit::Refused),
        ErrorCode::OutcomeUnknown => failure.exit(Exit::OutcomeUnknown),
        ErrorCode::Unavailable | ErrorCode::NotReady => {
            failure.help("`aegis status` tells how far the node is; try again in a moment")
        }
        ErrorCode::NotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::ForbiddenOrigin
        | ErrorCode::Busy
        | ErrorCode::SlowReader
        | ErrorCode::Pruned => failure,
        ErrorCode::Internal => failure.help("the node's log says more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_interfaces_is_dialled_on_loopback() {
        let dial = |listen: &str| reachable(listen.parse().expect("an address")).to_string();
        assert_eq!(dial("0.0.0.0:8003"), "127.0.0.1:8003");
        assert_eq!(dial("[::]:1"), "[::1]:1");
        assert_eq!(dial("192.0.2.1:8003"), "192.0.2.1:8003");
    }

    #[test]
    fn a_homes_token_goes_to_its_own_node_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let home = Home::new(folder.path());
        assert!(!is_own(&home, "http://127.0.0.1:8003"), "no node has said that it serves there");
        let _announcement = home.announce_rpc("http://127.0.0.1:8003").expect("announced");
        for own in ["http://127.0.0.1:8003", "http://127.0.0.1:8003/", "http://localhost:8003"] {
            assert!(is_own(&home, own), "{own}");
        }
        for other in ["http://127.0.0.1:8004", "https://127.0.0.1:8003", "http://localhost:8003.example"] {
            assert!(!is_own(&home, other), "{other}");
        }
    }

    #[test]
    fn refusals_have_their_own_exit_codes() {
        let exit = |code| refusal(&ApiError::new(code, "x"), "http://127.0.0.1:1").reason();
        assert_eq!(exit(ErrorCode::OutcomeUnknown), Exit::OutcomeUnknown);
        assert_eq!(exit(ErrorCode::Expired), Exit::Refused);
        assert_eq!(exit(ErrorCode::Busy), Exit::Failed);
    }
}
