//! What a server is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::RpcError;
use crate::token::Token;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Where to listen; port 0 takes any free one.
    pub bind: SocketAddr,
    /// The token for what the node signs; without one the node signs nothing for clients.
    pub token: Option<Token>,
    /// TLS; without it the server speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Bounds.
    pub limits: RpcLimits,
}

impl RpcConfig {
    /// The port that a node listens on by default.
    pub const PORT_DEFAULT: u16 = 8003;

    /// Plain HTTP on the loopback address, without a token.
    pub fn loopback(port: u16) -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            token: None,
            tls: None,
            limits: RpcLimits::default(),
        }
    }

    /// Checks what does not need the files.
    ///
    /// # Errors
    /// `Unprotected` for an address that others can reach without TLS and token, `ZeroLimit`.
    pub fn check(&self) -> Result<(), RpcError> {
        let missing = match (&self.tls, &self.token) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some("TLS is"),
            (Some(_), None) => Some("a token is"),
            (None, None) => Some("TLS and a token are"),
        };
        match missing {
            Some(missing) if !self.bind.ip().is_loopback() => {
                Err(RpcError::Unprotected { address: self.bind, missing })
            }
            _ => self.limits.check(),
        }
    }
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Bounds of what clients may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcLimits {
    /// Largest request body and gRPC message, in bytes. The default holds the largest proposal in base64 in JSON.
    pub body_bytes: usize,
    /// Longest time for a read, in all; submissions add the time that they ask to wait.
    pub request_timeout: Duration,
    /// Most connections at a time; further ones are closed at once.
    pub connections: usize,
    /// Most connections of one IP address (of one /64 for IPv6) at a time, so that no one client can hold them all.
    pub connections_per_address: usize,
    /// Most watchers at a time, of all surfaces together.
    pub watchers: usize,
    /// Most submissions and votes that wait at a time, of all surfaces together.
    pub submissions: usize,
    /// Requests per second of one IP address (of one /64 for IPv6), averaged; twice as many at once. A stream counts once.
    pub requests_per_second: u32,
    /// How long a watcher may leave the buffer of events full before it is closed.
    pub watch_stall: Duration,
}

impl RpcLimits {
    fn check(&self) -> Result<(), RpcError> {
        let limits = [
            ("body_bytes", self.body_bytes == 0),
            ("request_timeout", self.request_timeout.is_zero()),
            ("connections", self.connections == 0),
            ("connections_per_address", self.connections_per_address == 0),
            ("watchers", self.watchers == 0),
            ("submissions", self.submissions == 0),
            ("requests_per_second", self.requests_per_second == 0),
            ("watch_stall", self.watch_stall.is_zero()),
        ];
        match limits.iter().find(|(_, is_zero)| *is_zero) {
            Some((limit, _)) => Err(RpcError::ZeroLimit { limit }),
            None => Ok(()),
        }
    }
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            body_bytes: 256 * 1024,
            request_timeout: Duration::from_secs(10),
            connections: 1_024,
            connections_per_address: 256,
            watchers: 256,
            submissions: 8_192,
            requests_per_second: 10_000,
            watch_stall: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_needs_tls_and_token() {
        let mut config = RpcConfig::loopback(0);
        config.check().unwrap();
        config.bind = "0.0.0.0:0".parse().unwrap();
        assert!(config.check().unwrap_err().to_string().contains("TLS and a token are missing"));
        config.token = Some(Token::random());
        assert!(config.check().unwrap_err().to_string().contains("TLS is missing"));
        config.tls = Some(TlsFiles { certificate: "c.pem".into(), key: "k.pem".into() });
        config.check().unwrap();
        config.token = None;
        assert!(config.check().unwrap_err().to_string().contains("a token is missing"));
    }

    #[test]
    fn a_limit_of_zero_is_refused_by_name() {
        let mut config = RpcConfig::loopback(0);
        config.limits.watchers = 0;
        assert!(config.check().unwrap_err().to_string().contains("`watchers`"));
    }
}
