//! The Rust client: the operations of [`NodeApi`](crate::NodeApi) over REST, and watching over a WebSocket.

mod config;
mod error;
mod node_client;
mod tls;
mod transport;
mod watch;

pub use config::ClientConfig;
pub use error::ClientError;
pub use node_client::Client;
pub use watch::ClientWatch;
