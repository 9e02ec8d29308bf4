//! How to reach a node.

use std::path::PathBuf;
use std::time::Duration;

/// How to reach a node.
#[derive(Clone)]
pub struct ClientConfig {
    /// The node's address, such as `http://127.0.0.1:8003`.
    pub url: String,
    /// The token of the node's home; needed for what the node signs, and for reads from another machine.
    pub token: Option<String>,
    /// PEM file with the authority, or the certificate itself, to trust with `https`; the system's authorities when absent.
    pub ca: Option<PathBuf>,
    /// How long a read may take. Submissions and votes take as long as they ask the node to wait, and a little.
    pub timeout: Duration,
}

impl ClientConfig {
    /// How long a read may take when nothing else is said.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

    /// Reaches a node without a token.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), token: None, ca: None, timeout: Self::TIMEOUT_DEFAULT }
    }
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| ".."))
            .field("ca", &self.ca)
            .field("timeout", &self.timeout)
            .finish()
    }
}
