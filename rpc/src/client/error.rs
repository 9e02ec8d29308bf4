//! What can go wrong on the client's side.

use std::path::PathBuf;

use crate::api::ApiError;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node refused, or does not know.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// No connection could be made.
    #[error("cannot connect ({reason}): is a node running at {url}? start one with `aegis run --home DIR`")]
    Unreachable {
        /// The node's address.
        url: String,
        /// What the operating system or TLS says.
        reason: String,
    },
    /// The node's certificate is not trusted.
    #[error(
        "the certificate of {url} is not trusted ({reason}): give the certificate of the authority that signed it with \
         --ca; a self-signed one must be made with basicConstraints CA:FALSE and the node's name or address as \
         subjectAltName"
    )]
    Untrusted {
        /// The node's address.
        url: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// A read took too long, or its connection broke.
    #[error("{url} did not answer: {reason}; try again, or see `aegis status --rpc {url}`")]
    Interrupted {
        /// The node's address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The reply is not one of a node.
    #[error("{url} answers, but not like an Aegis node of this version: {reason}")]
    Unexpected {
        /// The address.
        url: String,
        /// What came instead.
        reason: String,
    },
    /// The address makes no sense.
    #[error("`{url}` is not an address of a node: {reason}; use one like http://127.0.0.1:8003")]
    BadUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token cannot be sent.
    #[error("the token has characters that cannot be sent: copy it again from the node's home")]
    BadToken,
    /// The authority's file cannot be used.
    #[error("{path} cannot be used as authority: {reason}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {reason}; name the node's certificate with `--ca FILE`")]
    Tls {
        /// Why not.
        reason: String,
    },
}

impl ClientError {
    /// Whether no connection could be made, so that nothing can have happened at the node.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Untrusted { .. })
    }

    /// The node's error, when it is one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Interrupted { .. }
            | Self::Unexpected { .. }
            | Self::BadUrl { .. }
            | Self::BadToken
            | Self::Authority { .. }
            | Self::Tls { .. } => None,
        }
    }
}
