//! Starting and stopping the server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::connection::serve_connection;
use super::entry::Entry;
use super::operations::{Operations, Reads};
use super::origin::OriginRule;
use super::places::Places;
use super::tls;
use crate::api::NodeApi;
use crate::config::RpcConfig;
use crate::error::RpcError;

/// How long calls under way may take to end when the server stops: the node as a whole has 5 s.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// How long to wait after the operating system refused to accept a connection, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Starts to serve all surfaces on one address, and returns that address and the task that serves it.
///
/// When `shutdown` completes, the server takes no more connections, ends watchers with `unavailable`, gives other calls some
/// seconds, and the task ends.
///
/// # Errors
/// See [`RpcError`]: an unprotected address, a port in use, TLS files that cannot be used.
pub async fn serve(
    api: Arc<dyn NodeApi>,
    config: RpcConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(SocketAddr, JoinHandle<()>), RpcError> {
    config.check()?;
    let RpcConfig { bind, token, tls, limits } = config;
    let tls = tls.as_ref().map(tls::acceptor).transpose()?;
    let listener = TcpListener::bind(bind).await.map_err(|source| bind_error(bind, source))?;
    let address = listener.local_addr().map_err(|source| bind_error(bind, source))?;
    let (stop, stopping) = watch::channel(false);
    let reads = if bind.ip().is_loopback() { Reads::Open } else { Reads::NeedToken };
    let operations = Arc::new(Operations::new(api, reads, limits.clone(), stopping.clone()));
    let origin = OriginRule { bound: bind.ip(), scheme: if tls.is_some() { "https" } else { "http" } };
    let entry = Arc::new(Entry::new(origin, token, operations, stopping)?);
    let connections = Places::new(limits.connections, limits.connections_per_address);
    let server = Server { listener, tls, entry, connections, stop };
    Ok((address, tokio::spawn(server.run(shutdown))))
}

fn bind_error(address: SocketAddr, source: std::io::Error) -> RpcError {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        RpcError::PortInUse { address }
    } else {
        RpcError::Bind { address, source }
    }
}

struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    entry: Arc<Entry>,
    connections: Arc<Places>,
    stop: watch::Sender<bool>,
}

impl Server {
    async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
            };
            while tasks.try_join_next().is_some() {}
            match accepted {
                Ok((stream, client)) => {
                    let Some(place) = self.connections.take(client.ip()) else {
                        tracing::debug!(%client, "too many connections; closed");
                        continue;
                    };
                    let (tls, entry, watcher) =
                        (self.tls.clone(), Arc::clone(&self.entry), graceful.watcher());
                    tasks.spawn(async move {
                        let _place = place;
                        serve_connection(stream, client, tls, entry, watcher).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        self.stop.send_replace(true);
        if tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown()).await.is_err() {
            tracing::debug!("some calls did not end in time; closed");
        }
        tasks.shutdown().await;
    }
}
