//! Why a server cannot start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the server was not started. All are the operator's to mend; none occurs once it runs.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// An address that others can reach, without what protects it.
    #[error(
        "refusing to serve on {address}, which others can reach: {missing} missing; configure TLS and a token, or bind to 127.0.0.1"
    )]
    Unprotected {
        /// The address.
        address: SocketAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// Another program has the port.
    #[error("port {} of {} is in use: stop the program that has it, or choose another port", address.port(), address.ip())]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The operating system refuses the address.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What it says.
        source: std::io::Error,
    },
    /// A TLS file that cannot be used.
    #[error("{path} cannot be used for TLS: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// A token that is too weak or has characters that a header cannot carry.
    #[error("the token is not usable: {reason}")]
    BadToken {
        /// What is wrong and what is expected.
        reason: &'static str,
    },
    /// A limit that would stop everything.
    #[error("the limit `{limit}` is 0: use 1 or more")]
    ZeroLimit {
        /// The limit's name.
        limit: &'static str,
    },
    /// The gRPC reflection service refuses the embedded descriptors.
    #[error("the embedded service description is unusable, rebuild the program: {reason}")]
    Descriptors {
        /// What it says.
        reason: String,
    },
}
